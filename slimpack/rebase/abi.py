"""Whether a base has all that an image may need of the one that it replaces.

The files above need not be at hand: what they can find in the old base is all that they
can need of it. So whatever the new one lacks may be needed; for some of it only a look at
those files tells, and then `Lack.certain` is False.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slimpack.oci.config import ImageConfig
from slimpack.own import Own
from slimpack.rebase.surface import Surface
from slimpack.tree import parents

_PRIVATE = "GLIBC_PRIVATE"  # of the parts of one glibc among themselves
# Parts of glibc itself: converters of character sets, and for its debuggers. Debian moves
# them between packages, and a build on the new base would be without them, too.
_MODULES = ("gconv", "audit")
_DATA = {
    "/etc/ssl/certs/ca-certificates.crt": "the certificates of authorities",
    "/usr/share/zoneinfo": "the time zones",
    "/tmp": "the folder for temporary files",  # noqa: S108 (the image's)
}


@dataclass(frozen=True)
class Lack:
    """Something that the new base does not give. certain: whatever is above will miss it."""

    what: str
    certain: bool = True


@dataclass(frozen=True)
class Glibc:
    """Versions of the C library, such as 2.36, of the old base and the new; "" for none."""

    old: str
    new: str

    @property
    def goes_back(self) -> bool:
        """Whether the new one is older, or is gone."""
        return bool(self.old) and (not self.new or _numbers(self.new) < _numbers(self.old))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def lacks(old: Surface, new: Surface, own: Own, run: ImageConfig, glibc: Glibc) -> tuple[Lack, ...]:
    """Return what images on the base `new` may miss of the base `old`.

    own: of the image. run: its configuration on the new base, both together.
    glibc: their C libraries. Programs that were built for a newer one do not start.
    """
    found = [
        *_glibc(glibc),
        *_libraries(old, new),
        *_hidden_libraries(old, new),
        *_data(old, new, own),
        *_variables(old, new, own),
        *_user(old, new, own, run),
        *_program(old, new, own, run),
        *_places(old, new, own),
    ]
    return tuple(dict.fromkeys(found))


def _glibc(glibc: Glibc) -> Iterator[Lack]:
    if glibc.goes_back:
        there = f"glibc {glibc.new}" if glibc.new else "no glibc that slimpack finds"
        yield Lack(f"it has {there}, and the image was solved for {glibc.old}")


def _libraries(old: Surface, new: Surface) -> Iterator[Lack]:
    if old.loader and old.has(old.loader) and not new.has(old.loader):
        yield Lack(f"it has no {old.loader}, which starts programs", certain=False)
    there = new.libraries
    for name, elf in sorted(old.libraries.items()):
        if name not in there:
            # Other names of a library are for compilers and for people.
            if name == elf.soname or not elf.soname:
                yield Lack(f"it has no {name}", certain=False)
            continue
        defined = {_PRIVATE, *there[name].version_defs}
        gone = [version for version in elf.version_defs if version not in defined]
        if gone and there[name].version_defs:
            yield Lack(f"its {name} has no version {', '.join(gone)}", certain=False)


def _hidden_libraries(old: Surface, new: Surface) -> Iterator[Lack]:
    """Look for libraries that are found by a path only: DT_RPATH, LD_LIBRARY_PATH, dlopen."""
    gone: dict[str, list[str]] = {}
    for path in old.view:
        folder, _, name = path.rpartition("/")
        if ".so" not in name or folder.rpartition("/")[2] in _MODULES or old.is_searched(folder):
            continue
        if f"/{path}" == old.loader or old.kind(path) == "directory":
            continue
        if not new.has(f"/{path}"):
            gone.setdefault(folder, []).append(name)
    for folder, names in gone.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield Lack(f"it has no /{folder}/{min(names)}{more}", certain=False)


def _data(old: Surface, new: Surface, own: Own) -> Iterator[Lack]:
    for path, what in _DATA.items():
        if old.has(path) and not new.has(path) and not _is_own(path, own):
            yield Lack(f"it has no {path}, {what}")


def _variables(old: Surface, new: Surface, own: Own) -> Iterator[Lack]:
    """Look for what variables of the image name, a file or a folder of the old base."""
    for name, value in own.env:
        for path in value.split(":"):
            if not path.startswith("/") or _is_own(path, own):
                continue
            if old.has(path) and not new.has(path):
                yield Lack(f"it has no {path}, which the variable {name} names")


def _user(old: Surface, new: Surface, own: Own, run: ImageConfig) -> Iterator[Lack]:
    """Compare users: a name is looked up when a container starts; a number needs no entry."""
    if not own.user:
        return
    files = ("/etc/passwd", "/etc/group")
    for text, before, after, what, file in zip(
        run.user.split(":"), old.users, new.users, ("user", "group"), files, strict=False
    ):
        if text in before and text not in after:
            certain = not _is_own(file, own)
            yield Lack(f"it has no {what} {text}, as whom the image runs", certain)


def _program(old: Surface, new: Surface, own: Own, run: ImageConfig) -> Iterator[Lack]:
    """Look for the program that the image starts, where it is of the old base."""
    command = own.entrypoint or own.cmd
    if not command or (own.cmd and not own.entrypoint and run.entrypoint):
        return
    program = command[0]
    if program.startswith("/"):
        places = [program]
    elif "/" in program:
        return
    else:
        folders = dict(run.env).get("PATH", "").split(":")
        places = [f"{folder}/{program}" for folder in folders if not _is_own(folder, own)]
    if any(map(old.has, places)) and not any(map(new.has, places)):
        yield Lack(f"it has no {program}, which the image starts", certain=False)


def _places(old: Surface, new: Surface, own: Own) -> Iterator[Lack]:
    """Paths that only the new base has, where the image has files of its own."""
    for place in own.places:
        path = place.strip("/")
        for above in parents(path):
            kind = new.kind(above)
            if kind not in ("", "directory") and kind != old.kind(above):
                yield Lack(f"its /{above} is a {kind}, and the image has files below it")
        inside = f"{path}/" if path else ""
        for one in new.view:
            if (one == path or one.startswith(inside)) and one not in old.view:
                folder = one == path and new.kind(one) == "directory"
                if not folder:
                    certain = place == own.prefix
                    yield Lack(f"it has /{one}, where the image has files of its own", certain)
                    break


def _is_own(path: str, own: Own) -> bool:
    return any(path == place or path.startswith(f"{place.rstrip('/')}/") for place in own.places)
