"""The real archive: bases that are assembled from it, and that they run.

Skipped where no mirror answers, unless SLIMPACK_REQUIRE_NETWORK=1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slimpack.debian import (
    DebianBase,
    assemble_base,
    find_mirrors,
    resolve_base,
    tree_digest,
)
from slimpack.runtimes import Runtime, load_runtime
from slimpack.tree import Kind

from .conftest import write

pytestmark = pytest.mark.network
RUNTIMES = ("cuda", "distroless", "distroless-trixie")
LOADERS = {"linux/amd64": "ld-linux-x86-64.so.2", "linux/arm64": "ld-linux-aarch64.so.1"}

PROGRAM = r"""
#include <arpa/inet.h>
#include <iconv.h>
#include <langinfo.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(void) {
    time_t start = 0;
    struct passwd *user;
    struct servent *service;
    if (!setlocale(LC_ALL, "C.UTF-8")) return 1;
    user = getpwuid(65532);
    service = getservbyname("https", "tcp");
    if (!user || !service || iconv_open("UTF-8", "EUC-JP") == (iconv_t)-1) return 2;
    setenv("TZ", "Europe/Berlin", 1);
    printf("%s %s %d %s", nl_langinfo(CODESET), user->pw_name, ntohs(service->s_port),
           ctime(&start));
    return 0;
}
"""


@pytest.fixture(scope="module")
def cache(network: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return load_runtime(request.param)


@pytest.fixture(scope="module")
def base(runtime: Runtime, cache: Path) -> DebianBase:
    return assemble_base(runtime, "linux/amd64", cache_dir=cache)


def test_only_libraries_are_executable(base: DebianBase) -> None:
    for entry in base.tree:
        if entry.kind is Kind.FILE and entry.mode & 0o111:
            assert ".so" in entry.path.rpartition("/")[2], entry.path
            assert entry.read()[:4] == b"\x7fELF", entry.path


def test_there_is_no_shell_and_no_program(base: DebianBase) -> None:
    folders = ("bin/", "sbin/", "usr/bin/", "usr/sbin/", "usr/local/")
    assert [entry.path for entry in base.tree if entry.path.startswith(folders)] == []


def test_every_link_leads_somewhere(base: DebianBase, tmp_path: Path) -> None:
    write(base.tree, tmp_path)
    for entry in base.tree:
        if entry.kind is Kind.SYMLINK:
            target = entry.link if entry.link.startswith("/") else f"/{entry.path}/../{entry.link}"
            # The last component of each link here is reached without other links.
            assert (tmp_path / os.path.normpath(target).lstrip("/")).exists(), entry.path


def test_ca_roots_zones_and_licences_are_there(base: DebianBase) -> None:
    tree = base.tree
    bundle = tree[base.provides["ca"].lstrip("/")].read()
    assert bundle.count(b"-----BEGIN CERTIFICATE-----") > 100
    assert bundle.count(b"-----BEGIN CERTIFICATE-----") == bundle.count(b"-----END CERTIFICATE")
    assert tree["usr/share/zoneinfo/Europe/Berlin"].read()[:4] == b"TZif"
    for package in base.packages:
        assert f"usr/share/doc/{package.name}/copyright" in tree
        assert (
            f"Package: {package.name}\n".encode()
            in tree[f"var/lib/dpkg/status.d/{package.name}"].read()
        )


def test_the_mirror_leaves_no_trace(base: DebianBase) -> None:
    hosts = {
        url.split("/")[2].encode()
        for url in (find_mirrors("bookworm").main, find_mirrors("bookworm").security)
    } - {b"ftp.debian.org"}
    named = [
        entry.path
        for entry in base.tree
        # Debian's own texts may name its hosts; what is written here must not.
        if entry.kind is Kind.FILE and not entry.owner
        for host in hosts
        if host in entry.read()
    ]
    assert named == []


def test_the_same_base_in_another_folder(
    runtime: Runtime, base: DebianBase, tmp_path: Path
) -> None:
    again = assemble_base(runtime, "linux/amd64", cache_dir=tmp_path)
    assert tree_digest(again.tree) == tree_digest(base.tree)


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc to build a program")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to chroot")
def test_a_program_runs_in_it(base: DebianBase, tmp_path: Path) -> None:
    """The loader finds libc without a cache; locale, accounts, services, zones work."""
    root = tmp_path / "root"
    chroot = shutil.which("chroot") or "/usr/sbin/chroot"
    write(base.tree, root)
    (tmp_path / "hello.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-o", root / "hello", tmp_path / "hello.c"], check=True)
    result = subprocess.run(
        [chroot, root, "/hello"], capture_output=True, text=True, check=False, env={}
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "UTF-8 nonroot 443 Thu Jan  1 01:00:00 1970\n"


@pytest.mark.parametrize("name", RUNTIMES)
def test_arm64_is_assembled_too(name: str, cache: Path) -> None:
    base = assemble_base(load_runtime(name), "linux/arm64", cache_dir=cache)
    loader = LOADERS[base.platform]
    assert {package.architecture for package in base.packages} == {"all", "arm64"}
    paths = [entry.path for entry in base.tree if entry.path.endswith(f"/{loader}")]
    elf = next(base.tree[path] for path in paths if base.tree[path].kind is Kind.FILE)
    # e_machine of AArch64 (ELF header, bytes 18 and 19).
    assert elf.read()[18:20] == b"\xb7\0"


@pytest.mark.parametrize("platform", sorted(LOADERS))
def test_resolving_alone_says_the_glibc(platform: str, cache: Path) -> None:
    resolution = resolve_base(load_runtime("distroless"), platform, cache_dir=cache)
    versions = {package.name: package.version for package in resolution.packages}
    assert versions["libc6"].startswith("2.36-")
