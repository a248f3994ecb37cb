"""What is verified: the files of an image, an environment or an unpacked archive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from slimpack.elf.resolve import Loaded
from slimpack.errors import SlimpackError
from slimpack.oci.image import Image
from slimpack.slim.bytecode import source_of
from slimpack.slim.record import MAX_RECORD, RECORD, SlimRecord, read_record
from slimpack.tree import Entry, Kind, Tree, under
from slimpack.verify.libraries import MACHINES, ElfFiles, Libraries, read_elf_files
from slimpack.verify.lookup import Lookup
from slimpack.verify.packages import Package, Records, read_records

SubjectKind = Literal["image", "prefix", "archive"]
Pairs = tuple[tuple[str, str], ...]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RECORDS = ("conda-meta/", "share/slimpack/")  # what conda and slimpack keep for themselves
_LIBRARY = re.compile(r"lib/(?P<name>python(?P<version>3\.\d+)t?)/")


@dataclass(frozen=True)
class Start:
    """How it is run, as in an image's config. labels: kept beside it, run by nobody."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Pairs = ()
    user: str = ""
    workdir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> tuple[str, ...]:
        """What starts when nobody says otherwise."""
        return (*self.entrypoint, *self.cmd)

    @property
    def path(self) -> tuple[str, ...]:
        """The folders in which programs are looked for."""
        return tuple(dict(self.env).get("PATH", DEFAULT_PATH).split(":"))


@dataclass(frozen=True)
class Python:
    """The interpreter of the environment, told from its files.

    program: path in the tree. version: such as ``3.11``. library: folder of its modules.
    """

    program: str
    version: str
    library: str

    @property
    def tag(self) -> str:
        """In the names of its bytecode and extension modules."""
        return f"cpython-{self.version.replace('.', '')}"


@dataclass(frozen=True)
class Subject:
    """Files, what is known of them, and how they are run.

    name: as the user calls it.
    tree: all visible paths with their true modes; contents come from `root`.
    root: the folder of this machine that `tree` describes; a program's root folder for an
        image, a folder of this machine's root otherwise.
    prefix: of the environment, in the tree; "" for its root.
    platform: such as ``linux/amd64``.
    below: paths of a base that slimpack did not put there.
    image: what was unpacked, None for anything else.
    made_for: the one place where an archive without conda-unpack works, "" for any.
    known: path -> package, of files that were looked at before, and need not be there to be read.
    """

    name: str
    kind: SubjectKind
    tree: Tree
    root: Path
    prefix: str
    platform: str
    start: Start = Start()
    below: Set[str] = frozenset()
    image: Image | None = None
    made_for: str = ""
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The absolute path of the tree's root that its files name."""
        return "/" if self.kind == "image" else self.made_for or str(self.root)

    def prepare(self) -> None:
        """Read now what checks share, so that those in two threads do not both."""
        for name in ("files", "lookup", "records", "owners", "record", "python"):
            getattr(self, name)

    @cached_property
    def files(self) -> tuple[Entry, ...]:
        """All regular files, in order of path."""
        return tuple(entry for entry in self.tree if entry.kind is Kind.FILE)

    @cached_property
    def asked(self) -> tuple[Entry, ...]:
        """The files that are to be looked at, in order of path."""
        return tuple(entry for entry in self.files if entry.path not in self.known)

    @cached_property
    def lookup(self) -> Lookup:
        """Where paths lead."""
        return Lookup(self.tree, self.place)

    @cached_property
    def records(self) -> Records:
        """The packages in it, but for those that are known."""
        return read_records(self.tree, self.known)

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """Path in the tree -> name of the package that lists it."""
        return {**self.known, **self.records.owners()}

    @cached_property
    def elf(self) -> ElfFiles:
        """Its ELF files."""
        return read_elf_files(self.files, self.platform)

    @cached_property
    def libraries(self) -> Libraries:
        """How its loader finds libraries."""
        machine = MACHINES.get(self.platform, "")
        return Libraries(self.elf, self.tree, self.lookup, dict(self.start.env), machine)

    @cached_property
    def record(self) -> SlimRecord | None:
        """What slimming did; None for what was not slimmed, or whose record is damaged."""
        entry = self.tree.get(under(self.prefix, RECORD))
        if entry is None or entry.kind is not Kind.FILE or entry.size > MAX_RECORD:
            return None
        try:
            return read_record(entry.read(), f"/{entry.path}")
        except SlimpackError:
            return None

    @cached_property
    def python(self) -> Python | None:
        """The environment's Python; None without one."""
        found: dict[str, Python] = {}
        inside = under(self.prefix, "")
        for entry in self.files:
            if not entry.path.startswith(f"{inside}lib/python3"):
                continue
            match = _LIBRARY.match(entry.path[len(inside) :])
            if match and match["name"] not in found:
                program = f"{inside}bin/python{match['version']}"
                if self.lookup.find(program) is not None:
                    library = f"{inside}lib/{match['name']}"
                    found[match["name"]] = Python(program, match["version"], library)
        return min(found.values(), key=lambda python: python.library) if found else None

    def owner(self, path: str) -> str:
        """Return the package of a path, "" for none; bytecode belongs to its source's."""
        return self.owners.get(path) or self.owners.get(source_of(path), "")

    @cached_property
    def interpreter(self) -> Loaded | None:
        """Its Python with the libraries that come with it, as the loader finds them."""
        path = self.lookup.resolve(self.python.program) if self.python else None
        return self.libraries.program(self.in_place(path)) if path else None

    def in_place(self, path: str) -> str:
        """Return the absolute path that a path of the tree has for its own programs."""
        return f"{self.place.rstrip('/')}/{path}"

    def packages(self, kind: str) -> Iterator[Package]:
        """Yield the packages of one kind."""
        return (package for package in self.records.packages if package.kind == kind)

    def shown(self, path: str) -> str:
        """Return a path as the user knows it: absolute in an image, else below the folder."""
        return f"/{path}" if self.kind == "image" else path

    def absolute(self, path: str) -> str:
        """Return the absolute path under which programs are started."""
        return f"/{path}" if self.kind == "image" else f"{self.root}/{path}"

    def is_inside(self, path: str) -> bool:
        """Tell whether a path is of the environment."""
        return path.startswith(under(self.prefix, "")) or not self.prefix

    @cached_property
    def application(self) -> tuple[Entry, ...]:
        """Files of no package and of no base: what the user brought."""
        records = tuple(under(self.prefix, folder) for folder in _RECORDS)
        return tuple(
            entry
            for entry in self.asked
            if entry.path not in self.below
            and not self.owner(entry.path)
            and not entry.path.startswith(records)
        )
