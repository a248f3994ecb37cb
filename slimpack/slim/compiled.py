"""Bytecode as `slimpack.slim.pyc_worker` leaves it: that of a package in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slimpack.errors import InstallError
from slimpack.slices import open_slice
from slimpack.tree import Entry, Kind, content_identity


@dataclass(frozen=True)
class Outcome:
    """What came of a source. how: ``kept``, ``moved``, ``compiled`` or ``failed``.

    message: why it failed. offset, size: bytes in the file of its group.
    """

    how: str
    message: str
    offset: int
    size: int

    @property
    def is_there(self) -> bool:
        """Whether there is bytecode."""
        return self.how != "failed"


@dataclass(frozen=True)
class Group:
    """Sources of one package.

    folder: where the worker writes. targets: number of a source -> path of its bytecode; the
        first number names the file.
    """

    folder: Path
    owner: str
    targets: Mapping[int, str]

    @property
    def file(self) -> Path:
        """What holds the bytecode, one after the other."""
        return self.folder / str(next(iter(self.targets)))

    def entries(self, outcome: Mapping[int, Outcome]) -> Iterator[Entry]:
        """Yield the bytecode that there is. The file is read once, for the identities.

        These are our own: an interpreter of some environment is not asked for what layers of
        others are found by. Raises InstallError for a file that ends too early.
        """
        with self.file.open("rb") as stream:
            for number, target in self.targets.items():
                one = outcome[number]
                if not one.is_there:
                    continue
                stream.seek(one.offset)
                data = stream.read(one.size)
                if len(data) != one.size:
                    raise InstallError(f"the bytecode of /{target} was cut off")
                yield Entry(
                    path=target,
                    kind=Kind.FILE,
                    mode=0o644,
                    owner=self.owner,
                    size=one.size,
                    opener=partial(open_slice, self.file, one.offset, one.size),
                    identity=content_identity(hashlib.sha256(data).hexdigest()),
                )
