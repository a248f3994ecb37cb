"""The way from a signed Release to a tree, against a mirror in this process."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from slimpack.debian import DebianBase, tree_digest
from slimpack.debian.keyring import Keyring
from slimpack.debian.model import DebianSource
from slimpack.errors import InputError, RuntimeBaseError
from slimpack.runtimes import Runtime, load_runtime, pin_runtime
from slimpack.tree import Kind

from .archive import Archive, Mirror, file, new_key, public, sign
from .conftest import Assemble, Listener, suites

ALL = timedelta(days=1)
NONE = timedelta(0)
# A port that nothing listens on: connecting fails at once.
NOWHERE = "http://127.0.0.1:9/debian"


def with_source(runtime: Runtime, **changes: object) -> Runtime:
    source = runtime.debian
    assert isinstance(source, DebianSource)
    return replace(runtime, debian=replace(source, **changes))  # type: ignore[arg-type]


def cached_debs(cache: Path) -> list[Path]:
    return [path for path in (cache / "debian/sha256").iterdir() if path.read_bytes()[:1] == b"!"]


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
        path.write_text(path.read_text().replace("2.36", "9.99").replace("0", "1"))
    assert tree_digest(assemble().tree) == whole


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


# What a mirror can do wrong.


def test_an_unknown_key_is_refused(assemble: Assemble) -> None:
    with pytest.raises(RuntimeBaseError, match="no good signature") as caught:
        assemble(keyring=Keyring((public(new_key()),)))
    assert "Stack" not in str(caught.value)


def test_one_known_key_among_several_is_enough(assemble: Assemble, archive: Archive) -> None:
    keyring = Keyring((public(new_key()), public(archive.key), public(new_key())))
    assert assemble(keyring=keyring).packages


def test_a_changed_release_is_refused(assemble: Assemble, mirror: Mirror) -> None:
    path = "dists/bookworm/InRelease"
    mirror.files[path] = mirror.files[path].replace(b"Origin: Tests", b"Origin: Other")
    with pytest.raises(RuntimeBaseError, match="no good signature"):
        assemble()


@pytest.mark.parametrize("page", [b"", b"<html>log in first</html>", b"Origin: Debian\n"])
def test_what_is_not_signed_is_refused(assemble: Assemble, mirror: Mirror, page: bytes) -> None:
    mirror.files["dists/bookworm/InRelease"] = page
    with pytest.raises(RuntimeBaseError, match="no signed Release"):
        assemble()


def test_text_outside_the_signature_is_not_read(assemble: Assemble, mirror: Mirror) -> None:
    path = "dists/bookworm-updates/InRelease"
    mirror.files[path] += b"\nSHA256:\n 0 0 main/binary-amd64/Packages.xz\n"
    assert assemble().glibc == "2.36"


def test_a_release_past_its_time_is_refused(assemble: Assemble, archive: Archive) -> None:
    old = datetime.now(timezone.utc) - timedelta(days=30)
    archive.publish(replace(suites()[0], date=old))
    with pytest.raises(RuntimeBaseError, match="was valid until") as caught:
        assemble()
    assert "clock" in caught.value.hint


def test_source_date_epoch_does_not_make_a_release_valid(
    assemble: Assemble, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = datetime.now(timezone.utc) - timedelta(days=30)
    archive.publish(replace(suites()[0], date=old))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(old.timestamp())))
    with pytest.raises(RuntimeBaseError, match="was valid until"):
        assemble()


def test_another_suites_release_is_refused(assemble: Assemble, mirror: Mirror) -> None:
    mirror.files["dists/bookworm/InRelease"] = mirror.files["dists/bookworm-updates/InRelease"]
    with pytest.raises(RuntimeBaseError, match="'bookworm-updates' when asked for 'bookworm'"):
        assemble()


def test_going_back_in_time_is_not_believed(assemble: Assemble, archive: Archive) -> None:
    new = assemble()
    older = suites()[2]
    older.packages.clear()
    archive.publish(replace(older, date=older.date - timedelta(days=1)))
    listener = Listener()
    assert assemble(max_age=NONE, listener=listener).packages == new.packages
    assert "older than one already seen" in listener.warnings[0]


def test_a_release_that_makes_no_sense_is_refused(assemble: Assemble, archive: Archive) -> None:
    for text in ("Codename: bookworm\n", "Codename: bookworm\nDate: yesterday\n", "nonsense\n"):
        archive.files["dists/bookworm/InRelease"] = sign(archive.key, text)
        with pytest.raises(RuntimeBaseError, match="cannot be read"):
            assemble()


def index_of(mirror: Mirror, suite: str = "bookworm") -> str:
    return next(
        path for path in mirror.files if path.startswith(f"dists/{suite}/main/binary-amd64/")
    )


def test_a_wrong_index_is_refused(assemble: Assemble, mirror: Mirror) -> None:
    path = index_of(mirror)
    data = mirror.files[path]
    mirror.files[path] = data[:-1] + b"?"
    with pytest.raises(RuntimeBaseError, match=r"its SHA-256 is \w+, promised was"):
        assemble()


@pytest.mark.parametrize("where", ["index", "package"])
def test_sizes_are_checked(assemble: Assemble, mirror: Mirror, where: str) -> None:
    pool = next(path for path in mirror.files if path.startswith("pool/main/t/"))
    path = index_of(mirror) if where == "index" else pool
    data = mirror.files[path]
    mirror.files[path] = data[:-1]
    with pytest.raises(RuntimeBaseError, match=f"{len(data) - 1} bytes came, {len(data)}"):
        assemble()
    mirror.files[path] = data + b"more"
    with pytest.raises(RuntimeBaseError, match=f"more bytes came, {len(data)} were promised"):
        assemble()


def test_a_wrong_package_is_refused(assemble: Assemble, mirror: Mirror) -> None:
    path = next(path for path in mirror.files if path.startswith("pool/main/t/"))
    mirror.files[path] = bytes(len(mirror.files[path]))
    with pytest.raises(RuntimeBaseError, match="SHA-256"):
        assemble()


def test_a_missing_package_is_named(assemble: Assemble, runtime: Runtime) -> None:
    with pytest.raises(RuntimeBaseError, match="no package nothing for amd64"):
        assemble(using=with_source(runtime, packages=("libc6", "nothing")))


def test_a_missing_component_is_named(assemble: Assemble, runtime: Runtime) -> None:
    with pytest.raises(RuntimeBaseError, match="no component 'contrib'"):
        assemble(using=with_source(runtime, components=("contrib",)))


def test_a_missing_suite_is_named(assemble: Assemble, runtime: Runtime) -> None:
    with pytest.raises(RuntimeBaseError, match="dists/trixie/InRelease is not there"):
        assemble(using=with_source(runtime, suites=("trixie",)))


def test_a_package_that_is_gone_is_a_404(assemble: Assemble, mirror: Mirror) -> None:
    path = next(path for path in mirror.files if path.startswith("pool/main/t/"))
    del mirror.files[path]
    with pytest.raises(RuntimeBaseError, match="is not there"):
        assemble()


def test_a_package_replaced_since_the_release_is_found(
    assemble: Assemble, archive: Archive, mirror: Mirror, tmp_path: Path
) -> None:
    """The Release is young enough, but the mirror has moved on."""
    assemble()
    for path in [path for path in mirror.files if path.startswith("pool/main/t/")]:
        del mirror.files[path]
    main = suites()[0]
    main.add([file("./usr/share/text", b"newer\n")], name="texts", version="1:3")
    archive.publish(main)
    del mirror.files[next(path for path in mirror.files if "3~rc1" in path)]
    for deb in cached_debs(tmp_path / "cache"):
        deb.unlink()
    assert assemble(max_age=ALL).tree["usr/share/text"].read() == b"newer\n"


@pytest.mark.parametrize("fault", [[500], [503, 502], [429], [0], [0, 0]])
def test_passing_faults_are_survived(assemble: Assemble, mirror: Mirror, fault: list[int]) -> None:
    for path in mirror.files:
        mirror.faults[path] = list(fault)
    assert assemble().glibc == "2.36"


@pytest.mark.parametrize(("fault", "message"), [(500, "answered 500"), (0, "broke off")])
def test_lasting_faults_are_reported(
    assemble: Assemble, mirror: Mirror, fault: int, message: str
) -> None:
    path = next(path for path in mirror.files if path.startswith("pool/main/t/"))
    mirror.faults[path] = [fault] * 20
    with pytest.raises(RuntimeBaseError, match=message):
        assemble()


def test_two_packages_cannot_bring_one_file(assemble: Assemble, archive: Archive) -> None:
    main = suites()[0]
    main.add([file("./lib/ld.so", b"mine")], name="texts", version="2:1")
    archive.publish(main)
    with pytest.raises(RuntimeBaseError, match=r"libc6 and texts both bring lib/ld\.so"):
        assemble()


def test_a_package_below_anothers_file_is_refused(assemble: Assemble, archive: Archive) -> None:
    main = suites()[0]
    main.add([file("./lib/ld.so/below", b"")], name="texts", version="2:1")
    archive.publish(main)
    with pytest.raises(RuntimeBaseError, match="do not fit together"):
        assemble()


def test_a_file_that_is_another_package_is_refused(assemble: Assemble, archive: Archive) -> None:
    main = suites()[0]
    text, data = main.packages.pop()
    main.packages.append((re.sub(r"Version: .*", "Version: 9:9", text), data))
    archive.publish(main)
    with pytest.raises(RuntimeBaseError, match="the file is texts 1:3~rc1 all"):
        assemble()


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


def test_an_image_runtime_is_for_later(assemble: Assemble) -> None:
    image = Runtime("cuda", "", image="example.org/base@sha256:0")
    with pytest.raises(InputError, match="cannot be pulled") as caught:
        assemble(using=image)
    assert "--base" in caught.value.hint


def test_provides_names_a_listed_package(assemble: Assemble, runtime: Runtime) -> None:
    with pytest.raises(InputError, match=r"provides.glibc names package 'musl'"):
        assemble(using=replace(runtime, provides={"glibc": "debian:musl"}))
