"""A bundle that is whole passes; whatever is done to one is found, and told with its place."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from slimpack.bundle.contents import Contents, Extra, Part, plan
from slimpack.bundle.findings import Finding
from slimpack.bundle.model import SIGNATURE, STATEMENT, Blob, parse_statement
from slimpack.bundle.verify import Asked, Verification, verify_bundle
from slimpack.bundle.volumes import read_list
from slimpack.bundle.write import write_bundle
from slimpack.errors import BundleError, InputError
from slimpack.oci.digest import sha256
from slimpack.oci.tar import END
from tests.bundle.keys import key_pair
from tests.bundle.small import LONG, NAME, Small, contents, small
from tests.support.channel import Run

CONSEQUENCES = {"image", "layout", "age"}
"""What follows from damage elsewhere: an image whose manifest is damaged is not complete."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small(tmp_path_factory.mktemp("small"))


def found(result: Verification, path: str) -> Finding:
    (one,) = (finding for finding in result.findings if finding.path == path)
    return one


def damaged(result: Verification) -> set[tuple[str, str]]:
    """Return kind and path of all that is not a mere consequence."""
    return {(one.kind, one.path) for one in result.findings if one.kind not in CONSEQUENCES}


def test_a_whole_one_passes(bundle: Small) -> None:
    for data in (None, bundle.data):
        result = bundle.verify(data)
        assert result.findings == ()
        assert result.passed
        assert result.signature == "good"
        assert result.verified == len(bundle.ranges()) - 2
        assert result.read == len(bundle.data)
    assert bundle.verify(key=False).signature == "not checked"
    deep = verify_bundle(bundle.path, Asked(deep=True))
    assert deep.passed
    assert deep.verified == result.verified


@given_settings(max_examples=400)
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_flipped_byte_is_found_where_it_is(bundle: Small, where: float, flip: int) -> None:
    check_flip(bundle, int(where * len(bundle.data)), flip)


@pytest.mark.parametrize("field", [0, 99, 100, 107, 123, 124, 134, 135, 136, 148, 154, 155, 156])
def test_any_header_may_be_damaged(bundle: Small, field: int) -> None:
    """Names, sizes, checksums: the others are found all the same."""
    for _, header, _, _ in bundle.ranges():
        for flip in (1, 0x20, 0x80, 0xFF):
            check_flip(bundle, header + field, flip)


def check_flip(bundle: Small, offset: int, flip: int) -> None:
    data = bytearray(bundle.data)
    data[offset] ^= flip
    told = damaged(bundle.verify(bytes(data)))
    name, _, content, _ = next(
        (found for found in bundle.ranges() if offset < found[3]), ("", 0, 0, 0)
    )
    if not name:
        assert told == {("end", "")}
    elif name == STATEMENT and offset >= content:
        assert ("statement", STATEMENT) in told or told == {("padding", STATEMENT)}
        assert {path for _, path in told} == {STATEMENT}
    else:
        assert {path for _, path in told} == {name}
        assert {kind for kind, _ in told} <= (
            {"header", "size"} if offset < content else {"content", "padding", "signature"}
        )


@pytest.mark.parametrize("shift", [0, 1, 511, 512])
def test_truncation_at_any_place(bundle: Small, shift: int) -> None:
    names = [name for name, *_ in bundle.ranges()]
    for number, (name, header, content, after) in enumerate(bundle.ranges()):
        for cut in {header + shift, content + shift}:
            if cut >= after:
                continue
            if cut < 512:
                with pytest.raises(BundleError, match=r"is empty|its beginning is damaged"):
                    bundle.verify(bundle.data[:cut])
                continue
            if name == STATEMENT:
                assert damaged(bundle.verify(bundle.data[:cut])) == {("statement", STATEMENT)}
                continue
            result = bundle.verify(bundle.data[:cut])
            missing = {one.path for one in result.findings if one.kind == "missing"}
            assert missing >= set(names[number + 1 :]) - {SIGNATURE}
            assert "end" in {one.kind for one in result.findings}
    for cut in range(1, len(END), 100):
        assert damaged(bundle.verify(bundle.data[:-cut])) == {("end", "")}


