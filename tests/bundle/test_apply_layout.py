"""Bundles brought to an OCI layout: what is written, what an error leaves, who reads it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from slimpack.bundle.apply import apply, plan_apply
from slimpack.bundle.choosing import Rename
from slimpack.bundle.contents import Contents, plan
from slimpack.bundle.far import Sent
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.bundle.to_layout import LayoutFar
from slimpack.bundle.write import write_bundle
from slimpack.errors import BundleError, InputError, SlimpackError
from slimpack.oci.index import Deliverable
from slimpack.oci.layout import write_layout
from slimpack.oci.listing import listed_entries
from tests.bundle.keys import key_pair
from tests.bundle.shipping import (
    SERVE,
    bundle_of,
    damage,
    document,
    image_of,
    index_of,
    layout_image,
    packed,
    signature,
)
from tests.oci.oci_images import files_below, need, need_tool, small_disk
from tests.support.channel import Run


def go(bundle: Bundle, path: Path, *renames: str) -> list[Sent]:
    far = LayoutFar(path)
    planned = plan_apply(bundle, far, renames=list(map(Rename.parse, renames)))
    return apply(bundle, far, planned, path)


def blobs(path: Path) -> set[str]:
    return {one.name for one in (path / "blobs" / "sha256").iterdir()}


def test_images_and_documents_arrive(tmp_path: Path) -> None:
    index, image = index_of(tmp_path, 1), image_of(tmp_path, 2)
    told = [document(index), signature(index)]
    bundle = bundle_of(
        tmp_path / "b.tar",
        packed(index, SERVE, "docker.io/library/serve:latest", documents=told),
        packed(image, "ghcr.io/team/app:2"),
    )
    path = tmp_path / "out"
    sent = go(bundle, path, "serve:latest=serve:newest")
    wanted: dict[str, Deliverable] = {
        SERVE: index,
        "docker.io/library/serve:newest": index,
        "ghcr.io/team/app:2": image,
    }
    for name, target in wanted.items():
        found = layout_image(path, name)
        assert found is not None
        assert found.digest == target.digest
    documents = [entry for entry in listed_entries(path) if entry.get("artifactType")]
    assert [one["digest"] for one in documents] == [
        one.attached.descriptor["digest"] for one in told
    ]
    assert documents[1]["annotations"]["org.opencontainers.image.ref.name"].endswith(".sig")
    assert blobs(path) == {blob.digest[7:] for blob in bundle.statement.blobs}
    layers = {one for each in (*index.images, image) for one in each.layers}
    assert sum(one.sent for one in sent) > sum(layer.size for layer in layers)
    assert [one.sent for one in go(bundle, path, "serve:latest=serve:newest")] == [0, 0]


def test_others_stay_and_the_old_one_goes_with_its_documents(tmp_path: Path) -> None:
    other, old, new = (image_of(tmp_path, seed) for seed in (1, 2, 3))
    path = tmp_path / "out"
    write_layout(other, path, ["other:1"])
    there = blobs(path)
    go(
        bundle_of(tmp_path / "1.tar", packed(old, documents=[document(old), signature(old)])),
        path,
    )
    bundle = bundle_of(tmp_path / "2.tar", packed(new, documents=[document(new)]))
    go(bundle, path)
    assert blobs(path) == there | {blob.digest[7:] for blob in bundle.statement.blobs}
    for name, image in {"docker.io/library/other:1": other, SERVE: new}.items():
        found = layout_image(path, name)
        assert found is not None
        assert found.digest == image.digest


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    image = image_of(tmp_path, 1)
    path = tmp_path / "out"
    damaged = bundle_of(tmp_path / "1.tar", packed(image))
    last = image.layers[1].digest
    damage(damaged, last)
    with pytest.raises(BundleError, match="does not match its digest"):
        go(damaged, path)
    assert layout_image(path, SERVE) is None
    first = path / "blobs" / "sha256" / image.layers[0].digest[7:]
    written = first.stat().st_mtime_ns
    # What is left of writers that were killed goes, too.
    (path / "blobs" / "sha256" / ".new.0123456789abcdef.tmp").write_bytes(b"half")
    (path / ".index.json.0123456789abcdef.tmp").write_bytes(b"half")
    (sent,) = go(bundle_of(tmp_path / "2.tar", packed(image)), path)
    assert sent.present >= image.layers[0].size
    assert first.stat().st_mtime_ns == written
    assert not [name for name in files_below(path) if name.endswith(".tmp")]
    assert layout_image(path, SERVE) is not None


def test_a_damaged_blob_of_the_layout_is_written_again(tmp_path: Path) -> None:
    image = image_of(tmp_path, 1)
    bundle, path = bundle_of(tmp_path / "b.tar", packed(image)), tmp_path / "out"
    go(bundle, path)
    blob = path / "blobs" / "sha256" / image.layers[0].digest[7:]
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (sent,) = go(bundle, path)
    assert sent.sent == image.layers[0].size
    assert layout_image(path, SERVE) is not None


def test_a_full_disk(tmp_path: Path) -> None:
    old, new = image_of(tmp_path, 1, 1000), image_of(tmp_path, 2, 900_000, 1_900_000)
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "out"
        go(bundle_of(tmp_path / "1.tar", packed(old)), path)
        bundle = bundle_of(tmp_path / "2.tar", packed(new))
        with pytest.raises(SlimpackError, match="No space left on device") as caught:
            go(bundle, path)
        assert "free some space" in caught.value.hint
        found = layout_image(path, SERVE)
        assert found is not None
        assert found.digest == old.digest
        assert not [name for name in files_below(path) if name.endswith(".tmp")]


def test_a_read_only_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    go(bundle_of(tmp_path / "1.tar", packed(image_of(tmp_path, 1))), path)
    need(os.getuid() == 0, "mounting needs root")
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        with pytest.raises(SlimpackError, match="Read-only file system") as caught:
            go(bundle_of(tmp_path / "2.tar", packed(image_of(tmp_path, 2))), path)
        assert caught.value.hint
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_folder_that_is_no_layout(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is not an OCI layout"):
        go(bundle_of(tmp_path / "b.tar", packed(image_of(tmp_path, 1))), path)
    assert files_below(path) == ["letter.txt"]


def test_a_delta(tmp_path: Path) -> None:
    image, path = image_of(tmp_path, 1), tmp_path / "out"
    absent = image.layers[0].digest
    bundle = bundle_of(tmp_path / "2.tar", packed(image), absent=[absent])
    with pytest.raises(BundleError, match="lacks 1 blobs") as caught:
        go(bundle, path)
    assert absent in caught.value.details
    assert not path.exists()
    go(bundle_of(tmp_path / "1.tar", packed(image, "docker.io/library/old:1")), path)
    go(bundle, path)
    assert layout_image(path, SERVE) is not None
    # One that is there and damaged is as good as none.
    (path / "blobs" / "sha256" / absent[7:]).write_bytes(b"x" * image.layers[0].size)
    with pytest.raises(BundleError, match="lacks 1 blobs"):
        go(bundle, path)


def test_what_one_image_no_longer_needs_another_may(tmp_path: Path) -> None:
    """The first image of a delta takes the place of the one that has blobs of the second."""
    old, new = image_of(tmp_path, 1), image_of(tmp_path, 2)
    path = tmp_path / "out"
    go(bundle_of(tmp_path / "1.tar", packed(old)), path)
    bundle = bundle_of(
        tmp_path / "2.tar",
        packed(new),
        packed(old, "docker.io/library/other:1"),
        absent=[layer.digest for layer in old.layers],
    )
    go(bundle, path)
    for name, image in {SERVE: new, "docker.io/library/other:1": old}.items():
        found = layout_image(path, name)
        assert found is not None
        assert found.digest == image.digest
    # In the end nothing is left of what nobody needs.
    bundle = bundle_of(tmp_path / "3.tar", packed(new, SERVE, "docker.io/library/other:1"))
    go(bundle, path)
    assert blobs(path) == {blob.digest[7:] for blob in bundle.statement.blobs}


def test_two_images_with_one_name(tmp_path: Path) -> None:
    images = [
        packed(image_of(tmp_path, seed), f"docker.io/library/serve:{seed}") for seed in (1, 2)
    ]
    with pytest.raises(InputError, match="two images would be called"):
        go(bundle_of(tmp_path / "b.tar", *images), tmp_path / "out", "serve:2=serve:1")
    assert not (tmp_path / "out").exists()


def test_skopeo_reads_the_layout(tmp_path: Path) -> None:
    need_tool("skopeo")
    image = image_of(tmp_path, 1)
    bundle = bundle_of(
        tmp_path / "b.tar", packed(image, documents=[document(image), signature(image)])
    )
    go(bundle, tmp_path / "out")
    done = subprocess.run(
        ["skopeo", "inspect", "oci:out:serve:1.0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Digest"] == image.digest


def test_only_whom_is_trusted(run: Run, tmp_path: Path) -> None:
    """Nothing is written of a bundle with another signature, or of an old one."""
    mine, theirs = key_pair(tmp_path, "mine"), key_pair(tmp_path, "theirs")
    contents = Contents((packed(image_of(tmp_path, 1)),), created=1_700_000_000)
    write_bundle(plan(contents), tmp_path / "b.tar", sign=mine.sign)
    command = ("bundle", "apply", "b.tar", "--to", "layout=out")
    run(*command, "--key", theirs.public, cwd=tmp_path, code=14)
    run(*command, "--not-older-than", "2024-01-01", cwd=tmp_path, code=14)
    assert not (tmp_path / "out").exists()
    trusted = (*command, "--key", mine.public)
    run(*trusted, "--not-older-than", "2023-01-01", "--inventory", "i.json", cwd=tmp_path)
    # The same again may go, an older one may not.
    run(*trusted, "--not-older-than", "i.json", "--inventory", "i.json", cwd=tmp_path)
    old = Contents((packed(image_of(tmp_path, 2)),), created=1_699_999_999)
    write_bundle(plan(old), tmp_path / "b.tar", sign=mine.sign)
    done = run(*trusted, "--not-older-than", "i.json", cwd=tmp_path, code=14)
    assert "older than" in done.stderr
    found = layout_image(tmp_path / "out", SERVE)
    assert found is not None
    assert found.digest == image_of(tmp_path, 1).digest


def test_the_command(run: Run, tmp_path: Path) -> None:
    image = image_of(tmp_path, 1)
    bundle_of(tmp_path / "b.tar", packed(image))
    command = ("bundle", "apply", "b.tar", "--to", "layout=out")
    assert "would be new" in run(*command, "--dry-run", cwd=tmp_path).stdout
    assert not (tmp_path / "out").exists()
    assert f"{SERVE}: new" in run(*command, cwd=tmp_path).stdout
    assert layout_image(tmp_path / "out", SERVE) is not None


def test_from_volumes(tmp_path: Path) -> None:
    image = image_of(tmp_path, 1)
    write_bundle(plan(Contents((packed(image),))), tmp_path / "b.tar", volume_size=70_000)
    go(open_bundle(tmp_path / "b.tar"), tmp_path / "out")
    assert layout_image(tmp_path / "out", SERVE) is not None


def test_a_medium_that_is_cut_off_while_it_is_read(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "b.tar", packed(image_of(tmp_path, 1)))
    far = LayoutFar(tmp_path / "out")
    planned = plan_apply(bundle, far)
    os.truncate(bundle.path, 20_000)
    with pytest.raises(BundleError, match="bytes, but declares"):
        apply(bundle, far, planned, tmp_path)
    bundle.path.unlink()
    with pytest.raises(BundleError, match="cannot read"):
        apply(bundle, far, planned, tmp_path)
