"""Finding the libraries that an ELF file needs, in the order in which glibc's ld.so does.

The order (ld.so(8); glibc's elf/dl-load.c, `_dl_map_object`) for a name without a slash:

1. what is loaded already under that name or that DT_SONAME;
2. if the file itself has no DT_RUNPATH: DT_RPATH of the file, of what loaded it, and so
   on up to the program; files with a DT_RUNPATH have no DT_RPATH that counts;
3. LD_LIBRARY_PATH;
4. DT_RUNPATH of the file itself, which does not count for what its libraries need;
5. /etc/ld.so.cache and the built-in folders (`slimpack.elf.loader`).

A candidate for another machine, class or byte order is passed over. A name with a slash
is a path. Not modelled: musl, LD_PRELOAD, the glibc-hwcaps subfolders (they hold faster
copies of libraries that stand beside them as well), folders relative to the working
directory (nobody knows it; they find nothing here).

Paths are absolute inside the image and in normal form.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from slimpack.elf.loader import TRIPLETS
from slimpack.elf.read import Elf

_TOKEN = re.compile(r"\$(?:(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_])|\{(ORIGIN|LIB|PLATFORM)\})")
_MAX_OBJECTS = 10_000


@dataclass(frozen=True)
class Module:
    """An ELF file at a path of the image.

    path: of a program with all links followed (the kernel tells ld.so that one); of a
        library as it was found, links not followed: $ORIGIN is its folder.
    """

    path: str
    elf: Elf


@dataclass(frozen=True)
class Need:
    """One DT_NEEDED and what it leads to.

    path: where it was found; None when it was not; "" for one that is loaded already and
        whose path the caller did not tell.
    why: the rule that found it ("DT_RPATH of /opt/env/bin/python"), or where it was
        looked for in vain.
    """

    name: str
    path: str | None
    why: str


@dataclass(frozen=True)
class Loaded:
    """A program or library with all that it brings into memory.

    modules: by path, in the order in which ld.so loads them, the first one first.
    needs: for each path of `modules`, its needs.
    names: every name under which something is loaded -> its path; fit as `loaded` of
        another call, for libraries that the program opens later.
    """

    modules: Mapping[str, Module]
    needs: Mapping[str, tuple[Need, ...]]
    names: Mapping[str, str]

    @property
    def missing(self) -> tuple[tuple[str, Need], ...]:
        """(path of the file that needs it, need) of everything that was not found."""
        return tuple(
            (path, need)
            for path, needs in self.needs.items()
            for need in needs
            if need.path is None
        )


@dataclass(frozen=True)
class Resolver:
    """Resolves needs over a file system that `lookup` describes.

    lookup: reads the ELF file at an absolute path, following links; None when there is
        none or it cannot be read. It is asked for the same path often: cache it.
    default_dirs: what `slimpack.elf.loader.default_directories` gives.
    env_library_path: folders of LD_LIBRARY_PATH in the image's environment.
    lib: what $LIB stands for; "" for Debian's, ``lib/x86_64-linux-gnu``.
    """

    lookup: Callable[[str], Elf | None]
    default_dirs: Sequence[str]
    env_library_path: Sequence[str] = ()
    lib: str = field(default="")

    def resolve(
        self,
        path: str,
        elf: Elf,
        ancestors: Sequence[Module] = (),
        *,
        loaded: Mapping[str, str] | None = None,
    ) -> list[Need]:
        """Resolve the needs of one file, in their order, not those of what it finds.

        ancestors: what loaded the file, nearest first, the program last. For an extension
            module that is the program, after libpython where the interpreter lies there.
        loaded: names (soname or file name) that are in memory already -> path, or ""
            when that is unknown. For an extension module: `Loaded.names` of the
            interpreter, and sonames of libraries that its package opens itself.
        """
        module = Module(path, elf)
        known = loaded or {}
        return [self._need(name, module, ancestors, known) for name in elf.needed]

    def load(
        self,
        path: str,
        elf: Elf,
        ancestors: Sequence[Module] = (),
        *,
        loaded: Mapping[str, str] | None = None,
    ) -> Loaded:
        """Resolve a file and all that it brings along, breadth first, as ld.so does.

        Arguments as of `resolve`. What was in `loaded` is not followed.
        """
        first = Module(path, elf)
        names = dict(loaded or {})
        if elf.interpreter:
            # The kernel has loaded ld.so itself, whose soname is its file name.
            names.setdefault(posixpath.basename(elf.interpreter), elf.interpreter)
        modules: dict[str, Module] = {path: first}
        needs: dict[str, tuple[Need, ...]] = {}
        queue: deque[tuple[Module, tuple[Module, ...]]] = deque([(first, tuple(ancestors))])
        while queue and len(modules) < _MAX_OBJECTS:
            module, above = queue.popleft()
            found = []
            for name in module.elf.needed:
                need = self._need(name, module, above, names)
                found.append(need)
                if need.path is None or name in names:
                    continue
                target = self._accepted(need.path, module.elf)
                if target is None:
                    continue
                names[name] = need.path
                if target.soname:
                    names.setdefault(target.soname, need.path)
                if need.path not in modules:
                    modules[need.path] = Module(need.path, target)
                    queue.append((modules[need.path], (module, *above)))
            needs[module.path] = tuple(found)
        return Loaded(modules, needs, names)

    def _need(
        self, name: str, module: Module, ancestors: Sequence[Module], loaded: Mapping[str, str]
    ) -> Need:
        if name in loaded:
            return Need(name, loaded[name], "loaded already")
        if "/" in name:
            target = self._expanded(name, module)
            if target and self._accepted(target, module.elf):
                return Need(name, target, "a path")
            return Need(name, None, f"there is no library for this machine at {target or name}")
        tried: dict[str, str] = {}
        for folder, rule in self._folders(module, ancestors):
            if folder in tried:
                continue
            candidate = posixpath.join(folder, name)
            target_elf = self.lookup(candidate)
            if target_elf is None:
                tried[folder] = folder
            elif target_elf.platform != module.elf.platform:
                tried[folder] = f"{folder} (there for {target_elf.machine}, passed over)"
            else:
                return Need(name, candidate, rule)
        return Need(name, None, f"not in {', '.join(tried.values()) or 'any folder'}")

    def _folders(self, module: Module, ancestors: Sequence[Module]) -> Iterator[tuple[str, str]]:
        """Yield the folders that are searched for a need of `module`, and why."""
        if not module.elf.runpath:
            for one in (module, *ancestors):
                if not one.elf.runpath:
                    yield from self._search_path(one.elf.rpath, one, f"DT_RPATH of {one.path}")
        yield from self._search_path(self.env_library_path, module, "LD_LIBRARY_PATH")
        yield from self._search_path(module.elf.runpath, module, f"DT_RUNPATH of {module.path}")
        if not module.elf.no_default_paths:
            yield from ((folder, "a folder of the system") for folder in self.default_dirs)

    def _search_path(
        self, folders: Sequence[str], module: Module, rule: str
    ) -> Iterator[tuple[str, str]]:
        for folder in folders:
            if expanded := self._expanded(folder, module):
                yield expanded, rule

    def _expanded(self, text: str, module: Module) -> str:
        """Replace $ORIGIN, $LIB and $PLATFORM; "" for what is not absolute then."""
        machine = module.elf.machine
        triplet = TRIPLETS.get(machine)
        values = {
            "ORIGIN": posixpath.dirname(module.path),
            "LIB": self.lib or (f"lib/{triplet}" if triplet else "lib"),
            "PLATFORM": machine,
        }
        path = _TOKEN.sub(lambda match: values[match[1] or match[2]], text)
        # normpath keeps two leading slashes, which POSIX leaves to the system.
        return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else ""

    def _accepted(self, path: str, needer: Elf) -> Elf | None:
        elf = self.lookup(path)
        return elf if elf is not None and elf.platform == needer.platform else None


def missing_versions(elf: Elf, found: Mapping[str, Elf]) -> list[tuple[str, str]]:
    """Return (name of the library, version) of the versions that nobody defines.

    found: the libraries that `elf.needed` led to, by that name; others are not judged.
    ld.so ends the program for those ("version `GLIBC_2.38' not found"). It only warns
    when the library defines no versions at all, so those are left out.
    """
    missing = []
    for library, versions in elf.version_needs.items():
        target = found.get(library)
        if target is not None and target.version_defs:
            defined = set(target.version_defs)
            missing += [(library, version) for version in versions if version not in defined]
    return missing