def test_more_at_the_end(bundle: Small) -> None:
    for more in (b"\0", b"x", bytes(9216), bundle.data[:512]):
        result = bundle.verify(bundle.data + more)
        assert damaged(result) == {("end", "")}
        assert f"{len(more)} bytes follow the end" in result.findings[0].message


def test_what_a_member_is_for_people(bundle: Small) -> None:
    statement = parse_statement(bundle.path.read_bytes()[512:].partition(b"\0")[0], "it")
    told = {}
    for path, _, _ in statement.members:
        data = bytearray(bundle.data)
        data[bundle.place(path)[1]] ^= 1
        result = bundle.verify(bytes(data))
        finding = next(one for one in result.findings if one.path == path)
        told[finding.what] = path
        assert (finding.kind, finding.begin) == ("content", bundle.place(path)[1])
    assert {
        f"index of {NAME}",
        f"manifest of {NAME}, linux/amd64",
        f"config of {NAME}, linux/arm64",
        f"layer 2 of 2 (application) of {NAME}, linux/arm64",
        f"layer 1 of 2 (numpy-2.1) of {NAME}, linux/amd64, and of others",
        f"manifest of the SBOM (SPDX) of {NAME}",
        "lock serve.lock",
        "package numpy-2.1-0.conda of the channel",
    } <= set(told)


def test_two_faults_are_two_findings(bundle: Small) -> None:
    data = bytearray(bundle.data)
    data[bundle.place("locks/serve.lock")[1]] ^= 1
    data[bundle.place("index.json")[0]] ^= 1
    data[bundle.place(LONG)[0] + 600] ^= 1
    data[-1] = 1
    assert damaged(bundle.verify(bytes(data))) == {
        ("content", "locks/serve.lock"),
        ("header", "index.json"),
        ("header", LONG),
        ("end", ""),
    }


def test_zeroed_blocks(bundle: Small) -> None:
    """A disk that gives zeros for what it cannot read."""
    _, begin, _, _ = bundle.ranges()[4]
    data = bytearray(bundle.data)
    data[begin : begin + 4096] = bytes(4096)
    result = bundle.verify(bytes(data))
    hit = {
        name
        for name, header, _, after in bundle.ranges()
        if begin < after and header < begin + 4096
    }
    assert {path for _, path in damaged(result)} == hit
    assert result.verified == len(bundle.ranges()) - 2 - len(hit)


def test_signatures(bundle: Small, tmp_path: Path) -> None:
    other = key_pair(tmp_path, "other")
    result = verify_bundle(bundle.path, Asked(key=other.public))
    assert damaged(result) == {("signature", SIGNATURE)}
    assert (result.signature, result.verified) == ("bad", len(bundle.ranges()) - 2)
    unsigned = tmp_path / "unsigned.tar"
    write_bundle(plan(contents(tmp_path)), unsigned)
    result = verify_bundle(unsigned, Asked(key=other.public))
    assert damaged(result) == {("signature", "")}
    assert "is not signed" in result.findings[0].message
    assert verify_bundle(unsigned, Asked()).passed
    with pytest.raises(InputError):
        verify_bundle(unsigned, Asked(key=tmp_path / "nowhere.pub"))


def test_a_replayed_bundle(bundle: Small, tmp_path: Path) -> None:
    new = tmp_path / "new.tar"
    write_bundle(plan(replace(contents(tmp_path), created=1_760_000_000)), new)
    assert verify_bundle(bundle.path, Asked(not_older_than=str(bundle.path))).passed
    assert verify_bundle(new, Asked(not_older_than=str(bundle.path))).passed
    for limit in (str(new), "2025-09-01", "@1750000001"):
        result = verify_bundle(bundle.path, Asked(not_older_than=limit))
        assert [one.kind for one in result.findings] == ["age"]
        assert "older than" in result.findings[0].message


