"""Paths and accounts of a root file system, looked up from outside."""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import ImageError, SlimpackError
from slimpack.sandbox import inside
from slimpack.sandbox.inside import ensure, read, resolve
from slimpack.sandbox.users import User, find_user


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("of the host")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "abs").symlink_to("/usr")
    (root / "out").symlink_to("../../secret")
    (root / "out-abs").symlink_to(tmp_path / "secret")
    (root / "etc/circle").symlink_to("circle")
    (root / "etc/ping").symlink_to("pong/x")
    (root / "etc/pong").symlink_to("/etc/ping")
    return root


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("/", ""),
        ("/../..", ""),
        ("/etc/./passwd", "etc/passwd"),
        ("/lib/x", "usr/lib/x"),
        ("/abs/lib/../lib/y", "usr/lib/y"),
        ("/lib/../x", "usr/x"),
        ("out", "secret"),
        ("/nothing/../../x", "x"),
    ],
)
def test_links_stay_inside(root: Path, path: str, expected: str) -> None:
    assert resolve(root, path) == expected


def test_circles_are_refused(root: Path) -> None:
    for path in ("etc/circle", "etc/ping"):
        with pytest.raises(ImageError, match="in a circle"):
            resolve(root, path)


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "l", "m", "up", "/"]), max_size=12))
def test_no_path_leads_out(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    root = tmp_path_factory.getbasetemp() / "inside"
    if not root.is_dir():
        (root / "a/b").mkdir(parents=True)
        (root / "l").symlink_to("a/../../..")
        (root / "a/m").symlink_to("/l/b")
        (root / "up").symlink_to("../" * 30)
    found = resolve(root, "/".join(parts))
    assert ".." not in found.split("/")
    place = root
    for part in found.split("/"):
        place = place / part
        assert not place.is_symlink()


def test_reading_never_leaves(root: Path) -> None:
    (root / "usr/file").write_text("inside")
    assert read(root, "abs/file", 10) == b"inside"
    assert read(root, "out", 100) is None
    assert read(root, "out-abs", 100) is None
    assert read(root, "usr", 100) is None
    os.mkfifo(root / "usr/fifo")
    assert read(root, "usr/fifo", 100) is None
    with pytest.raises(ImageError, match="more than 5 bytes"):
        read(root, "usr/file", 5)


def test_what_is_missing_is_made_inside(root: Path) -> None:
    old = os.umask(0o077)
    try:
        assert ensure(root, "/abs/new/deep", "folder") == "usr/new/deep"
        assert ensure(root, "/lib/file", "file") == "usr/lib/file"
        assert ensure(root, "out", "file") == "secret"
    finally:
        os.umask(old)
    assert stat.S_IMODE((root / "usr/new").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "usr/lib/file").stat().st_mode) == 0o644
    assert (root / "secret").read_bytes() == b""
    assert (root.parent / "secret").read_text() == "of the host"
    assert ensure(root, "/abs/new/deep", "folder") == "usr/new/deep"


def test_what_is_something_else_is_refused(root: Path) -> None:
    (root / "file").write_text("")
    with pytest.raises(ImageError, match="is no folder"):
        ensure(root, "file", "folder")
    with pytest.raises(ImageError, match="is no file"):
        ensure(root, "usr", "file")
    with pytest.raises(SlimpackError):
        ensure(root, "file/below", "folder")


PASSWD = """\
# a comment: with: many: colons: in: it
root:x:0:0:root:/root:/bin/sh
app:x:1000:100::/home/app:
7:x:70:70::/seven:
broken:x:a:b::/:
huge:x:99999999999:0::/:
relative:x:5:5::home:
short:x:1
"""
GROUP = (
    "app:x:100:\nusers:x:200:root,app\nmore:x:150:app\napplication:x:300:application\nx:y:z:app2\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(0, 0, (200,), "/root")),
        ("root", User(0, 0, (200,), "/root")),
        ("app", User(1000, 100, (150, 200), "/home/app")),
        ("1000", User(1000, 100, (150, 200), "/home/app")),
        ("app:", User(1000, 100, (150, 200), "/home/app")),
        ("app:users", User(1000, 200, (), "/home/app")),
        ("app:0", User(1000, 0, (), "/home/app")),
        ("4242", User(4242, 0)),
        ("4242:4343", User(4242, 4343)),
        ("7", User(7, 0)),  # a number is no name
        (":users", User(0, 200, (), "/root")),
        ("relative", User(5, 5, (), "/")),
    ],
)
def test_users(root: Path, text: str, expected: User) -> None:
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    assert find_user(root, text) == expected


@pytest.mark.parametrize(
    "text", ["nobody", "app:wheel", "broken", "huge", "short", "99999999999", "1:4294967295", "-1"]
)
def test_users_that_are_none(root: Path, text: str) -> None:
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    with pytest.raises(ImageError):
        find_user(root, text)


def test_accounts_of_the_host_do_not_count(root: Path) -> None:
    (root.parent / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/passwd").symlink_to("../../passwd")
    with pytest.raises(ImageError):
        find_user(root, "root")
    assert find_user(root, "0") == User(0, 0)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=12))
def test_hostile_accounts(
    tmp_path_factory: pytest.TempPathFactory, passwd: str, group: str, user: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "hostile"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc/passwd").write_text(f"u:x:{passwd}\n{passwd}", "utf-8", "replace")
    (root / "etc/group").write_text(f"u:x:{group}\n{group}", "utf-8", "replace")
    for text in (user, f"u:{user}", "u"):
        try:
            found = find_user(root, text)
        except ImageError:
            continue
        assert 0 <= found.uid < 1 << 31
        assert found.home.startswith("/")


def test_several_make_the_same_place_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = inside._make

    def slowly(*arguments: Any) -> None:
        time.sleep(0.05)
        make(*arguments)

    monkeypatch.setattr(inside, "_make", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ensure(root, "/etc/hosts", "file"), range(4)))
    assert found == ["etc/hosts"] * 4
