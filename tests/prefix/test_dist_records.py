from __future__ import annotations

import base64
import csv
import hashlib
import json
from pathlib import Path

import pytest

from slimpack.env.dists import Dist
from slimpack.env.meta import read_installed
from slimpack.errors import InputError
from slimpack.prefix.dist_records import outdated_records, portable_origin, with_dist_records
from slimpack.tree import Tree, bytes_entry

SITE = "lib/python3.11/site-packages"
INFO = f"{SITE}/foo-1.0.dist-info"
FOO = Dist("foo", "1.0", INFO, ())


def tree(files: dict[str, str]) -> Tree:
    return Tree(
        bytes_entry(f"opt/env/{path}", text.encode(), mode=0o644, owner="pypi:foo")
        for path, text in files.items()
    )


def record(of: Tree) -> list[str]:
    return of[f"opt/env/{INFO}/RECORD"].read().decode().splitlines()


def test_a_record_tells_of_the_files_that_are_there() -> None:
    content = "#!/opt/env/bin/python\n"
    digest = hashlib.sha256(content.encode()).hexdigest()
    before = tree(
        {
            "bin/foo": content,
            f"{SITE}/foo/__init__.py": "",
            f"{SITE}/foo/__pycache__/__init__.cpython-311.pyc": "",
            f"{SITE}/foo/__pycache__/odd.pyc": "",
            f"{SITE}/foo/shipped.pyc": "",
            f"{INFO}/METADATA": "",
            f"{INFO}/RECORD": "foo/gone.py,sha256=x,1\n"
            "foo/__init__.py,sha256=keep,0\n"
            "foo/shipped.pyc,sha256=y,3\n"
            "foo/__pycache__/__init__.cpython-311.pyc,,\n"
            "foo/__pycache__/gone.cpython-311.pyc,,\n"
            "/etc/passwd,,\n"
            "../../../../../etc/passwd,,\n"
            "\n"
            "short\n"
            "../../../bin/foo,sha256=old,9\n"
            "foo-1.0.dist-info/RECORD,,\n"
            "foo-1.0.dist-info/METADATA,sha256=m,2\n",
        }
    )
    after = with_dist_records(before, [FOO], "/opt/env", {"bin/foo": (digest, len(content))})
    encoded = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
    assert record(after) == [
        f"../../../bin/foo,sha256={encoded},{len(content)}",
        "foo-1.0.dist-info/METADATA,sha256=m,2",
        "foo-1.0.dist-info/RECORD,,",
        "foo/__init__.py,sha256=keep,0",
        "foo/__pycache__/__init__.cpython-311.pyc,,",
        "foo/shipped.pyc,,",
    ]
    entry = after[f"opt/env/{INFO}/RECORD"]
    assert (entry.owner, entry.mode) == ("pypi:foo", 0o644)
    again = with_dist_records(after, [FOO], "/opt/env", {"bin/foo": (digest, len(content))})
    assert record(again) == record(after)


def test_bytecode_that_slimpack_made_is_listed() -> None:
    before = tree(
        {
            f"{SITE}/foo.py": "",
            f"{SITE}/__pycache__/foo.cpython-311.pyc": "",
            f"{SITE}/__pycache__/foo.cpython-311.opt-1.pyc": "",
            f"{SITE}/__pycache__/other.cpython-311.pyc": "",
            f"{INFO}/RECORD": "foo.py,,\n",
        }
    )
    assert record(with_dist_records(before, [FOO], "opt/env", {})) == [
        "__pycache__/foo.cpython-311.opt-1.pyc,,",
        "__pycache__/foo.cpython-311.pyc,,",
        "foo-1.0.dist-info/RECORD,,",
        "foo.py,,",
    ]


def test_bytecode_in_the_place_of_a_source_is_listed() -> None:
    before = tree({f"{SITE}/foo.pyc": "", f"{INFO}/RECORD": "foo.py,sha256=x,1\ngone.py,,\n"})
    after = with_dist_records(before, [FOO], "opt/env", {})
    assert record(after) == ["foo-1.0.dist-info/RECORD,,", "foo.pyc,,"]