def test_completeness(bundle: Small, tmp_path: Path) -> None:
    """Statements that are sound, of bundles that are not."""
    made = plan(contents(tmp_path))
    layers = made.statement.blobs[-1]
    path = tmp_path / "less.tar"

    def verified(**changes: object) -> Verification:
        statement = replace(made.statement, **changes)  # type: ignore[arg-type]
        by_path = {part.path: part for part in made.parts}
        parts = tuple(by_path[path] for path, _, _ in statement.members if path in by_path)
        write_bundle(replace(made, statement=statement, parts=parts), path)
        return verify_bundle(path, Asked())

    for number, blob in enumerate(made.statement.blobs):
        rest = tuple(one for one in made.statement.blobs if one != blob)
        result = verified(blobs=rest)
        (missing,) = (
            one for one in result.findings if one.kind == "image" and one.path == blob.path
        )
        assert "neither in the bundle" in missing.message
        assert NAME in missing.what, number
    absent = verified(
        blobs=tuple(one for one in made.statement.blobs if one != layers), absent=(layers,)
    )
    assert {one.kind for one in absent.findings} == {"layout"}  # SHA256SUMS lists the layer
    assert absent.required == (layers.digest,)
    lying = replace(layers, size=layers.size + 1)
    result = verified(
        blobs=tuple(one for one in made.statement.blobs if one != layers), absent=(lying,)
    )
    assert any("the image declares" in one.message for one in result.findings)
    (image,) = made.statement.images
    renamed = verified(images=(replace(image, names=("docker.io/library/other:1",)),))
    assert {one.path for one in renamed.findings} == {"index.json", "manifest.json"}
    described = {**image.descriptor, "annotations": {"a": "b"}}
    result = verified(images=(replace(image, descriptor=described),))
    assert "describes it otherwise" in result.findings[0].message
    nobody = verified(images=())
    assert sum("no image needs it" in one.message for one in nobody.findings) == len(
        made.statement.blobs
    )


def test_a_delta_is_complete_with_what_is_there(tmp_path: Path) -> None:
    whole = contents(tmp_path)
    absent = plan(whole).statement.blobs[-1].digest
    delta: Contents = replace(whole, absent=frozenset([absent]), since=(absent,))
    path = tmp_path / "delta.tar"
    write_bundle(plan(delta), path)
    result = verify_bundle(path, Asked(deep=True))
    assert result.passed, result.findings
    assert result.required == (absent,)


def test_layers_are_unpacked_on_request(tmp_path: Path) -> None:
    """A layer whose digest is right, of an image that says another diffID."""
    whole = contents(tmp_path)
    (packed,) = whole.images
    image = packed.target.images[0]  # type: ignore[union-attr]
    first, second = image.layers
    wrong = replace(image, layers=(replace(first, diff_id=second.diff_id), second), raw_config=b"")
    path = tmp_path / "wrong.tar"
    write_bundle(plan(Contents((replace(packed, target=wrong, documents=()),))), path)
    assert verify_bundle(path, Asked()).passed
    result = verify_bundle(path, Asked(deep=True))
    (one,) = result.findings
    assert (one.kind, one.path) == ("image", Blob(first.digest, 0).path)
    assert "unpacks to another tar" in one.message


@pytest.fixture
def volumes(tmp_path: Path, bundle: Small) -> list[Path]:
    """The list, and the volumes of a bundle that has a large member."""
    whole = contents(tmp_path)
    data = random.Random(1).randbytes(300_000)
    extra = Extra(Part.of("archives/large.tar", data), "archive")
    whole = replace(whole, extras=(*whole.extras, extra))
    written = write_bundle(plan(whole), tmp_path / "cut.tar", volume_size=64 << 10)
    assert len(written.paths) == 7
    return list(written.paths)


def test_volumes_that_are_whole(volumes: list[Path]) -> None:
    for path in (volumes[0], volumes[0].with_name("cut.tar")):
        result = verify_bundle(path, Asked())
        assert result.passed
        assert (result.volumes, result.bring) == (6, ())


