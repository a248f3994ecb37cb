"""Digests, and files that are whole or not there."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slimpack.errors import ImageError, SlimpackError
from slimpack.files import atomic_file
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import HashingWriter, VerifyingReader, check_digest, sha256
from tests.oci.oci_images import files_below, small_disk

HELLO = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_digest_of_bytes() -> None:
    assert sha256(b"hello") == HELLO
    assert check_digest(HELLO, "x") == HELLO


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256:",
        HELLO[:-1],
        HELLO.upper(),
        f"{HELLO}\n",
        f"sha512:{'0' * 128}",
        "../../etc",
        None,
    ],
)
def test_other_digests_are_refused(digest: object) -> None:
    with pytest.raises(ImageError, match=r"layer 7: .* is not a sha256 digest"):
        check_digest(digest, "layer 7")


def test_hashing_writer() -> None:
    out = io.BytesIO()
    writer = HashingWriter(out)
    writer.write(b"hel")
    writer.write(b"lo")
    assert (writer.digest, writer.size, out.getvalue()) == (HELLO, 5, b"hello")


@pytest.mark.parametrize("size", [5, None])
def test_verifying_reader_lets_the_right_bytes_pass(size: int | None) -> None:
    with VerifyingReader(io.BytesIO(b"hello"), HELLO, size, "blob") as reader:
        assert [reader.read(3), reader.read(3), reader.read(3)] == [b"hel", b"lo", b""]


@pytest.mark.parametrize(
    ("data", "size", "message"),
    [
        (b"hellO", 5, "does not match its digest"),
        (b"hellO", None, "does not match its digest"),
        (b"", None, "does not match its digest"),
        (b"hell", 5, "has 4 bytes, but declares 5"),
        (b"hello!", 5, "is longer than the 5 bytes"),
    ],
)
def test_verifying_reader_refuses_others(data: bytes, size: int | None, message: str) -> None:
    with pytest.raises(ImageError, match=f"my blob {message}"):
        VerifyingReader(io.BytesIO(data), HELLO, size, "my blob").read()


def test_the_last_byte_is_only_given_when_all_was_verified() -> None:
    reader = VerifyingReader(io.BytesIO(b"hellO"), HELLO, 5, "blob")
    assert reader.read(4) == b"hell"
    with pytest.raises(ImageError):
        reader.read(1)


def test_store_names_blobs_by_their_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert HELLO not in store
    assert store.add(b"hello") == HELLO
    assert HELLO in store
    with store.open(HELLO) as stream:
        assert stream.read() == b"hello"
    assert files_below(tmp_path) == [f"sha256/{HELLO[7:]}"]


def test_store_refuses_paths(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        BlobStore(tmp_path).path("sha256:../../../etc/passwd")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, ImageError])
def test_store_keeps_nothing_of_a_broken_write(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with BlobStore(tmp_path).create() as sink:
            sink.write(b"half")
            raise error("stop")

    with pytest.raises(error):
        write()
    assert files_below(tmp_path) == []


def test_many_writers_of_the_same_blobs(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, durable=False)
    blobs = [bytes([i]) * 50_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(store.add, blobs * 8))
    assert digests == [sha256(blob) for blob in blobs * 8]
    found = [tmp_path / name for name in files_below(tmp_path)]
    assert len(found) == 8
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in found)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = BlobStore(disk / "blobs")
        kept = store.add(b"small")
        with pytest.raises(SlimpackError, match="No space left") as caught:
            store.add(bytes(4 << 20))
        assert "disk is full" in caught.value.hint
        assert files_below(disk) == [f"blobs/sha256/{kept[7:]}"]


def test_atomic_file_replaces_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomic_file(path) as stream:
        stream.write(b"one")
        assert not path.exists()

    def interrupted() -> None:
        with atomic_file(path) as stream:
            stream.write(b"two")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"one"
    assert files_below(tmp_path) == ["new/file"]


def test_atomic_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "file") as stream:
            stream.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_what_is_in_the_way_is_explained(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(SlimpackError, match=r"cannot write .*folder"),
        atomic_file(tmp_path / "folder") as stream,
    ):
        stream.write(b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SlimpackError, match="cannot write"), atomic_file(tmp_path / "file" / "x"):
        pass
    assert files_below(tmp_path) == ["file"]
