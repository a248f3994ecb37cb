"""Which mirror is used, and which never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimpack.debian.mirrors import DEFAULT_MAIN, DebianMirrors, find_mirrors, public_url
from slimpack.errors import InputError

SOURCES = """\
# A comment.
Types: deb deb-src
# Another, inside.
URIs: http://mirror.example/debian/
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
THIRD_PARTIES = """\
deb https://third.example/apt bookworm main
deb https://third.example/linux/debian bookworm stable
deb [signed-by=/usr/share/keyrings/third.gpg] https://third.example/apt cloud-sdk-bookworm main
deb https://third.example/apt stable main
deb cdrom:[Debian 12]/debian bookworm main
deb file:/srv/debian bookworm main
deb-src http://source.example/debian bookworm main
# deb http://comment.example/debian bookworm main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def found(apt: Path, suite: str = "bookworm", **environ: str) -> DebianMirrors:
    return find_mirrors(suite, environ=environ, apt_dir=apt)


def write(apt: Path, name: str, text: str) -> None:
    (apt / name).write_text(text)


def test_the_default(tmp_path: Path) -> None:
    assert found(tmp_path / "none") == DebianMirrors(DEFAULT_MAIN, f"{DEFAULT_MAIN}-security")
    assert DEFAULT_MAIN == "http://ftp.debian.org/debian"


def test_deb822_sources(apt: Path) -> None:
    write(apt, "sources.list.d/debian.sources", SOURCES)
    assert found(apt) == DebianMirrors(
        "http://mirror.example/debian", "https://mirror.example/debian-security"
    )


def test_disabled_and_broken_sources_are_passed_over(apt: Path) -> None:
    write(apt, "sources.list.d/a.sources", "Enabled: no\n" + SOURCES.replace("Types", "types", 1))
    assert found(apt).main == DEFAULT_MAIN
    write(apt, "sources.list.d/b.sources", "no field\n\n" + SOURCES)
    assert found(apt).main == "http://mirror.example/debian"
    (apt / "sources.list").write_bytes(b"\xff\xfe")
    assert found(apt).main == "http://mirror.example/debian"


def test_one_line_sources(apt: Path) -> None:
    write(
        apt,
        "sources.list",
        "deb [arch=amd64] http://one.example/debian bookworm main # here\n"
        "deb http://one.example/ bookworm-security main\n",
    )
    assert found(apt) == DebianMirrors("http://one.example/debian", "http://one.example")


def test_third_parties_are_never_used(apt: Path) -> None:
    write(apt, "sources.list.d/third.list", THIRD_PARTIES)
    assert found(apt).main == DEFAULT_MAIN


def test_a_name_of_its_own_is_told_by_its_keyring(apt: Path) -> None:
    write(
        apt,
        "sources.list",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://cache.example/mirror bookworm main",
    )
    assert found(apt) == DebianMirrors(
        "http://cache.example/mirror", "http://cache.example/mirror-security"
    )


def test_a_mirror_of_another_release_serves_too(apt: Path) -> None:
    write(apt, "sources.list", "deb http://other.example/debian trixie main\n")
    assert found(apt).main == "http://other.example/debian"
    write(
        apt,
        "sources.list",
        "deb http://other.example/debian trixie main\n"
        "deb http://same.example/debian bookworm main\n",
    )
    assert found(apt).main == "http://same.example/debian"


def test_the_environment_comes_before_apt(apt: Path) -> None:
    write(apt, "sources.list.d/debian.sources", SOURCES)
    mirrors = found(apt, SLIMPACK_DEBIAN_MIRROR="http://env.example/debian/")
    # The security archive of another mirror might be older or newer: it goes along.
    assert mirrors == DebianMirrors(
        "http://env.example/debian", "http://env.example/debian-security"
    )
    mirrors = found(
        apt,
        SLIMPACK_DEBIAN_MIRROR="http://env.example/d",
        SLIMPACK_DEBIAN_SECURITY_MIRROR="http://env.example/s",
    )
    assert mirrors == DebianMirrors("http://env.example/d", "http://env.example/s")


def test_only_the_security_mirror_may_be_named(apt: Path) -> None:
    write(apt, "sources.list.d/debian.sources", SOURCES)
    mirrors = found(apt, SLIMPACK_DEBIAN_SECURITY_MIRROR="http://env.example/s")
    assert mirrors == DebianMirrors("http://mirror.example/debian", "http://env.example/s")


def test_arguments_come_first(apt: Path) -> None:
    mirrors = find_mirrors(
        "bookworm",
        main="http://arg.example/debian",
        environ={"SLIMPACK_DEBIAN_MIRROR": "http://env.example/debian"},
        apt_dir=apt,
    )
    assert mirrors.url("main") == "http://arg.example/debian"
    assert mirrors.url("security") == "http://arg.example/debian-security"


@pytest.mark.parametrize("url", ["mirror.example", "file:///srv/debian", "http://", "ftp://x/y"])
def test_what_is_no_address(apt: Path, url: str) -> None:
    with pytest.raises(InputError, match="no address of a Debian archive"):
        found(apt, SLIMPACK_DEBIAN_MIRROR=url)


def test_passwords_are_not_shown() -> None:
    assert public_url("http://me:secret@host.example:8080/d?q") == "http://host.example:8080/d?q"