def test_damaged_volumes_are_named(volumes: list[Path]) -> None:
    flip(volumes[2], 1000)
    volumes[4].unlink()
    result = verify_bundle(volumes[0], Asked())
    assert result.bring == ("cut.tar.002", "cut.tar.004")
    large = found(result, "archives/large.tar")
    assert large.volumes == result.bring
    assert {one.path for one in result.findings} == {"archives/large.tar", *result.bring}
    assert result.statement is not None
    assert result.verified == len(result.statement.members) - 1
    flip(volumes[2], 1000)
    assert verify_bundle(volumes[0], Asked()).bring == ("cut.tar.004",)


@pytest.mark.parametrize("size", [0, 1, 40_000, 65_535, 65_537, 200_000])
def test_volumes_of_another_size(volumes: list[Path], size: int) -> None:
    data = volumes[3].read_bytes()
    volumes[3].write_bytes((data + bytes(200_000))[:size])
    result = verify_bundle(volumes[0], Asked())
    assert result.bring == ("cut.tar.003",)
    assert f"has {size} bytes instead of 65536" in found(result, "cut.tar.003").message
    assert damaged(result) <= {("volume", "cut.tar.003"), ("content", "archives/large.tar")}


def test_swapped_volumes(volumes: list[Path]) -> None:
    second, third = volumes[2].read_bytes(), volumes[3].read_bytes()
    volumes[2].write_bytes(third)
    volumes[3].write_bytes(second)
    result = verify_bundle(volumes[0], Asked())
    assert "it holds the content of volume 3" in found(result, "cut.tar.002").message
    assert "it holds the content of volume 2" in found(result, "cut.tar.003").message
    volumes[6].write_bytes(third)  # of another size than the last one
    result = verify_bundle(volumes[0], Asked())
    assert "it holds the content of volume 3" in found(result, "cut.tar.006").message


def test_without_the_first_volume(volumes: list[Path]) -> None:
    volumes[1].unlink()
    flip(volumes[4], 5)
    result = verify_bundle(volumes[0], Asked())
    assert result.statement is None
    assert damaged(result) == {
        ("statement", STATEMENT),
        ("volume", "cut.tar.001"),
        ("volume", "cut.tar.004"),
    }


def test_a_lost_signature_keeps_its_place(tmp_path: Path) -> None:
    """Whether there is one is not known from the statement, but from the size of the whole."""
    keys = key_pair(tmp_path, "site")
    made = plan(contents(tmp_path))
    # A statement that ends near the end of the first volume.
    while len(made.statement.to_json()) < (63 << 10):
        made = plan(replace(contents(tmp_path), since=(*made.statement.since, sha256(b"x")) * 2))
    size = len(made.statement.to_json())
    begin = 512 + size + -size % 512
    for sign, place in ((keys.sign, begin + 1024), (None, begin)):
        path = tmp_path / "cut.tar"
        _, first, *_ = write_bundle(
            made, path, sign=sign, volume_size=max(64 << 10, begin + 600)
        ).paths
        first.write_bytes(first.read_bytes()[: begin + 100])
        result = verify_bundle(path, Asked())
        assert ("volume", "cut.tar.001") in damaged(result)
        contents_at = {one.path: one.begin for one in result.findings if one.kind == "content"}
        assert contents_at.get("SHA256SUMS", place + 512) == place + 512
        assert result.verified >= len(made.statement.members) - 1


@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"volumes": 7}'])
def test_a_list_that_is_none(volumes: list[Path], text: bytes) -> None:
    volumes[0].write_bytes(text)
    result = verify_bundle(volumes[0], Asked())
    assert damaged(result) == {("list", "cut.tar.volumes.json")}


