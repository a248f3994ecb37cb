"""What a mirror can do wrong, and that none of it gets into a base."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from slimpack.debian.keyring import Keyring
from slimpack.errors import RuntimeBaseError
from slimpack.runtimes import Runtime

from .archive import Archive, Mirror, file, new_key, public, sign
from .conftest import ALL, NONE, Assemble, Listener, cached_debs, suites, with_source


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
