"""Build CPython from source, with the placeholder compiled in as its prefix: conda-forge's way.

The libraries come from Debian's development packages, unpacked into a folder of their own: nothing
but gcc, make and libc6-dev has to be installed on the machine. Takes minutes, where repackaging
Debian's binaries takes seconds; has a higher build number, so that solvers prefer it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.channel import deb, elf
from benchmarks.channel.conda_format import PLACEHOLDER
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.native import files_below
from benchmarks.channel.recipes import Platform

_TOOLS = {"gcc": "gcc libc6-dev", "make": "make", "ar": "binutils"}

# If a header was not found, configure leaves the module out without a word.
_MODULES = "bz2, crypt, ctypes, curses, hashlib, lzma, pyexpat, readline, sqlite3, ssl, uuid, zlib"

# Modules that the channel has no libraries for: made or not, as the machine happens to have them.
_DISABLED = "*disabled*\n_dbm _gdbm _tkinter nis\n"

# Profile-guided optimisation would take half an hour.
_CONFIGURE = (
    "--disable-test-modules",
    "--enable-ipv6",
    "--enable-loadable-sqlite-extensions",
    "--with-computed-gotos",
    "--with-ensurepip=no",
    "--with-platlibdir=lib",
    "--with-system-expat",
    "--with-system-ffi",
)


def stage_python_source(
    debs: list[Path],
    source: list[Path],
    root: Path,
    scratch: Path,
    python: str,
    platform: Platform,
    patchelf: Path,
    jobs: int,
) -> dict[str, bytes]:
    """Fill ``root`` with a freshly compiled interpreter, without ``.pyc``; returns licenses."""
    check_tools()
    sysroot, build, image = scratch / "sysroot", scratch / "build", scratch / "image"
    deb.unpack(debs, sysroot)
    relink(sysroot)
    unpack_source(source, build)
    environment = build_environment(sysroot, build, platform)
    options = [
        f"--prefix={PLACEHOLDER}",
        f"--with-tzpath={PLACEHOLDER}/share/zoneinfo",
        f"--with-openssl={sysroot / 'usr'}",
    ]
    run(["./configure", *options, *_CONFIGURE], build, environment)
    (build / "Modules/Setup.local").write_text(_DISABLED)
    run(["make", f"-j{jobs}"], build, environment)
    run(["make", "install", f"DESTDIR={image}"], build, environment)
    shutil.copytree(image / PLACEHOLDER.lstrip("/"), root, symlinks=True, dirs_exist_ok=True)
    library = root / f"lib/python{python}"
    link_shared(build, root, python, environment)
    tidy(root, library, python)
    forget_build(root, {str(build): "/build/python", str(sysroot / "usr"): PLACEHOLDER}, platform)
    check_modules(root / f"bin/python{python}", environment)
    elf.set_rpaths(root, patchelf)
    return {"LICENSE.txt": (library / "LICENSE.txt").read_bytes()}


def check_tools() -> None:
    """Name the Debian packages of all missing tools at once."""
    missing = [packages for tool, packages in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise ChannelError(
            f"CPython cannot be compiled here; run: apt-get install {' '.join(missing)}"
        )


def relink(sysroot: Path) -> None:
    """Turn absolute links (``libz.so -> /lib/...``) into links inside the folder."""
    for path in files_below(sysroot):
        if path.is_symlink() and path.readlink().is_absolute():
            inside = sysroot / deb.usr_merged(str(path.readlink()))
            path.unlink()
            path.symlink_to(os.path.relpath(inside, path.parent))


def unpack_source(source: list[Path], build: Path) -> None:
    """Unpack upstream's archive without its top folder."""
    (archive,) = [path for path in source if ".orig.tar." in path.name]
    unpacked = build.with_name("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked)  # its hash is pinned
    (top,) = unpacked.iterdir()
    top.rename(build)


def build_environment(sysroot: Path, build: Path, platform: Platform) -> dict[str, str]:
    """Point the compiler at the unpacked libraries, and at nothing of the user's."""
    include = [sysroot / "usr/include", sysroot / "usr/include" / platform.multiarch]
    library = sysroot / "usr/lib" / platform.multiarch
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(sysroot),
        "LC_ALL": "C",
        "CPPFLAGS": " ".join(f"-I{path}" for path in include),
        "LDFLAGS": f"-L{library}",
        "LD_LIBRARY_PATH": str(library),
        # The machine may have pkg-config or not: configure finds everything without it.
        "PKG_CONFIG": "false",
        # No debug information: it names the build folder.
        "OPT": "-DNDEBUG -fwrapv -O2 -Wall",
        # PIC, so that the shared library can be made from the same objects; and no path of this
        # machine in __FILE__.
        "CFLAGS_NODIST": f"-fPIC -ffile-prefix-map={build}=/build/python",
        # Goes into the interpreter's version string.
        "SOURCE_DATE_EPOCH": "1767225600",
    }


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a step of the build; on failure show where its output ends."""
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), capture_output=True, text=True
    )
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise ChannelError(f"{command[0]} failed while building CPython: {' | '.join(last)}")


def link_shared(build: Path, root: Path, python: str, environment: Mapping[str, str]) -> None:
    """Make ``libpython``, which conda-forge ships for programs that embed Python."""
    name = f"libpython{python}.so.1.0"
    archive = ["-Wl,--whole-archive", f"libpython{python}.a", "-Wl,--no-whole-archive"]
    libraries = [environment["LDFLAGS"], "-lexpat", "-lz", "-lm"]
    options = ["-shared", f"-Wl,-soname,{name}", "-o", str(root / "lib" / name)]
    run(["gcc", *options, *archive, *libraries], build, environment)
    (root / f"lib/libpython{python}.so").symlink_to(name)


def tidy(root: Path, library: Path, python: str) -> None:
    """Bring the installation into conda-forge's shape."""
    for path in [*root.rglob("__pycache__")]:
        shutil.rmtree(path)
    for path in [*root.rglob("*.a"), *library.glob("config-*/*.o")]:
        path.unlink()
    (root / "bin/python").symlink_to(f"python{python}")
    (root / "bin/python3.1").symlink_to(f"python{python}")
    for path in elf.elf_files(root):
        path.chmod(0o755)
        run(["strip", "-S", str(path)], root, {"PATH": os.environ.get("PATH", os.defpath)})
    site_packages = library / "site-packages"
    for path in site_packages.iterdir():
        path.unlink()
    (site_packages / "README.txt").write_text("This directory contains installed packages.\n")


def forget_build(root: Path, folders: Mapping[str, str], platform: Platform) -> None:
    """Replace the folders of this machine in every text; one left in a binary is an error."""
    for path in files_below(root):
        if path.is_symlink():
            continue
        data = path.read_bytes()
        if not any(folder.encode() in data for folder in folders):
            continue
        if b"\0" in data:
            raise ChannelError(f"CPython's build folder is compiled into {path.name}")
        text = data.decode()
        for folder, instead in folders.items():
            text = text.replace(folder, instead)
        path.write_text(re.sub(rf"/(lib|include)/{platform.multiarch}\b", r"/\1", text))


def check_modules(executable: Path, environment: Mapping[str, str]) -> None:
    """Import what configure may have left out."""
    run([str(executable), "-I", "-B", "-c", f"import {_MODULES}"], executable.parent, environment)
