"""Layers: reproducible, verified, written in little memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from slimpack.errors import ImageError, SlimpackError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.tar import tar_size
from slimpack.tree import Entry, Kind, Tree, bytes_entry, file_entry
from tests.oci.oci_images import (
    BY_KIND,
    MTIME,
    PLAIN,
    ZSTD,
    files_below,
    sample_layers,
    sample_tree,
    small_disk,
)

REPOSITORY = Path(__file__).parents[2]


def one(directory: Path, compression: Compression = ZSTD) -> Layer:
    return build_layer(
        "all", sample_tree(), blobs=BlobStore(directory), mtime=MTIME, compression=compression
    )


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_description_is_true(tmp_path: Path, kind: str) -> None:
    layer = one(tmp_path, BY_KIND[kind])
    blob = tmp_path / "sha256" / layer.digest[7:]
    assert files_below(tmp_path) == [f"sha256/{layer.digest[7:]}"]
    assert blob.stat().st_size == layer.size
    with layer.open() as stream:
        assert stream.read() == blob.read_bytes()
    with layer.open_tar() as tar:
        archive = tar.read()
    assert len(archive) == layer.unpacked_size == tar_size(sample_tree())
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert "opt/env/lib/data" in opened.getnames()


def test_diff_id_does_not_depend_on_the_compression(tmp_path: Path) -> None:
    layers = [one(tmp_path, compression) for compression in BY_KIND.values()]
    assert len({layer.diff_id for layer in layers}) == 1
    assert len({layer.digest for layer in layers}) == 3
    assert layers[-1].digest == layers[-1].diff_id


def test_same_files_elsewhere_under_another_umask_give_the_same_layer(tmp_path: Path) -> None:
    digests = []
    for number, umask in enumerate((0o022, 0o077)):
        before = os.umask(umask)
        try:
            root = tmp_path / f"place{number}" / ("deep" * number)
            names = ["b", "a", "c/d"] if number else ["c/d", "a", "b"]
            for name in names:
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(name.encode() * 1000)
                os.utime(path, (number, number))
            entries = [file_entry(f"opt/{name}", root / name) for name in names]
            store = BlobStore(tmp_path / f"store{number}")
            threads = number + 1
            digests.append(
                build_layer(
                    "x", entries, blobs=store, mtime=7, compression=Compression("zstd", 5, threads)
                )
            )
        finally:
            os.umask(before)
    assert digests[0] == digests[1]


def test_progress_adds_up(tmp_path: Path) -> None:
    seen: list[int] = []
    layer = build_layer("x", sample_tree(), blobs=BlobStore(tmp_path), mtime=0, advance=seen.append)
    assert sum(seen) == layer.unpacked_size


def failing(error: BaseException) -> Callable[[], BinaryIO]:
    def opener() -> BinaryIO:
        raise error

    return opener


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImageError("bad"), OSError(5, "I/O error")])
@pytest.mark.parametrize("kind", BY_KIND)
def test_an_error_in_the_middle_leaves_nothing(
    tmp_path: Path, error: BaseException, kind: str
) -> None:
    entries = [
        bytes_entry("a", bytes(3 << 20)),
        Entry("b", Kind.FILE, 0o644, size=1, opener=failing(error)),
    ]
    expected = ImageError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        build_layer("x", entries, blobs=BlobStore(tmp_path), mtime=0, compression=BY_KIND[kind])
    assert files_below(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    noise = bytes_entry("noise", os.urandom(6 << 20))
    with small_disk(tmp_path / "disk") as disk:
        for compression in BY_KIND.values():
            with pytest.raises(SlimpackError, match="No space left"):
                build_layer("x", [noise], blobs=BlobStore(disk), mtime=0, compression=compression)
            assert files_below(disk) == []


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_damaged_blob_is_found_when_it_is_read(tmp_path: Path, kind: str) -> None:
    layer = one(tmp_path, BY_KIND[kind])
    path = tmp_path / "sha256" / layer.digest[7:]
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:-3] + b"abc"):
        path.write_bytes(damaged)
        with pytest.raises(ImageError), layer.open() as stream:
            stream.read()
        with pytest.raises(ImageError), layer.open_tar() as tar:
            tar.read()
    path.unlink()
    with pytest.raises(ImageError, match="cannot open layer"):
        layer.open()


def test_a_wrong_diff_id_is_found(tmp_path: Path) -> None:
    layer = replace(one(tmp_path), diff_id=f"sha256:{'0' * 64}")
    with (
        pytest.raises(ImageError, match=r"the tar of layer .* does not match"),
        layer.open_tar() as tar,
    ):
        tar.read()


@pytest.mark.parametrize("known", [True, False])
def test_plain_form(tmp_path: Path, known: bool) -> None:
    layer = one(tmp_path / "a")
    if not known:
        layer = replace(layer, unpacked_size=None)
    plain = layer.plain()
    assert plain == one(tmp_path / "b", PLAIN)
    with plain.open() as stream, layer.open_tar() as tar:
        assert stream.read() == tar.read()
    assert plain.plain() is plain


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """300 MB of files, most of it in one, in far less than 100 MB."""
    script = textwrap.dedent(
        """
        import os, resource, sys
        from pathlib import Path
        from slimpack.oci.blobs import BlobStore
        from slimpack.oci.compress import Compression
        from slimpack.oci.layer import build_layer
        from slimpack.tree import file_entry

        root = Path(sys.argv[1])
        sizes = {"big": 200_000_000, **{f"small{i}": 1_000_000 for i in range(100)}}
        for name, size in sizes.items():
            with open(root / name, "wb") as file:
                file.truncate(size)
        entries = [file_entry(f"opt/{name}", root / name) for name in sizes]

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        before = peak()
        layer = build_layer(
            "x", entries, blobs=BlobStore(root / "blobs"), mtime=0,
            compression=Compression("zstd", 3, 2),
        )
        assert layer.unpacked_size > 300_000_000
        with layer.open_tar() as tar:
            while tar.read(1 << 20):
                pass
        print(peak() - before)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) < 100_000  # KiB


def test_layers_of_a_tree_hold_all_of_it(tmp_path: Path) -> None:
    names: set[str] = set()
    for layer in sample_layers(tmp_path):
        with layer.open_tar() as tar, tarfile.open(fileobj=io.BytesIO(tar.read())) as opened:
            names |= set(opened.getnames())
    assert set(Tree(sample_tree())._entries) <= names
