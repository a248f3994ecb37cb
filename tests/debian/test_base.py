"""The way from a signed Release to a tree, against a mirror in this process."""

from __future__ import annotations

import errno
import json
import os
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from slimpack.debian import DebianBase, tree_digest
from slimpack.errors import InputError, RuntimeBaseError
from slimpack.runtimes import Runtime, load_runtime, pin_runtime
from slimpack.tree import Kind

from .archive import Archive, Mirror, file
from .conftest import NONE, NOWHERE, Assemble, Listener, cached_debs, suites, with_source


def test_the_newest_version_over_all_suites_is_taken(assemble: Assemble) -> None:
    base = assemble()
    assert [(package.name, package.version, package.archive) for package in base.packages] == [
        ("libc6", "2.36-9+deb12u1", "security"),
        ("texts", "1:3~rc1", "main"),
    ]
    assert base.glibc == "2.36"
    assert base.provides == {"glibc": "2.36"}
    assert base.tree["lib/ld.so"].read() == b"new loader"
    assert [info.suite for info in base.releases] == [
        "bookworm",
        "bookworm-updates",
        "bookworm-security",
    ]


def test_the_architecture_follows_the_platform(assemble: Assemble) -> None:
    base = assemble(platform="linux/arm64")
    assert base.packages[0].architecture == "arm64"
    assert base.tree["lib/ld.so"].read() == b"old loader"


def test_packages_of_other_architectures_are_passed_over(
    assemble: Assemble, archive: Archive
) -> None:
    main = suites()[0]
    main.add([file("./lib/ld.so", b"foreign")], name="libc6", version="9:9", arch="i386")
    archive.publish(main)
    assert assemble().packages[0].version == "2.36-9+deb12u1"


def test_an_unknown_platform_is_an_input_error(assemble: Assemble) -> None:
    with pytest.raises(InputError, match="linux/s390x"):
        assemble(platform="linux/s390x")


def test_entries_carry_owner_mode_and_links(assemble: Assemble) -> None:
    tree = assemble().tree
    assert "usr/share/noise" not in tree
    assert (tree["usr/share/text"].owner, tree["lib/ld.so"].mode) == ("texts", 0o755)
    assert (tree["usr/share/also"].kind, tree["usr/share/also"].link) == (Kind.SYMLINK, "text")


def test_status_d_describes_only_what_is_there(assemble: Assemble) -> None:
    tree = assemble().tree
    status = tree["var/lib/dpkg/status.d/texts"].read().decode()
    assert status.startswith("Package: texts\nVersion: 1:3~rc1\n")
    sums = tree["var/lib/dpkg/status.d/texts.md5sums"].read().decode()
    assert sums.splitlines() == ["b1946ac92492d2347c6235b4d2611184  usr/share/text"]


def test_the_skeleton_has_accounts_and_folders(assemble: Assemble) -> None:
    tree = assemble().tree
    lines = tree["etc/passwd"].read().decode().splitlines()
    assert "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin" in lines
    assert all(line.endswith(":/sbin/nologin") for line in lines)
    assert "nonroot:x:65532:" in tree["etc/group"].read().decode().splitlines()
    assert b"\nhosts:          files dns\n" in tree["etc/nsswitch.conf"].read()
    home = tree["home/nonroot"]
    assert (home.uid, home.gid, home.mode) == (65532, 65532, 0o700)
    assert {path: tree[path].mode for path in ("tmp", "var/tmp", "root", "run")} == {
        "tmp": 0o1777,
        "var/tmp": 0o1777,
        "root": 0o700,
        "run": 0o755,
    }


