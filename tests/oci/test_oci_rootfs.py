"""The file system that layers make together."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.decompress import decompress
from slimpack.oci.digest import sha256
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import TAR, Layer
from slimpack.oci.rootfs import base_directories, iter_layer_members, merged_view, read_files
from slimpack.tree import Kind
from tests.oci.oci_images import MTIME, ZSTD, sample_image, sample_tree


def tar_layer(*members: tuple[str, str | tarfile.TarInfo | None]) -> Layer:
    """Return a layer made by the standard library: name -> text, None for a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            info.size = len(content or "")
            tar.addfile(info, io.BytesIO((content or "").encode()))
    data = out.getvalue()
    digest = sha256(data)
    return Layer(TAR, digest, len(data), digest, lambda: io.BytesIO(data), len(data))


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo("x")
    info.type, info.linkname = kind, target
    return info


def image_of(*layers: Layer) -> Image:
    return make_image(layers, ImageConfig())


def contents(*layers: Layer) -> dict[str, bytes]:
    return read_files(image_of(*layers), lambda path: True)


def test_our_own_image_reads_back(tmp_path: Path) -> None:
    image = sample_image(tmp_path)
    tree = sample_tree()
    found = read_files(image, lambda path: True)
    assert found == {e.path: e.read() for e in tree if e.kind is Kind.FILE}
    view = merged_view(image)
    assert view["tmp"].member.mode == 0o1777
    assert (view["home/nonroot"].member.uid, view["home/nonroot"].member.mode) == (65532, 0o700)
    assert {path for path, placed in view.items() if placed.member.kind != "directory"} == {
        e.path for e in tree if e.kind is not Kind.DIRECTORY
    }


def test_upper_layers_win() -> None:
    low = tar_layer(("a", "low"), ("b", "low"), ("d", None), ("d/x", "low"))
    high = tar_layer(("./a", "high"), ("d/", None), ("d/y", "high"))
    assert contents(low, high) == {"a": b"high", "b": b"low", "d/x": b"low", "d/y": b"high"}


def test_whiteouts_remove_from_below_only() -> None:
    low = tar_layer(("a", "low"), ("d", None), ("d/x", "low"), ("d/e/y", "low"), ("k", "low"))
    high = tar_layer((".wh.a", ""), ("d/.wh.e", ""), ("d/.wh.z", ""), ("d/z", "new"))
    assert contents(low, high) == {"d/x": b"low", "d/z": b"new", "k": b"low"}
    assert "d/e" not in merged_view(image_of(low, high))


def test_opaque_directories_hide_what_is_below_wherever_they_say_so() -> None:
    low = tar_layer(("d/x", "low"), ("d/e/y", "low"), ("k", "low"))
    high = tar_layer(("d", None), ("d/new", "high"), ("d/.wh..wh..opq", ""))
    assert contents(low, high) == {"d/new": b"high", "k": b"low"}
    assert contents(low, tar_layer((".wh..wh..opq", ""))) == {}


def test_a_file_in_place_of_a_directory_and_back() -> None:
    low = tar_layer(("d", None), ("d/x", "low"))
    file = tar_layer(("d", "file"))
    assert contents(low, file) == {"d": b"file"}
    assert contents(low, file, tar_layer(("d", None), ("d/y", "top"))) == {"d/y": b"top"}


def test_hard_links_are_files_in_either_layer() -> None:
    low = tar_layer(("a", "one"), ("b", link("a", tarfile.LNKTYPE)))
    high = tar_layer(("c", link("a", tarfile.LNKTYPE)))
    assert contents(low, high) == {"a": b"one", "b": b"one", "c": b"one"}
    assert read_files(image_of(low), lambda path: path == "b") == {"b": b"one"}


def test_symlinks_are_seen_and_not_followed() -> None:
    layer = tar_layer(
        ("usr/lib/os-release", "x"), ("etc/os-release", link("../usr/lib/os-release"))
    )
    view = merged_view(image_of(layer))
    assert view["etc/os-release"].member.link == "../usr/lib/os-release"
    assert contents(layer) == {"usr/lib/os-release": b"x"}


def test_only_what_is_wanted_is_read_and_not_more_than_allowed() -> None:
    image = image_of(tar_layer(("a", "1234"), ("b", "123456")))
    assert read_files(image, lambda path: path == "a", limit=4) == {"a": b"1234"}
    with pytest.raises(ImageError, match="more than 4 bytes"):
        read_files(image, lambda path: path == "b", limit=4)


def test_members_stream(tmp_path: Path) -> None:
    found = []
    for layer in sample_image(tmp_path).layers:
        for member, read in iter_layer_members(layer):
            if member.path == "opt/env/lib/data":
                found.append(read(16))
    assert found == [b"0123456789abcdef"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("../x", "outside of its root"), ("d/.wh...", "hides nothing"), (".wh.", "hides nothing")],
)
def test_malformed_members_are_refused(name: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        merged_view(image_of(tar_layer((name, ""))))


def test_a_damaged_layer_is_refused_at_its_end(tmp_path: Path) -> None:
    image = sample_image(tmp_path)
    wrong = replace(image.layers[0], diff_id=f"sha256:{'0' * 64}")
    with pytest.raises(ImageError, match="does not match its digest"):
        merged_view(replace(image, layers=(wrong,)))


def test_a_layer_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    layer = sample_image(tmp_path).layers[0]
    with pytest.raises(ImageError, match="more than the 1000 bytes"):
        list(iter_layer_members(layer, limit=1000))


def test_directories_of_a_base_keep_their_mode() -> None:
    tmp = tarfile.TarInfo("x")
    tmp.type, tmp.mode, tmp.uid = tarfile.DIRTYPE, 0o1777, 5
    view = merged_view(image_of(tar_layer(("tmp", tmp), ("usr", None), ("lib", link("usr/lib")))))
    (found,) = base_directories(view, ["tmp/a/b", "opt/x"])
    assert (found.path, found.mode, found.uid) == ("tmp", 0o1777, 5)
    with pytest.raises(ImageError, match="below /lib, which is a symlink in the base"):
        base_directories(view, ["lib/x/y"])


def test_a_zstd_layer_of_others_with_skippable_frames(tmp_path: Path) -> None:
    plain = tar_layer(("a", "one"))
    store = BlobStore(tmp_path)
    skip = b"\x50\x2a\x4d\x18\x04\x00\x00\x00" + MTIME.to_bytes(4, "little")
    with store.create() as sink, plain.open_tar() as tar:
        sink.write(skip)
        data = tar.read()
        for part in (data[:700], data[700:]):
            with ZSTD.writer(sink, len(part)) as writer:
                writer.write(part)
        sink.write(skip)
    layer = Layer(
        f"{TAR}+zstd", sink.digest, sink.size, plain.diff_id, lambda: store.open(sink.digest)
    )
    assert contents(layer) == {"a": b"one"}
    with store.open(sink.digest) as stream:
        assert decompress(stream).read() == data
