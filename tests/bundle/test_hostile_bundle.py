"""Bundles that were made to do harm: each is told in words, in bounded time and memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from slimpack.bundle.contents import Part, Plan
from slimpack.bundle.findings import MAX_FINDINGS
from slimpack.bundle.frame import header_of
from slimpack.bundle.model import (
    MAX_MEMBERS,
    MAX_STATEMENT,
    STATEMENT,
    File,
    Statement,
    parse_statement,
)
from slimpack.bundle.reader import open_bundle
from slimpack.bundle.verify import Asked, Verification, verify_bundle
from slimpack.bundle.volumes import Volume, VolumeList, list_path
from slimpack.bundle.write import write_bundle
from slimpack.errors import BundleError, SlimpackError
from slimpack.oci.digest import sha256
from slimpack.oci.jsontext import canonical
from slimpack.oci.tar import END
from tests.bundle.small import Small, small
from tests.support.channel import ROOT

Data = dict[str, Any]
FILE = Part.of("locks/a.lock", b"locked")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small(tmp_path_factory.mktemp("small"))


def text_of(value: Data) -> bytes:
    """Return a statement of any content, with the digest of its own that it must have."""
    return canonical({**value, "statementDigest": sha256(canonical(value))})


def value_of(statement: Statement) -> Data:
    value = json.loads(statement.to_json())
    del value["statementDigest"]
    return dict(value)


def member(path: str, data: bytes) -> bytes:
    return header_of(path, len(data)) + data + bytes(-len(data) % 512)


def told(raw: bytes, *parts: bytes, end: bytes = END) -> Verification:
    """Verify a tar of a statement and of these parts."""
    return verify_bundle(io.BytesIO(member(STATEMENT, raw) + b"".join(parts) + end), Asked())


def listing(*parts: Part) -> Statement:
    files = (File(part.path, part.size, part.digest, "lock") for part in parts)
    return Statement(files=tuple(files))


def kinds(result: Verification) -> list[str]:
    """Return what was found, but for the layout that these bundles do not have."""
    return [one.kind for one in result.findings if one.kind != "layout"]


def foreign(name: str, data: bytes = b"", **fields: Any) -> bytes:
    """Return one member of a tar, as Python's own writer makes it."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    head = info.tobuf(fields.pop("format", tarfile.PAX_FORMAT))
    return head + data + bytes(-len(data) % 512)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("../outside", {}, "outside of its root"),
        ("a/../../outside", {}, "outside of its root"),
        ("blobs/sha256/../../locks/a.lock", {}, "outside of its root"),
        ("/etc/passwd", {}, "does not list it"),
        ("other", {}, "does not list it"),
        ("x" * 5000, {}, "too long"),
        ("dir/", {"type": tarfile.DIRTYPE}, "is a directory"),
        ("dir", {"type": tarfile.DIRTYPE}, "is a directory"),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a symlink"),
        ("locks/a.lock", {"type": tarfile.SYMTYPE, "linkname": "b"}, "is a symlink"),
        ("locks/a.lock", {"type": tarfile.LNKTYPE, "linkname": "index.json"}, "is a hardlink"),
        ("hard", {"type": tarfile.LNKTYPE, "linkname": "../outside"}, "outside of its root"),
        ("null", {"type": tarfile.CHRTYPE}, "is a other"),
        ("fifo", {"type": tarfile.FIFOTYPE}, "is a other"),
        ("sparse", {"pax_headers": {"GNU.sparse.major": "1"}}, "sparse"),
        ("sparse", {"type": b"S"}, "unknown type"),
        ("size", {"pax_headers": {"size": "-1"}}, "invalid size"),
        ("size", {"pax_headers": {"path": "../x"}}, "outside of its root"),
        ("size", {"pax_headers": {"comment": "x" * (2 << 20)}}, "extended header of"),
    ],
)
def test_members_that_must_not_be(name: str, fields: Data, message: str) -> None:
    """Before, between and behind the others: it is told, and the others are found."""
    statement = listing(FILE)
    good = member(FILE.path, b"locked")
    bad = foreign(name, **fields)
    for parts in ((bad, good), (good, bad), (bad, bad, good, bad)):
        result = told(statement.to_json(), *parts)
        assert result.verified == 1, result.findings
        assert any(message.removeprefix("is a ") in one.message for one in result.findings)
        assert set(kinds(result)) == {"unlisted"}


def test_a_member_that_comes_twice() -> None:
    good = member(FILE.path, b"locked")
    for second in (good, member(FILE.path, b"other content"), member(STATEMENT, b"{}")):
        result = told(listing(FILE).to_json(), good, second)
        assert kinds(result) == ["duplicate"]
        assert result.verified == 1


