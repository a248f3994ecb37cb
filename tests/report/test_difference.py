from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import Image
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.rootfs import iter_layer_members
from slimpack.report.difference import Difference, compare, to_json
from slimpack.report.difference_text import render_difference
from slimpack.tree import Entry, bytes_entry, hardlink_entry, symlink_entry
from tests.oci.oci_images import GZIP, MTIME, ZSTD
from tests.report.samples import conda, image, layer, layers


def changes(difference: Difference) -> dict[str, tuple[str, str]]:
    return {item.path: (item.change, item.what) for item in difference.files}


def entries_layer(folder: Path, entries: list[Entry]) -> Layer:
    store = BlobStore(folder / "blobs", durable=False)
    return build_layer("x", entries, blobs=store, mtime=MTIME, compression=ZSTD)


def test_an_image_does_not_differ_from_itself(tmp_path: Path) -> None:
    found = compare(image(*layers(tmp_path)), image(*layers(tmp_path)))
    assert not found
    assert (found.files, found.packages, found.config) == ((), (), ())
    assert found.sharing.pulled == 0


def test_layers_cut_in_another_way_are_no_difference(tmp_path: Path) -> None:
    files = {"a/x": b"1", "a/y": b"2", "b": b"3"}
    one = image(layer(tmp_path, "all", files))
    other = image(
        layer(tmp_path, "a", {"a/x": b"old", "b": b"3"}),
        layer(tmp_path, "b", {"a/x": b"1", "a/y": b"2"}),
    )
    found = compare(one, other)
    assert not found
    assert found.sharing.pulled == sum(layer.size for layer in other.layers)


def test_another_compression_is_no_difference_but_pulled(tmp_path: Path) -> None:
    entries = [bytes_entry("x", b"1")]
    store = BlobStore(tmp_path / "blobs", durable=False)
    zstd, gzip = (
        image(build_layer("x", entries, blobs=store, mtime=MTIME, compression=how))
        for how in (ZSTD, GZIP)
    )
    found = compare(zstd, gzip)
    assert not found
    assert [layer.state for layer in found.sharing.layers] == ["recompressed"]


def test_every_way_in_which_a_file_can_differ(tmp_path: Path) -> None:
    before = [
        bytes_entry("gone", b"123"),
        bytes_entry("same", b"same"),
        bytes_entry("content", b"abc"),
        bytes_entry("longer", b"abc"),
        bytes_entry("mode", b"abc"),
        symlink_entry("link", "same"),
        symlink_entry("kind", "same"),
        bytes_entry("all", b"abc"),
    ]
    after = [
        bytes_entry("new", b"12345"),
        bytes_entry("same", b"same"),
        bytes_entry("content", b"abd"),
        bytes_entry("longer", b"abcd"),
        bytes_entry("mode", b"abc", mode=0o755),
        symlink_entry("link", "content"),
        bytes_entry("kind", b"same"),
        replace(bytes_entry("all", b"xyz", mode=0o600), uid=5),
    ]
    found = compare(image(entries_layer(tmp_path, before)), image(entries_layer(tmp_path, after)))
    assert changes(found) == {
        "all": ("changed", "content,mode,owner"),
        "content": ("changed", "content"),
        "gone": ("removed", ""),
        "kind": ("changed", "kind"),
        "link": ("changed", "link"),
        "longer": ("changed", "content"),
        "mode": ("changed", "mode"),
        "new": ("added", ""),
    }
    sizes = {item.path: (item.bytes_before, item.bytes_after) for item in found.files}
    assert sizes["gone"] == (3, 0)
    assert sizes["new"] == (0, 5)
    assert sizes["longer"] == (3, 4)


def test_hard_links_are_compared_by_what_they_hold(tmp_path: Path) -> None:
    linked = [
        bytes_entry("a", b"abc"),
        hardlink_entry("b", "a", mode=0o644),
        hardlink_entry("c", "a", mode=0o644),
    ]
    copied = [bytes_entry("a", b"abc"), bytes_entry("b", b"abc"), bytes_entry("c", b"abd")]
    found = compare(image(entries_layer(tmp_path, linked)), image(entries_layer(tmp_path, copied)))
    assert changes(found) == {"c": ("changed", "content")}


def test_layers_that_both_have_are_not_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = image(*layers(tmp_path)), image(*layers(tmp_path, version="2.0"))
    read: list[str] = []

    def spy(layer: Layer) -> object:
        read.append(layer.name)
        return iter_layer_members(layer)

    monkeypatch.setattr("slimpack.report.difference.iter_layer_members", spy)
    found = compare(one, other)
    assert read == ["numpy", "numpy"]
    assert {item.change for item in found.files} == {"added", "removed"}
    assert {item.path.rpartition("/")[0] for item in found.files} == {"opt/env/conda-meta"}


def test_packages_by_version_and_build(tmp_path: Path) -> None:
    def made(*packages: tuple[str, str]) -> Image:
        files: dict[str, bytes] = {}
        for name, version in packages:
            files |= conda(name, {f"lib/{name}": version.encode()}, version=version)
        return image(layer(tmp_path, "x", files))

    found = compare(
        made(("a", "1"), ("b", "1"), ("c", "1")), made(("b", "2"), ("c", "1"), ("d", "3"))
    )
    assert [(item.name, item.change, item.before, item.after) for item in found.packages] == [
        ("a", "removed", "1 0", ""),
        ("b", "changed", "1 0", "2 0"),
        ("d", "added", "", "3 0"),
    ]


def test_configuration_by_setting(tmp_path: Path) -> None:
    one = image(
        layer(tmp_path, "x", {"x": b""}),
        env=(("A", "1"), ("B", "2")),
        entrypoint=("a", "b"),
        user="0",
        labels={"x": "1", "y": "2"},
        exposed_ports=("80/tcp",),
    )
    other = image(
        layer(tmp_path, "x", {"x": b""}),
        env=(("A", "1"), ("B", "3")),
        entrypoint=("a", "c"),
        user="65532",
        labels={"y": "2"},
        exposed_ports=("80/tcp", "81/tcp"),
    )
    assert [(item.key, item.before, item.after) for item in compare(one, other).config] == [
        ("Entrypoint", '["a", "b"]', '["a", "c"]'),
        ("Env B", "2", "3"),
        ("ExposedPorts 81/tcp", "", "{}"),
        ("Labels x", "1", ""),
        ("User", "0", "65532"),
    ]


def test_as_text_and_as_json(tmp_path: Path) -> None:
    one = image(*layers(tmp_path), env=(("A", "\x1b[31m"),))
    other = image(*layers(tmp_path, version="2.0"), layer(tmp_path, "new", {"n\u202e": b"1" * 99}))
    found = compare(one, other)
    text = render_difference(found, ("a.tar", "b.tar"))
    for shown in (
        "-  a.tar  sha256:",
        "packages  1 changed",
        "~ numpy 1.0 0 -> 2.0 0 (conda, 0 B)",
        "files     2 added, 1 removed",
        "+ /n� (+99 B)",
        "- Env A=�[31m",
        "  1 ",
        "where a.tar is: 2 of 4 layers there",
    ):
        assert shown in text, shown
    assert "1 smaller one more" in render_difference(found, ("a", "b"), top=2)
    assert "more; --all" not in render_difference(found, ("a", "b"), top=None)
    data = json.loads(json.dumps(to_json(found)))
    assert data["differ"] is True
    assert data["sharing"]["pulled"] == found.sharing.pulled
    same = render_difference(compare(one, one), ("a", "b"))
    assert same.count("the same") == 3