def test_two_folders_give_one_tree(assemble: Assemble, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        one = assemble(cache=tmp_path / "one")
    finally:
        os.umask(old)
    two = assemble(cache=tmp_path / "two")
    assert tree_digest(one.tree) == tree_digest(two.tree)


def test_a_second_build_asks_nothing(assemble: Assemble, mirror: Mirror) -> None:
    first = assemble()
    mirror.asked.clear()
    second = assemble()
    assert not mirror.asked
    assert tree_digest(first.tree) == tree_digest(second.tree)


def test_an_old_release_is_asked_for_again(assemble: Assemble, mirror: Mirror) -> None:
    assemble()
    mirror.asked.clear()
    assemble(max_age=NONE)
    assert sorted(mirror.asked) == [
        "dists/bookworm-security/InRelease",
        "dists/bookworm-updates/InRelease",
        "dists/bookworm/InRelease",
    ]


def test_without_network_the_verified_answer_serves(assemble: Assemble) -> None:
    online = assemble()
    listener = Listener()
    offline = assemble(url=NOWHERE, max_age=NONE, listener=listener)
    assert tree_digest(offline.tree) == tree_digest(online.tree)
    assert len(listener.warnings) == 3
    assert "no connection" in listener.warnings[0]
    assert "verified before" in listener.warnings[0]


def test_without_network_and_cache_it_fails_clearly(assemble: Assemble) -> None:
    with pytest.raises(RuntimeBaseError, match="no connection") as caught:
        assemble(url=NOWHERE)
    assert "SLIMPACK_DEBIAN_MIRROR" in caught.value.hint


def test_a_cached_release_is_verified_again(
    assemble: Assemble, mirror: Mirror, tmp_path: Path
) -> None:
    assemble()
    path = tmp_path / "cache/debian/release/bookworm"
    path.write_bytes(path.read_bytes().replace(b"Origin: Tests", b"Origin: Other"))
    mirror.asked.clear()
    assemble()
    assert list(mirror.asked) == ["dists/bookworm/InRelease"]


@pytest.mark.parametrize("damage", [b"", b"!<arch>\nshort", b"same-size"])
def test_a_damaged_package_in_the_cache_is_fetched_again(
    assemble: Assemble, mirror: Mirror, tmp_path: Path, damage: bytes
) -> None:
    whole = tree_digest(assemble().tree)
    deb = cached_debs(tmp_path / "cache")[0]
    data = deb.read_bytes()
    deb.write_bytes(data[:-1] + b"?" if damage == b"same-size" else damage)
    mirror.asked.clear()
    assert tree_digest(assemble().tree) == whole
    assert len(mirror.asked) == 1
    assert deb.read_bytes() == data


def test_a_damaged_unpacked_tar_is_unpacked_again(assemble: Assemble, tmp_path: Path) -> None:
    whole = tree_digest(assemble().tree)
    for path in (tmp_path / "cache/debian/sha256").iterdir():
        if path.read_bytes()[:1] != b"!":
            path.write_bytes(b"damaged")
    assert tree_digest(assemble().tree) == whole


def test_damaged_notes_count_as_none(assemble: Assemble, tmp_path: Path) -> None:
    whole = tree_digest(assemble().tree)
    for path in (tmp_path / "cache/debian/notes").iterdir():
        note = json.loads(path.read_text())
        if isinstance(note["value"][0], dict):
            note["value"][0]["version"] = "2.99-1"
        path.write_text(json.dumps(note))
    assert tree_digest(assemble().tree) == whole


@pytest.mark.parametrize("text", ["", "[]", "{", '{"key": "other"}', "\0"])
def test_notes_of_any_other_kind_count_as_none(
    assemble: Assemble, tmp_path: Path, text: str
) -> None:
    whole = tree_digest(assemble().tree)
    for path in (tmp_path / "cache/debian/notes").iterdir():
        path.write_text(text)
    assert tree_digest(assemble().tree) == whole


def expired(archive: Archive) -> bytes:
    """Return a Release of bookworm whose time is over."""
    good = archive.files["dists/bookworm/InRelease"]
    archive.publish(replace(suites()[0], date=datetime.now(timezone.utc) - timedelta(days=8)))
    old = archive.files["dists/bookworm/InRelease"]
    archive.files["dists/bookworm/InRelease"] = good
    return old


def test_a_cached_release_past_its_time_is_asked_for_again(
    assemble: Assemble, archive: Archive, mirror: Mirror, tmp_path: Path
) -> None:
    assemble()
    (tmp_path / "cache/debian/release/bookworm").write_bytes(expired(archive))
    mirror.asked.clear()
    assemble()
    assert "dists/bookworm/InRelease" in mirror.asked


def test_without_network_even_a_cached_release_past_its_time_serves(
    assemble: Assemble, archive: Archive, tmp_path: Path
) -> None:
    whole = tree_digest(assemble().tree)
    (tmp_path / "cache/debian/release/bookworm").write_bytes(expired(archive))
    listener = Listener()
    assert tree_digest(assemble(url=NOWHERE, listener=listener).tree) == whole
    assert len(listener.warnings) == 1


def test_a_cache_that_cannot_be_written_is_explained(assemble: Assemble, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RuntimeBaseError, match="cannot be used") as caught:
        assemble(cache=tmp_path / "file")
    assert "another cache folder" in caught.value.hint


def test_a_full_disk_leaves_nothing_half_written(
    assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RuntimeBaseError, match="No space left on device"):
        assemble()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    monkeypatch.undo()
    assert assemble().glibc == "2.36"


def test_two_builds_at_once_share_the_cache(assemble: Assemble) -> None:
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(tree_digest(assemble().tree)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert len(set(results)) == 1


def test_no_half_written_files_stay(assemble: Assemble, mirror: Mirror, tmp_path: Path) -> None:
    path = next(path for path in mirror.files if path.startswith("pool/main/t/"))
    mirror.files[path] = b"wrong" * 100
    with pytest.raises(RuntimeBaseError):
        assemble()
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_progress_counts_every_byte_once(assemble: Assemble, mirror: Mirror) -> None:
    path = next(path for path in mirror.files if path.startswith("pool/main/t/"))
    mirror.faults[path] = [0, 0]
    listener = Listener()
    base = assemble(listener=listener)
    assert listener.done["Debian packages"] == sum(package.size for package in base.packages)
    assert listener.totals["Debian packages"] == listener.done["Debian packages"]


# Pins.


def test_a_pinned_runtime_asks_for_no_release(
    assemble: Assemble, runtime: Runtime, mirror: Mirror, tmp_path: Path
) -> None:
    base: DebianBase = assemble()
    path = tmp_path / "tiny.toml"
    path.write_text(pin_runtime(runtime, {"linux/amd64": base.packages}))
    pinned = load_runtime(path)
    mirror.asked.clear()
    again = assemble(using=pinned, cache=tmp_path / "fresh")
    assert tree_digest(again.tree) == tree_digest(base.tree)
    assert all(asked.startswith("pool/") for asked in mirror.asked)
    assert again.packages == base.packages
    assert again.releases == ()


def test_a_pinned_package_that_is_gone_says_so(
    assemble: Assemble, runtime: Runtime, mirror: Mirror, tmp_path: Path
) -> None:
    base = assemble()
    pinned = with_source(runtime, pins={"linux/amd64": base.packages})
    mirror.files.clear()
    with pytest.raises(RuntimeBaseError, match="pinned package") as caught:
        assemble(using=pinned, cache=tmp_path / "fresh")
    assert "snapshot" in caught.value.hint


def test_an_image_is_not_assembled(assemble: Assemble) -> None:
    image = Runtime("cuda", "", image="example.org/base@sha256:0")
    with pytest.raises(InputError, match="and not assembled from Debian packages"):
        assemble(using=image)


def test_provides_names_a_listed_package(assemble: Assemble, runtime: Runtime) -> None:
    with pytest.raises(InputError, match=r"provides.glibc names package 'musl'"):
        assemble(using=replace(runtime, provides={"glibc": "debian:musl"}))