def test_any_flipped_byte_of_a_list_is_found(volumes: list[Path]) -> None:
    text = volumes[0].read_bytes()
    for offset in range(0, len(text), 7):
        flip(volumes[0], offset)
        with pytest.raises(BundleError):
            read_list(volumes[0])
        volumes[0].write_bytes(text)
    flip(volumes[0], 50)
    assert damaged(verify_bundle(volumes[0], Asked())) == {("list", "cut.tar.volumes.json")}
    volumes[0].unlink()
    result = verify_bundle(volumes[0].with_name("cut.tar"), Asked())
    assert damaged(result) == {("list", "cut.tar.volumes.json")}
    flip(volumes[3], 1)
    result = verify_bundle(volumes[0].with_name("cut.tar"), Asked())
    assert found(result, "archives/large.tar").volumes


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_from_a_pipe_and_a_fifo(bundle: Small, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def feed() -> None:
        with fifo.open("wb") as out:
            for at in range(0, len(bundle.data), 777):
                out.write(bundle.data[at : at + 777])

    thread = threading.Thread(target=feed)
    thread.start()
    result = verify_bundle(fifo, Asked(key=bundle.keys.public))
    thread.join()
    assert result.passed
    command = [sys.executable, "-m", "slimpack", "bundle", "verify", "-q", "-"]
    done = subprocess.run(command, input=bundle.data, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    cut = bundle.data[:-600]
    done = subprocess.run(command, input=cut, capture_output=True, check=False)
    assert done.returncode == 14
    assert b"cut off" in done.stdout


def test_the_command(bundle: Small, tmp_path: Path, run: Run) -> None:
    key = ("--key", bundle.keys.public)
    done = run("bundle", "verify", bundle.path, *key, "--deep", cwd=tmp_path)
    assert f"image     {NAME}" in done.stdout
    assert "signature good" in done.stdout
    assert run("bundle", "verify", bundle.path, "-q", cwd=tmp_path).stdout == ""
    told = json.loads(run("bundle", "verify", bundle.path, "--json", cwd=tmp_path).stdout)
    assert (told["passed"], told["signature"], told["findings"]) == (True, "not checked", [])
    bad = tmp_path / "bad.tar"
    bad.write_bytes(bundle.data)
    _, content, _ = bundle.place("locks/serve.lock")
    flip(bad, content)
    done = run("bundle", "verify", bad, "-q", cwd=tmp_path, code=14)
    assert "content   locks/serve.lock (lock serve.lock): its content is damaged" in done.stdout
    assert f"[bytes {content} to {content + 7}]" in done.stdout
    assert "1 fault" in done.stderr
    done = run("bundle", "verify", bad, "--json", cwd=tmp_path, code=14)
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["path"], finding["begin"]) == ("locks/serve.lock", content)
    done = run("bundle", "verify", bundle.path, "--not-older-than", "x", cwd=tmp_path, code=2)
    assert "give a date" in done.stderr


def test_packed_again_by_another_program(bundle: Small, tmp_path: Path) -> None:
    """Contents are whole then, and that is told; but it is not what slimpack wrote."""
    folder = tmp_path / "folder"
    folder.mkdir()
    subprocess.run(["tar", "xf", bundle.path, "-C", folder], check=True)
    names = [name for name, *_ in bundle.ranges()]
    again = tmp_path / "again.tar"
    moved = [*names[:2], *names[3:5], names[2], *names[5:]]
    for order, kinds in ((names, {"header", "end"}), (moved, {"header", "end", "order"})):
        subprocess.run(["tar", "cf", again, "--format=gnu", "-C", folder, *order], check=True)
        result = verify_bundle(again, Asked(key=bundle.keys.public))
        assert result.verified == len(names) - 2
        assert result.signature == "good"
        assert {one.kind for one in result.findings} == kinds
    with tarfile.open(again, "w") as archive:
        archive.add(folder, ".")
    with pytest.raises(InputError, match="its first member is"):
        verify_bundle(again, Asked())
    with tarfile.open(again, "w:gz") as archive:
        archive.add(folder, ".")
    with pytest.raises(BundleError, match="compressed as a whole"):
        verify_bundle(again, Asked())


class Scratched(io.BytesIO):
    """A medium that cannot be read to its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 4096:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(min(1024, size or 0))


def test_a_medium_that_cannot_be_read(bundle: Small) -> None:
    with pytest.raises(BundleError, match="from byte 4096 on: Input/output error"):
        verify_bundle(Scratched(bundle.data), Asked())
