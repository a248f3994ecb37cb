from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimpack.env.dists import owned_dists, read_dists
from slimpack.env.meta import read_installed
from slimpack.errors import InputError
from tests.support.wheels import installed_wheel

SITE = "lib/python3.11/site-packages"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / SITE
    folder.mkdir(parents=True)
    return folder


def test_a_wheel_is_read(tmp_path: Path, site: Path) -> None:
    info = installed_wheel(
        site,
        "Foo.Bar",
        "1.2",
        RECORD="foo/__init__.py,sha256=x,1\n../../../bin/foo,,\n"
        'foo/__pycache__/__init__.cpython-311.pyc,,\n"foo/a,b.py",,\n',
        INSTALLER="pip\n",
    )
    (dist,) = read_dists(tmp_path, ())
    assert dist.name == "foo-bar"
    assert dist.owner == "pypi:foo-bar"
    assert dist.folder == f"{SITE}/{info.name}"
    assert (dist.version, dist.installer, dist.url, dist.editable) == ("1.2", "pip", "", False)
    assert dist.files == (
        "bin/foo",
        f"{SITE}/foo/__init__.py",
        f"{SITE}/foo/__pycache__/__init__.cpython-311.pyc",
        f"{SITE}/foo/a,b.py",
    )


def test_paths_that_leave_the_prefix_are_left_out(tmp_path: Path, site: Path) -> None:
    installed_wheel(
        site,
        "foo",
        RECORD="/etc/passwd,,\n../../../../outside,,\n../../..,,\n./foo.py,,\nx/../foo.py,,\n,,\n\n",
    )
    (dist,) = read_dists(tmp_path, ())
    assert dist.files == (f"{SITE}/foo.py",)


@pytest.mark.parametrize("owned", ["METADATA", "RECORD", "INSTALLER"])
def test_what_conda_owns_is_none(tmp_path: Path, site: Path, owned: str) -> None:
    info = installed_wheel(site, "foo", RECORD="", INSTALLER="conda\n")
    assert read_dists(tmp_path, {f"{SITE}/{info.name}/{owned}"}) == ()
    owners = {f"{SITE}/{info.name}/METADATA": "conda-foo"}
    assert owned_dists(tmp_path, owners) == {"foo": ("1.0", "conda-foo")}
    assert owned_dists(tmp_path, {}) == {}


def test_origins_and_editables_are_read(tmp_path: Path, site: Path) -> None:
    def origin(url: str, **extra: object) -> str:
        return json.dumps({"url": url, **extra})

    installed_wheel(site, "a", direct_url=origin("https://h/a.whl", archive_info={}))
    installed_wheel(site, "b", direct_url=origin("file:///src/b", dir_info={"editable": True}))
    installed_wheel(site, "c", direct_url=origin("file:///src/c", dir_info={}))
    installed_wheel(site, "d", direct_url=origin("file:///src/d", dir_info={"editable": "yes"}))
    installed_wheel(site, "e", RECORD="__editable__.e-1.0.pth,,\n")
    (site / "__editable__.e-1.0.pth").write_text("/src/e folder\n")
    found = {dist.name: (dist.url, dist.editable) for dist in read_dists(tmp_path, ())}
    assert found == {
        "a": ("https://h/a.whl", False),
        "b": ("file:///src/b", True),
        "c": ("file:///src/c", False),
        "d": ("file:///src/d", False),
        "e": ("file:///src/e%20folder", True),
    }


def test_what_setuptools_left_is_read(tmp_path: Path, site: Path) -> None:
    source = tmp_path / "source"
    (source / "Dev.egg-info").mkdir(parents=True)
    (source / "Dev.egg-info" / "PKG-INFO").write_text("Name: Dev\nVersion: 3.0\n")
    other = tmp_path / "other"
    (other / "bare.egg-info").mkdir(parents=True)
    (other / "bare.egg-info" / "PKG-INFO").write_text("Name: bare\nVersion: 4.0\n")
    (site / "Dev.egg-link").write_text(f"{source}\n.\n")
    (site / "gone.egg-link").write_text("/nowhere/at/all\n.\n")
    (site / "easy-install.pth").write_text(f"{source}\n{other}\n/nowhere/at/all\n./an.egg\n")
    old = site / "old-1.5.egg-info"
    old.mkdir()
    (old / "PKG-INFO").write_text("Name: old\nVersion: 1.5\n")
    (old / "installed-files.txt").write_text("../old.py\n../../../../bin/old\nPKG-INFO\n")
    (site / "single-2.egg-info").write_text("Name: single\nVersion: 2\n")
    found = {dist.name: dist for dist in read_dists(tmp_path, ())}
    assert sorted(found) == ["bare", "dev", "gone", "old", "single"]
    assert found["dev"].url == source.as_uri()
    assert (found["dev"].version, found["dev"].editable) == ("3.0", True)
    assert found["dev"].folder == f"{SITE}/Dev.egg-link"
    assert found["bare"].url == other.as_uri()
    assert found["gone"].url == "file:///nowhere/at/all"
    assert (
        found["old"].files
        == (
            f"{SITE}/old-1.5.egg-info/PKG-INFO",
            f"{SITE}/old-1.5.egg-info/installed-files.txt",
            f"{SITE}/old.py",
            "bin/old",
        )
        or found["old"].files[0] == "bin/old"
    )
    assert found["single"].files == (f"{SITE}/single-2.egg-info",)