@pytest.mark.parametrize("size", [0, 1, 5, 7, 511, 600, 100_000])
def test_sizes_that_lie(size: int) -> None:
    """The tar says another size than the statement."""
    other = Part.of("locks/b.lock", b"the next one")
    follows = member(other.path, b"the next one")
    result = told(listing(FILE, other).to_json(), member(FILE.path, b"l" * size), follows)
    one = result.findings[0]
    assert kinds(result) == ["size"]
    assert one.path == FILE.path
    assert f"has {size} bytes, but the statement declares 6" in one.message
    assert result.verified == 1


def test_a_size_in_the_header_alone() -> None:
    """There are not so many bytes."""
    head = header_of(FILE.path, 8 << 30)
    result = told(listing(FILE).to_json(), head, b"locked" + bytes(506))
    assert set(kinds(result)) == {"size", "content", "end"}
    vast = Part(FILE.path, (1 << 53) - 1, FILE.digest, io.BytesIO)
    result = told(listing(vast).to_json(), header_of(vast.path, vast.size), bytes(512))
    assert set(kinds(result)) == {"content", "end"}


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/", "blobs/sha256/x"),
        *("slimpack/bundle.json", "slimpack/x", "a\0b", "\ud800", "x" * 5000),
    ],
)
def test_paths_in_the_statement(path: str) -> None:
    file = {"path": path, "size": 6, "digest": FILE.digest, "kind": "lock"}
    raw = text_of({**value_of(Statement()), "files": [file]})
    with pytest.raises(BundleError):
        parse_statement(raw, "it")
    assert kinds(told(raw)) == ["statement"]


@pytest.mark.parametrize(
    "change",
    [
        {"files": [7]},
        {"files": {}},
        {"files": [{}]},
        {"files": [{"path": "a", "size": -1, "digest": FILE.digest, "kind": "lock"}]},
        {"files": [{"path": "a", "size": 1.0, "digest": FILE.digest, "kind": "lock"}]},
        {"files": [{"path": "a", "size": 10**30, "digest": FILE.digest, "kind": "lock"}]},
        {"files": [{"path": "a", "size": 1, "digest": "sha256:0", "kind": "lock"}]},
        {"files": [{"path": "a", "size": 1, "digest": FILE.digest, "kind": "x"}]},
        {"files": [{"path": "a", "size": 1, "digest": FILE.digest, "kind": "lock"}] * 2},
        {"blobs": [{"digest": FILE.digest, "size": 1}] * 2},
        {
            "blobs": [{"digest": FILE.digest, "size": 1}],
            "absent": [{"digest": FILE.digest, "size": 1}],
        },
        {"images": [{"names": ["a", "a"], "descriptor": {"digest": FILE.digest, "size": 1}}]},
        {"images": [{"names": [1]}]},
        {"images": [{"descriptor": []}]},
        {"patches": [{"target": {}}]},
        {"since": ["yesterday"]},
        {"created": "yesterday"},
        {"schemaVersion": 2},
        {"mediaType": "text/html"},
        {"tool": {}},
    ],
)
def test_statements_that_are_none(change: Data) -> None:
    result = told(text_of({**value_of(Statement()), **change}))
    assert kinds(result) == ["statement"]
    assert result.statement is None


def test_json_that_is_none() -> None:
    good = Statement().to_json()
    for raw in (
        b"[]",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1, "a": 2}',
        good[:-1] + b',"tool":""}',
        good.replace(b'"tool":""', b'"tool":"x"'),
        good.replace(b'"tool":""', b'"tool": ""'),
        good + b"\n",
        b"\0" * 600,
    ):
        result = told(raw)
        assert kinds(result) == ["statement"], raw[:40]


