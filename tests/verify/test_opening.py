"""Images, environments and archives become subjects, told by what they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slimpack.errors import ImageError, InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.layout import write_layout
from slimpack.tree import Entry, bytes_entry
from slimpack.verify.opening import open_archive, open_prefix, open_subject
from slimpack.verify.verifying import choose_checks, verify
from tests.support.channel import MiniChannel, Run
from tests.verify.subjects import conda_record, write

META = "opt/env/conda-meta/a-1.0-0.json"


def image(folder: Path, *layers: list[Entry], below: Image | None = None) -> Image:
    import json

    made = [
        build_layer(
            f"layer {number}",
            [*entries, bytes_entry(META, json.dumps(conda_record("a", [])).encode())],
            blobs=BlobStore(folder / "blobs", durable=False),
            mtime=0,
            compression=Compression("zstd", 1, 1),
        )
        for number, entries in enumerate(layers)
    ]
    config = ImageConfig(entrypoint=("/app/x",), user="7", env=(("A", "1"),), workdir="/app")
    return make_image(made, config, base=below, comment="slimpack" if below else "")


def test_an_image(tmp_path: Path) -> None:
    base = image(tmp_path, [bytes_entry("etc/base", b"1"), bytes_entry("app/x", b"", mode=0o644)])
    whole = image(tmp_path, [bytes_entry("app/x", b"#!", mode=0o4755)], below=base)
    write_layout(whole, tmp_path / "layout", ("t:1",))
    subject = open_subject(tmp_path / "layout", tmp_path / "root")
    assert (subject.kind, subject.prefix, subject.platform) == ("image", "opt/env", "linux/amd64")
    assert subject.start.command == ("/app/x",)
    assert (subject.start.user, subject.start.workdir) == ("7", "/app")
    assert subject.tree["app/x"].mode == 0o4755  # although nothing setuid is unpacked
    assert not (tmp_path / "root/app/x").stat().st_mode & 0o4000
    assert subject.below == {"etc", "etc/base"}
    assert [entry.path for entry in subject.application] == ["app/x"]
    (result,) = verify(subject, checks=choose_checks(["modes"], [])).results
    assert [finding.path for finding in result.findings] == ["app/x"]


def test_an_environment(tmp_path: Path) -> None:
    files = {"conda-meta/a-1.0-0.json": conda_record("a", ["lib/x"]), "lib/x": "1", "lib/y": "2"}
    write(tmp_path / "env", {**files, "pkgs/other": ""})
    subject = open_subject(tmp_path / "env", tmp_path / "unused")
    assert (subject.kind, subject.prefix, subject.place) == ("prefix", "", str(tmp_path / "env"))
    assert subject.owner("lib/x") == "a"
    assert "pkgs/other" not in subject.tree
    assert [entry.path for entry in subject.application] == ["lib/y"]
    assert subject.shown("lib/x") == "lib/x"


@pytest.mark.parametrize("name", ["env.tar.zst", "env.zip", "env.sh"])
def test_an_archive(
    name: str, prefixed: MiniChannel, install: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    run("pack", install(prefixed, "prefixed"), "-o", name, cwd=tmp_path)
    subject = open_subject(tmp_path / name, tmp_path / "root")
    assert subject.kind == "archive"
    assert f"{tmp_path}/root/share" in subject.tree["share/config.txt"].read().decode()
    # Nobody has put a Python beside its scripts.
    done = verify(subject, checks=choose_checks([], ["imports", "interpreters"]))
    found = [finding.message for one in done.results for finding in one.findings]
    assert found == ["names no licence"]
    assert [one.name for one in done.results if one.skipped] == [
        *("entrypoint", "bytecode", "smoke"),
    ]


def test_a_damaged_archive_fails(
    prefixed: MiniChannel, install: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    run("pack", install(prefixed, "prefixed"), "-o", "env.tar.zst", cwd=tmp_path)
    open_archive(tmp_path / "env.tar.zst", tmp_path / "root")
    (tmp_path / "root/lib/plain.txt").write_text("something else\n")
    done = verify(open_prefix(tmp_path / "root"), checks=choose_checks(["records"], []))
    assert [finding.path for finding in done.failed[0].findings] == ["lib/plain.txt"]


def test_what_is_nothing_of_the_kind(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/index.json").write_text("{}")
    for name in ("gone", "text", "folder"):
        with pytest.raises(InputError):
            open_subject(tmp_path / name, tmp_path / "root")
    with pytest.raises(ImageError):
        open_subject(tmp_path / "layout", tmp_path / "root")
    assert not (tmp_path / "root").exists()