def test_leftovers_of_a_broken_uninstall_are_passed_over(tmp_path: Path, site: Path) -> None:
    installed_wheel(site, "~umpy")
    (site / "empty-1.0.dist-info").mkdir()
    (site / "linked-1.0.dist-info").symlink_to("/")
    assert read_dists(tmp_path, ()) == ()


def test_a_link_to_another_version_of_python_is_not_read_twice(tmp_path: Path, site: Path) -> None:
    installed_wheel(site, "foo")
    (tmp_path / "lib" / "python3.1").symlink_to("python3.11")
    assert len(read_dists(tmp_path, ())) == 1


def test_licenses_are_one_line(tmp_path: Path, site: Path) -> None:
    for name, lines in {
        "a": "License-Expression: MIT OR Apache-2.0\nLicense: no",
        "b": "License: BSD",
        "c": "License: x\n        y\nClassifier: License :: OSI Approved :: MIT License",
        "d": "",
    }.items():
        info = installed_wheel(site, name)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1\n{lines}\n")
    assert [dist.license for dist in read_dists(tmp_path, ())] == [
        "MIT OR Apache-2.0",
        "BSD",
        "MIT License",
        "",
    ]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("METADATA", b"Version: 1.0\n"),
        ("METADATA", b"Name: ../../evil\nVersion: 1.0\n"),
        ("METADATA", b"Name: foo\nVersion: 1.0 ; rm\n"),
        ("METADATA", b"Name: foo\n"),
        ("METADATA", b"Name: caf\xe9\nVersion: 1.0\n"),
        ("RECORD", b"\xff\xfe,,\n"),
        ("RECORD", b'"' + b"x" * 200_000 + b'",,\n'),
        ("direct_url.json", b"{"),
        ("direct_url.json", b"[]"),
        ("direct_url.json", b"null"),
        ("direct_url.json", b'{"url": 1}'),
        ("direct_url.json", b'{"url": "x", "dir_info": 3}'),
        ("direct_url.json", b"[" * 200_000),
        ("INSTALLER", b"\xff"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, site: Path, file: str, content: bytes) -> None:
    info = installed_wheel(site, "foo", RECORD="foo.py,,\n")
    (info / file).write_bytes(content)
    with pytest.raises(InputError, match=str(info / file)):
        read_dists(tmp_path, ())


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path, site: Path) -> None:
    info = installed_wheel(site, "foo")
    with (info / "RECORD").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_dists(tmp_path, ())


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(metadata=st.binary(max_size=80), record=st.binary(max_size=80), url=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(
    tmp_path: Path, site: Path, metadata: bytes, record: bytes, url: bytes
) -> None:
    info = site / "foo-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_bytes(b"Name: foo\nVersion: 1.0\n" + metadata)
    (info / "RECORD").write_bytes(record)
    (info / "direct_url.json").write_bytes(b'{"url":"' + url + b'"}')
    try:
        dists = read_dists(tmp_path, ())
    except InputError:
        return
    for dist in dists:
        for path in dist.files:
            assert not path.startswith(("/", "../"))
            assert (tmp_path / path).is_relative_to(tmp_path)


def test_pip_owns_what_it_wrote_over_conda(tmp_path: Path, site: Path) -> None:
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    paths = [{"_path": f"{SITE}/{name}.py", "sha256": "0" * 64} for name in ("both", "mine")]
    (meta / "tool-1-0.json").write_text(
        json.dumps(
            {
                "name": "tool",
                "version": "1",
                "files": [item["_path"] for item in paths],
                "paths_data": {"paths": paths},
            }
        )
    )
    before = read_installed(tmp_path)
    assert before.dists == ()
    assert before.owners[f"{SITE}/both.py"] == "tool"
    installed_wheel(site, "foo", RECORD="both.py,,\nown.py,,\n")
    after = read_installed(tmp_path)
    assert after.owners[f"{SITE}/both.py"] == after.owners[f"{SITE}/own.py"] == "pypi:foo"
    assert after.owners[f"{SITE}/mine.py"] == "tool"
    assert set(after.digests) == {f"{SITE}/mine.py"}