def test_blobs_that_no_image_needs() -> None:
    part = Part.of("blobs/sha256/" + FILE.digest.removeprefix("sha256:"), b"locked")
    value = value_of(Statement())
    raw = text_of({**value, "blobs": [{"digest": part.digest, "size": part.size}]})
    result = told(raw, member(part.path, b"locked"))
    assert any("no image needs it" in one.message for one in result.findings)
    assert result.verified == 1


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"layers": 7}',
        b'{"config": {"digest": "x", "size": 1}}',
        b'{"manifests": [{"digest": 1}]}',
        b'{"config": {}, "layers": [{"digest": "sha256:../x", "size": 1}]}',
        b'{"a": 1, "a": 2}',
    ],
)
@pytest.mark.parametrize("kind", ["manifest", "index"])
def test_manifests_that_are_none(manifest: bytes, kind: str) -> None:
    digest = sha256(manifest)
    descriptor = {
        "mediaType": f"application/vnd.oci.image.{kind}.v1+json",
        "digest": digest,
        "size": len(manifest),
    }
    image = {"names": ["docker.io/library/a:1"], "descriptor": descriptor, "attached": []}
    blob = {"digest": digest, "size": len(manifest)}
    raw = text_of({**value_of(Statement()), "images": [image], "blobs": [blob]})
    result = told(raw, member(f"blobs/sha256/{digest[7:]}", manifest))
    assert set(kinds(result)) == {"image"}
    assert result.verified == 1
    attached = {"descriptor": {**descriptor, "artifactType": "x"}, "subject": digest}
    raw = text_of({**value_of(Statement()), "images": [{**image, "attached": [attached]}]})
    assert not told(raw).passed


def test_an_index_that_is_listed_many_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of images of ten thousands of parts each are not looked at without end."""
    monkeypatch.setattr("slimpack.bundle.complete._MOST_JSON", 16 << 20)
    other = {"mediaType": "a/b", "digest": FILE.digest, "size": 1}
    index = canonical({"schemaVersion": 2, "manifests": [other] * 30_000})
    digest = sha256(index)
    kind = "application/vnd.oci.image.index.v1+json"
    descriptor = {"mediaType": kind, "digest": digest, "size": len(index)}
    images = [
        {"names": [f"docker.io/library/a:{number}"], "descriptor": descriptor, "attached": []}
        for number in range(300)
    ]
    blob = {"digest": digest, "size": len(index)}
    raw = text_of({**value_of(Statement()), "images": images, "blobs": [blob]})
    result = told(raw, member(f"blobs/sha256/{digest[7:]}", index))
    bounded = [one for one in result.findings if "more parts than are allowed" in one.message]
    assert len(bounded) > 290


def test_more_findings_than_anybody_reads() -> None:
    result = told(Statement().to_json(), *[member(f"x{number}", b"") for number in range(11_000)])
    assert result.count == 11_000 + 3
    assert len(result.findings) == MAX_FINDINGS


@given_settings(max_examples=150)
@given(
    begin=st.floats(0, 1),
    cut=st.integers(0, 3000),
    put=st.binary(max_size=1500),
    seed=st.integers(0, 20),
)
def test_any_change_is_told(bundle: Small, begin: float, cut: int, put: bytes, seed: int) -> None:
    """Bytes that are exchanged, lost or new, anywhere: told in words, and never an exception."""
    at = int(begin * len(bundle.data))
    data = bundle.data[:at] + put * seed + bundle.data[at + cut :]
    try:
        result = bundle.verify(data)
    except SlimpackError:
        return
    assert result.passed == (data == bundle.data)


@given_settings(max_examples=100)
@given(st.binary(max_size=3000))
def test_any_bytes_are_told(data: bytes) -> None:
    for stream in (data, header_of(STATEMENT, len(data)) + data):
        try:
            assert not verify_bundle(io.BytesIO(stream), Asked()).passed
        except SlimpackError:
            continue


SCRIPT = """
import sys
from pathlib import Path
from slimpack.bundle.verify import Asked, verify_bundle
from slimpack.errors import SlimpackError
bundle = Path(sys.argv[1]) if sys.argv[1] != "-" else sys.stdin.buffer
try:
    result = verify_bundle(bundle, Asked(deep=True))
    print(result.passed, [one.kind for one in result.findings if one.kind != "layout"][:5])
except SlimpackError as error:
    print(error)
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])  # ru_maxrss starts with that of who forked
"""


def bounded(path: Path, megabytes: int = 400) -> str:
    """Verify in a process of its own; return what it said, if it took no more memory."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *said, peak = done.stdout.splitlines()
    assert int(peak) < megabytes << 10
    return "\n".join(said)


def test_a_large_sparse_file(tmp_path: Path) -> None:
    """1 GB in one member, in the memory of a small one."""
    path = tmp_path / "sparse.tar"
    part = Part("archives/large.tar", 1 << 30, FILE.digest, io.BytesIO)
    statement = listing(part)
    with path.open("wb") as out:
        out.write(member(STATEMENT, statement.to_json()) + header_of(part.path, part.size))
        out.truncate(out.tell() + part.size + len(END))
    assert bounded(path, 120) == "False ['content']"