def test_records_of_conda_packages_lose_what_slimming_took() -> None:
    lines = "foo/tests/a.py,sha256=x,1\nfoo/b.so,sha256=y,2\nfoo/__init__.py,sha256=z,0\n"
    files = {f"{SITE}/foo/__init__.py": "", f"{SITE}/foo/b.so": "", f"{INFO}/RECORD": lines}
    digest = hashlib.sha256(b"short").hexdigest()
    changed = outdated_records(tree(files), [], "opt/env", {f"{SITE}/foo/b.so": (digest, 5)})
    encoded = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
    assert changed[f"{INFO}/RECORD"].read().decode().splitlines() == [
        "foo-1.0.dist-info/RECORD,,",
        "foo/__init__.py,sha256=z,0",
        f"foo/b.so,sha256={encoded},5",
    ]


@pytest.mark.parametrize("lines", ["foo/__init__.py,sha256=x,1\n", "\udcff"])
def test_records_that_are_true_or_unreadable_stay(lines: str) -> None:
    data = lines.encode("utf-8", "surrogateescape")
    files = {f"{SITE}/foo/__init__.py": b"", f"{INFO}/RECORD": data}
    entries = [bytes_entry(f"opt/env/{path}", content) for path, content in files.items()]
    assert not outdated_records(Tree(entries), [], "opt/env", {})


def test_names_with_commas_stay_csv() -> None:
    before = tree({f"{SITE}/a,b.py": "", f"{INFO}/RECORD": '"a,b.py",sha256=x,1\n'})
    rows = list(csv.reader(record(with_dist_records(before, [FOO], "/opt/env", {}))))
    assert ["a,b.py", "sha256=x", "1"] in rows


def test_an_origin_names_no_folder_of_the_host_and_its_digest_is_right() -> None:
    origin = json.dumps({"url": "file:///home/me/secret%20dir/foo", "dir_info": {"editable": True}})
    before = tree(
        {
            f"{INFO}/direct_url.json": origin,
            f"{INFO}/RECORD": "foo-1.0.dist-info/direct_url.json,,\n",
        }
    )
    after = with_dist_records(before, [FOO], "/opt/env", {})
    data = after[f"opt/env/{INFO}/direct_url.json"].read()
    assert json.loads(data) == {"url": "file:///foo", "dir_info": {}}
    encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    assert f"foo-1.0.dist-info/direct_url.json,sha256={encoded},{len(data)}" in record(after)


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://me:secret@h.example/a.whl", "https://h.example/a.whl"),
        ("ssh://git@h.example/repo", "ssh://git@h.example/repo"),
        ("ssh://git:secret@h.example/repo", "ssh://h.example/repo"),
        ("file:///home/me/a.whl", "file:///a.whl"),
    ],
)
def test_origins_lose_credentials(url: str, public: str) -> None:
    assert json.loads(portable_origin(json.dumps({"url": url}).encode(), "x"))["url"] == public


def test_files_of_others_stay_as_they_are() -> None:
    before = tree({f"{SITE}/foo.py": "", f"{SITE}/conda-1.dist-info/RECORD": "gone.py,,\n"})
    after = with_dist_records(before, [FOO], "/opt/env", {})
    assert list(after) == list(before)


@pytest.mark.parametrize(
    ("name", "content"),
    [("RECORD", "\udcff"), ("direct_url.json", "{"), ("direct_url.json", "[]")],
)
def test_malformed_records_are_named(name: str, content: str) -> None:
    data = content.encode("utf-8", "surrogateescape")
    broken = Tree([bytes_entry(f"opt/env/{INFO}/{name}", data)])
    with pytest.raises(InputError, match=f"/opt/env/{INFO}/{name}"):
        with_dist_records(broken, [FOO], "/opt/env", {})


def test_an_empty_prefix_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    assert not list(with_dist_records(Tree([]), read_installed(tmp_path).dists, "/opt/env", {}))
