"""Turn Debian's CPython into the ``python`` package of a conda channel.

Debian splits it over many packages, patches it to use ``dist-packages`` and installs it below
``/usr``. Here the patches come off (see ``unpatch``), the layout becomes conda's, every text that
names ``/usr`` gets the placeholder and the binaries look for libraries in the prefix. The
interpreter itself needs no placeholder: CPython 3.11 finds its home from its own location.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

from benchmarks.channel import deb, elf, frozen, unpatch
from benchmarks.channel.conda_format import PLACEHOLDER
from benchmarks.channel.native import files_below, license_files, relocatable_pc
from benchmarks.channel.recipes import Platform, Recipe

# What the libraries of the channel cannot serve (Berkeley DB, NIS over Kerberos), and Debian's own
# additions; the static libraries would double the package.
_LEFT_OUT = (
    "EXTERNALLY-MANAGED",
    "sitecustomize.py",
    "dist-packages/*",
    "lib-dynload/_dbm.*",
    "lib-dynload/nis.*",
    "config-*/*.a",
    "config-*/*.o",
    "config-*/*.so",
)


def stage_python(
    recipe: Recipe,
    debs: list[Path],
    source: list[Path],
    root: Path,
    scratch: Path,
    python: str,
    platform: Platform,
    patchelf: Path,
) -> dict[str, bytes]:
    """Fill ``root`` with the interpreter and its library, without ``.pyc``; returns licenses."""
    unpacked = scratch / "unpacked"
    deb.unpack(debs, unpacked)
    usr, library = unpacked / "usr", root / f"lib/python{python}"
    shutil.copytree(usr / f"lib/python{python}", library, symlinks=True)
    for pattern in _LEFT_OUT:
        for path in library.glob(pattern):
            path.unlink()
    unpatch.unpatch_tree(library, read_patches(source, recipe.unpatch), "Lib/")
    stage_bundled_wheels(usr / "share/python-wheels", library / "ensurepip/_bundled")
    stage_binaries(usr, root, python, platform)
    stage_headers(usr, root, python, platform)
    stage_sysconfig(library, platform)
    for path in [*library.glob("config-*/Makefile"), *root.glob("bin/python*-config")]:
        path.write_text(relocated(path.read_text(), platform.multiarch))
    site_packages = library / "site-packages"
    site_packages.mkdir(exist_ok=True)
    (site_packages / "README.txt").write_text("This directory contains installed packages.\n")
    for program in [root / f"bin/python{python}", *root.glob("lib/libpython*.so.*.*")]:
        frozen.thaw_file(program, "site")
    elf.set_rpaths(root, patchelf)
    return {"LICENSE.txt": (library / "LICENSE.txt").read_bytes(), **license_files(unpacked)}


def read_patches(source: list[Path], names: tuple[str, ...]) -> list[str]:
    """Debian's patches, in the given order, from its ``.debian.tar.xz``."""
    (archive,) = [path for path in source if ".debian.tar." in path.name]
    with tarfile.open(archive) as tar:
        members = {m.name.removeprefix("debian/patches/"): m for m in tar if m.isfile()}
        files = [tar.extractfile(members[f"{name}.diff"]) for name in names]
        return [file.read().decode() for file in files if file is not None]


def stage_bundled_wheels(wheels: Path, target: Path) -> None:
    """Give ensurepip its wheels back, which Debian ships apart."""
    target.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(wheels.glob("*.whl")):
        shutil.copy(wheel, target)


def stage_binaries(usr: Path, root: Path, python: str, platform: Platform) -> None:
    """Programs with their unversioned names, the shared library, pkg-config files, manual."""
    programs, libraries = root / "bin", root / "lib"
    programs.mkdir(parents=True, exist_ok=True)
    shutil.copy(usr / f"bin/python{python}", programs)
    shutil.copy(
        usr / f"bin/{platform.multiarch}-python{python}-config", programs / f"python{python}-config"
    )
    (programs / f"pydoc{python}").write_text(
        f"#!{PLACEHOLDER}/bin/python{python}\n\nimport pydoc\n\nif __name__ == '__main__':\n"
        "    pydoc.cli()\n"
    )
    (programs / f"pydoc{python}").chmod(0o755)
    links = {
        "python": f"python{python}",
        "python3": f"python{python}",
        "python3.1": f"python{python}",
        "python3-config": f"python{python}-config",
        "pydoc": f"pydoc{python}",
        "pydoc3": f"pydoc{python}",
    }
    for name, target in links.items():
        (programs / name).symlink_to(target)
    multiarch = usr / "lib" / platform.multiarch
    for path in files_below(multiarch):
        name = path.relative_to(multiarch).as_posix()
        if name.startswith("libpython") and not name.endswith(".a"):
            shutil.copy(path, libraries / name, follow_symlinks=False)
        elif name.endswith(".pc"):
            (libraries / "pkgconfig").mkdir(exist_ok=True)
            text = relocatable_pc(path.read_text(), platform.multiarch)
            (libraries / name).write_text(text)
            (libraries / name.replace(f"-{python}", "3")).symlink_to(Path(name).name)
    manual = root / "share/man/man1"
    manual.mkdir(parents=True)
    shutil.copy(usr / f"share/man/man1/python{python}.1.gz", manual)


def stage_headers(usr: Path, root: Path, python: str, platform: Platform) -> None:
    """One folder of headers, with the machine's own pyconfig.h instead of Debian's switch."""
    target = root / f"include/python{python}"
    shutil.copytree(usr / f"include/python{python}", target, symlinks=True)
    config = usr / f"include/{platform.multiarch}/python{python}/pyconfig.h"
    shutil.copy(config, target / "pyconfig.h")


def stage_sysconfig(library: Path, platform: Platform) -> None:
    """Return the build's settings under upstream's name, with the placeholder as prefix."""
    debian = library / f"_sysconfigdata__{platform.multiarch}.py"
    upstream = library / f"_sysconfigdata__linux_{platform.multiarch}.py"
    upstream.unlink(missing_ok=True)
    text = relocated(debian.read_text(), platform.multiarch)
    text = re.sub(r"('TZPATH': ).*", rf"\1'{PLACEHOLDER}/share/zoneinfo',", text)
    bundled = f"{PLACEHOLDER}/lib/{library.name}/ensurepip/_bundled"
    text = re.sub(r"('WHEEL_PKG_DIR': ).*", rf"\1'{bundled}',", text)
    upstream.write_text(text)
    debian.unlink()


def relocated(text: str, multiarch: str) -> str:
    """Return a text of the build with the placeholder where it says ``/usr``.

    Tools of the build machine (``/usr/bin/install``) stay.
    """
    text = text.replace(f"/usr/lib/{multiarch}", "/usr/lib").replace(
        f"/usr/include/{multiarch}", "/usr/include"
    )
    text = text.replace(f"/lib/{multiarch}", "/lib")
    ending = r"(?=/(?:lib|include|share)\b|/bin['\"\s]|['\"\s]|$)"
    return re.sub(rf"(?<![\w.])/usr{ending}", PLACEHOLDER, text, flags=re.MULTILINE)


def copy_libraries(debs: list[Path], target: Path) -> Path:
    """Unpack the libraries that the interpreter is linked to, to run it before it is installed."""
    deb.unpack(debs, target)
    (library,) = {path.parent for path in target.glob("usr/lib/*/libz.so.*")}
    return library.resolve()