def test_two_hundred_thousand_members(tmp_path: Path) -> None:
    parts = [Part.of(f"channel/noarch/p{number}.conda", b"") for number in range(MAX_MEMBERS)]
    path = tmp_path / "many.tar"
    write_bundle(Plan(listing(*parts), tuple(sorted(parts, key=lambda one: one.path))), path)
    assert bounded(path) == "False []"  # but for a layout, all is well
    more = listing(*parts, Part.of("channel/noarch/one-more.conda", b""))
    with pytest.raises(BundleError, match="more than 200000 members"):
        parse_statement(more.to_json(), "it")


def strings() -> bytes:
    return b'{"a":[' + b",".join(b'"%d"' % number for number in range(1_500_000)) + b"]}"


def floats() -> bytes:
    return b'{"a":[' + b",".join(b"%d.5" % number for number in range(4_700_000)) + b"]}"


def lists() -> bytes:
    return b'{"a":[' + b",".join([b"[]"] * 2_300_000) + b"]}"


def too_many() -> bytes:
    return b'{"a":[' + b",".join([b"[]"] * 20_000_000) + b"]}"


def nested() -> bytes:
    return b'{"a":' + b"[" * 30_000_000


def one_text() -> bytes:
    return b'{"a":"' + b"x" * (MAX_STATEMENT - 8) + b'"}'


@pytest.mark.parametrize("made", [strings, floats, lists, too_many, nested, one_text])
def test_a_huge_statement(tmp_path: Path, made: Callable[[], bytes]) -> None:
    path = tmp_path / "huge.tar"
    raw = made()
    path.write_bytes(member(STATEMENT, raw) + END)
    assert bounded(path) == "False ['statement']"
    # And where its header is damaged, so that its end has to be looked for.
    path.write_bytes(bytes(512) + raw + bytes(1024))
    bounded(path)


def test_a_statement_that_never_ends(tmp_path: Path) -> None:
    path = tmp_path / "endless.tar"
    with path.open("wb") as out:
        out.write(header_of(STATEMENT, MAX_STATEMENT + 1))
        out.truncate(1 << 30)
    assert "is not a bundle, or its beginning is damaged" in bounded(path)
    with path.open("wb") as out:
        out.write(bytes(512) + b'{"a":"' + b"x" * (MAX_STATEMENT + (4 << 20)))
    assert "is not a bundle, or its beginning is damaged" in bounded(path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_devices_that_never_end(device: str) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        verify_bundle(Path(device), Asked())


def test_what_is_no_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty.tar"
    empty.touch()
    for path, message in [
        (empty, "is empty"),
        (tmp_path, "is a folder"),
        (tmp_path / "nowhere.tar", "does not exist"),
        (Path(), "is a folder"),
        (Path("/dev/null"), "is empty"),
    ]:
        with pytest.raises(SlimpackError, match=message):
            verify_bundle(path, Asked())


def test_a_list_that_promises_much(tmp_path: Path) -> None:
    """Volumes of petabytes that are not there cost no time."""
    volumes = tuple(Volume(f"site.tar.{n:03d}", 1 << 52, FILE.digest) for n in range(2, 10))
    first = Volume("site.tar.001", 1024, FILE.digest)
    (tmp_path / "site.tar.001").write_bytes(member(STATEMENT, Statement().to_json())[:1024])
    listed = VolumeList(FILE.digest, 1024 + sum(one.size for one in volumes), (first, *volumes))
    list_path(tmp_path / "site.tar").write_bytes(listed.to_json())
    result = verify_bundle(tmp_path / "site.tar", Asked())
    assert len(result.bring) == 9


@pytest.mark.parametrize("name", ["../site.tar.001", "/etc/passwd", "", ".", "a\0", "a/b"])
def test_a_list_that_leads_elsewhere(tmp_path: Path, name: str) -> None:
    listed = VolumeList(FILE.digest, 6, (Volume(name, 6, FILE.digest),))
    list_path(tmp_path / "site.tar").write_bytes(listed.to_json())
    with pytest.raises(BundleError, match="not beside it"):
        verify_bundle(tmp_path / "site.tar", Asked())


def test_a_layer_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimpack.bundle.deep.MAX_UNPACKED", 2_000)
    made = small(tmp_path)
    result = verify_bundle(made.path, Asked(deep=True))
    assert set(kinds(result)) == {"image"}
    assert "unpacks to more than" in result.findings[0].message
    assert result.verified == len(made.ranges()) - 2


def test_the_reader_refuses_what_verify_finds(bundle: Small, tmp_path: Path) -> None:
    """`open_bundle`, which all other commands use, takes no damaged statement either."""
    path = tmp_path / "bad.tar"
    data = bytearray(bundle.data)
    data[bundle.data.index(b'"tool":"test"') + 9] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="is damaged: it is not what its own digest names"):
        open_bundle(path)
