"""``slimpack bundle create --since``: what a delta leaves out, and what comes of it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from slimpack.bundle.model import Statement
from slimpack.bundle.reader import open_bundle
from slimpack.oci.image import Image
from slimpack.oci.layout import write_layout
from tests.bundle.releases import LIBRARY, release
from tests.bundle.shipping import SERVE, layout_image
from tests.support.channel import ROOT, Run
from tests.test_docs import blocks


@pytest.fixture
def images(tmp_path: Path) -> tuple[Image, ...]:
    """Releases 1, 2 and 3, each in a layout of its own, and the first in a bundle."""
    made = tuple(release(tmp_path, version) for version in (1, 2, 3))
    for number, image in enumerate(made, 1):
        write_layout(image, tmp_path / f"layout{number}", ["serve:1.0"])
    return made


@pytest.fixture
def first(images: tuple[Image, ...], run: Run, tmp_path: Path) -> Path:
    run("bundle", "create", "layout1", "-o", "first.tar", cwd=tmp_path)
    return tmp_path / "first.tar"


def statement(path: Path) -> Statement:
    return open_bundle(path).statement


def test_what_stays_is_left_out_and_what_changed_is_a_patch(
    images: tuple[Image, ...], first: Path, run: Run, tmp_path: Path
) -> None:
    told = run(
        *("bundle", "create", "layout2", "--since", first, "-o", "delta.tar", "--json"),
        cwd=tmp_path,
    )
    old, new, _ = images
    found = statement(tmp_path / "delta.tar")
    assert found.is_delta
    assert found.since == (open_bundle(first).digest,)
    assert {blob.digest for blob in found.absent} == {old.layers[0].digest}
    patches = {patch.target.digest: patch for patch in found.patches}
    library = patches[new.layers[1].digest]
    assert library.bases == (old.layers[1].digest,)
    assert library.size < LIBRARY // 100
    assert (tmp_path / "delta.tar").stat().st_size < first.stat().st_size // 5
    traffic = json.loads(told.stdout)["traffic"]
    assert traffic["bundle"] == (tmp_path / "delta.tar").stat().st_size
    assert traffic["deduplicated"] > LIBRARY > traffic["bundle"]
    readme = open_bundle(tmp_path / "delta.tar").read("README.txt", 1 << 20).decode()
    assert "THIS IS A DELTA" in readme
    assert f"it follows                  {found.since[0]}" in readme
    # The same once more: from another place of the same bytes.
    again = tmp_path / "again"
    again.mkdir()
    run("bundle", "create", "../layout2", "--since", first, "-o", "delta.tar", cwd=again)
    assert (again / "delta.tar").read_bytes() == (tmp_path / "delta.tar").read_bytes()
    verified = run("bundle", "verify", "delta.tar", cwd=tmp_path)
    assert "required  2 blobs that must be there already" in verified.stdout


def test_deltas_follow_one_another_and_give_the_same_image(
    images: tuple[Image, ...], first: Path, run: Run, tmp_path: Path
) -> None:
    run("bundle", "create", "layout2", "--since", first, "-o", "second.tar", cwd=tmp_path)
    # The bytes that patches are made from are not in a delta: somebody has to have them.
    run(
        *("bundle", "create", "layout3", "--since", "second.tar", "--patch-from", "layout2"),
        *("-o", "third.tar"),
        cwd=tmp_path,
    )
    third = statement(tmp_path / "third.tar")
    assert {blob.digest for blob in third.absent} == {images[0].layers[0].digest}
    assert images[2].layers[1].digest in {patch.target.digest for patch in third.patches}
    for number, image in enumerate(images, 1):
        name = ("first", "second", "third")[number - 1]
        run("bundle", "apply", f"{name}.tar", "--to", "layout=far", cwd=tmp_path)
        found = layout_image(tmp_path / "far", SERVE)
        assert found is not None
        assert found.digest == image.digest


def test_since_an_inventory(
    images: tuple[Image, ...], first: Path, run: Run, tmp_path: Path
) -> None:
    run("bundle", "apply", first, "--to", "layout=far", "--inventory", "far.json", cwd=tmp_path)
    since = ("bundle", "create", "layout2", "--since", "far.json")
    run(*since, "-o", "whole.tar", cwd=tmp_path)
    whole = statement(tmp_path / "whole.tar")
    assert not whole.patches  # an inventory has no bytes to make them from
    assert {blob.digest for blob in whole.absent} == {images[0].layers[0].digest}
    run(*since, "--patch-from", first, "-o", "patched.tar", cwd=tmp_path)
    assert statement(tmp_path / "patched.tar").patches
    run("bundle", "apply", "patched.tar", "--to", "layout=far", cwd=tmp_path)
    found = layout_image(tmp_path / "far", SERVE)
    assert found is not None
    assert found.digest == images[1].digest


def test_an_image_that_the_far_side_lacks_is_no_base(
    images: tuple[Image, ...], first: Path, run: Run, tmp_path: Path
) -> None:
    run(
        *("bundle", "create", "layout3", "--since", first, "--patch-from", "layout2"),
        *("-o", "delta.tar"),
        cwd=tmp_path,
    )
    bases = {base for patch in statement(tmp_path / "delta.tar").patches for base in patch.bases}
    assert bases <= {layer.digest for layer in images[0].layers}


def test_without_patches(images: tuple[Image, ...], first: Path, run: Run, tmp_path: Path) -> None:
    run(
        *("bundle", "create", "layout2", "--since", first, "--no-patches", "-o", "delta.tar"),
        cwd=tmp_path,
    )
    found = statement(tmp_path / "delta.tar")
    assert not found.patches
    assert images[1].layers[1].digest in {blob.digest for blob in found.blobs}


def test_nothing_new_is_nothing_but_json(
    images: tuple[Image, ...], first: Path, run: Run, tmp_path: Path
) -> None:
    run("bundle", "create", "layout1", "--since", first, "-o", "delta.tar", cwd=tmp_path)
    found = statement(tmp_path / "delta.tar")
    assert {blob.digest for blob in found.absent} == {one.digest for one in images[0].layers}
    assert (tmp_path / "delta.tar").stat().st_size < 30_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--patch-from", "layout1"), "--patch-from and --no-patches are for deltas"),
        (("--no-patches",), "--patch-from and --no-patches are for deltas"),
        (("--since", "layout1"), "cannot read layout1"),
        (("--since", "none.tar"), "cannot read none.tar"),
        (("--since", "first.tar", "--patch-from", "environment.yml"), "is no image"),
    ],
)
def test_what_makes_no_delta(
    first: Path, run: Run, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "environment.yml").write_text("dependencies: [python]\n")
    done = run("bundle", "create", "layout2", *words, "-o", "delta.tar", cwd=tmp_path, code=2)
    assert message in done.stderr
    assert "hint:" in done.stderr
    assert not (tmp_path / "delta.tar").exists()


def test_the_bundle_that_a_delta_follows_is_never_written_to(
    first: Path, run: Run, tmp_path: Path
) -> None:
    before = first.read_bytes()
    done = run(
        *("bundle", "create", "layout2", "--since", first, "-o", "first.tar"), cwd=tmp_path, code=2
    )
    assert "is the input" in done.stderr
    assert first.read_bytes() == before


def test_a_damaged_inventory(first: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "far.json").write_text('{"schemaVersion": 1}')
    done = run(
        *("bundle", "create", "layout2", "--since", "far.json", "-o", "delta.tar"),
        cwd=tmp_path,
        code=14,
    )
    assert "no inventory" in done.stderr


def test_the_commands_of_the_document(
    images: tuple[Image, ...], first: Path, run: Run, tmp_path: Path
) -> None:
    text = (ROOT / "docs/bundle.md").read_text(encoding="utf-8")
    (block,) = blocks(text.partition("## Deltas")[2].partition("\n## ")[0], "sh")
    for number in (2, 3):
        (tmp_path / f"layout{number}").rename(tmp_path / f"v{number}")
    first.rename(tmp_path / "site.slimpack.tar")
    run("bundle", "apply", "site.slimpack.tar", "--to", "layout=images", cwd=tmp_path)
    for line in block.splitlines():
        program, *words = shlex.split(line)
        assert program == "slimpack"
        assert run(*words, cwd=tmp_path).stdout
    assert statement(tmp_path / "next.slimpack.tar").patches
    found = layout_image(tmp_path / "images", SERVE)
    assert found is not None
    assert found.digest == images[2].digest
