"""What a build tells of its result, as data for a table or JSON."""

from __future__ import annotations

from dataclasses import dataclass

from slimpack.env.locks.lock import Lock
from slimpack.outputs import RootFile
from slimpack.slim.bytecode import BytecodeReport
from slimpack.slim.record import SlimRecord
from slimpack.verify.model import Verification


@dataclass(frozen=True)
class LayerRow:
    """A layer for the final table; sizes in bytes, files without directories."""

    name: str
    files: int
    unpacked: int
    compressed: int
    digest: str


@dataclass(frozen=True)
class Slimmed:
    """What slimming did, in short; the whole is in the result (`slimpack.slim.record`).

    rules: (rule, files, bytes), most bytes first.
    """

    profile: str = "none"
    before_files: int = 0
    before_bytes: int = 0
    rules: tuple[tuple[str, int, int], ...] = ()
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: SlimRecord | None) -> Slimmed:
        """Sum up a record."""
        if record is None:
            return cls()
        sums: dict[str, tuple[int, int]] = {}
        for item in record.applied:
            files, size = sums.get(item.rule, (0, 0))
            sums[item.rule] = files + item.files, size + item.bytes
        return cls(
            profile=record.profile,
            before_files=sum(item.files for item in record.before),
            before_bytes=sum(item.bytes for item in record.before),
            rules=tuple(
                (rule, files, size)
                for rule, (files, size) in sorted(sums.items(), key=lambda item: -item[1][1])
            ),
            packages=record.packages,
        )


@dataclass(frozen=True)
class BuildResult:
    """What was built for one platform. `stages` are (name, seconds) in order.

    source: the input. engine: what solved and installed, "" when nothing was.
    packages, pypi: numbers of conda packages and of those that pip installed.
    reused: what an earlier build had made, "" for nothing but layers.
    verified: what the checks found, None when they were switched off.
    """

    digest: str
    image_id: str
    platform: str
    source: str
    engine: str
    packages: int
    pypi: int
    files: int
    layers: tuple[LayerRow, ...]
    size: int
    bytecode: BytecodeReport
    slimmed: Slimmed
    verified: Verification | None
    notes: tuple[str, ...]
    stages: tuple[tuple[str, float], ...]
    reused: str = ""

    @property
    def unpacked(self) -> int:
        """Bytes of all files."""
        return sum(layer.unpacked for layer in self.layers)


@dataclass(frozen=True)
class Built:
    """What a build delivered: one image, or an index of several.

    digest: of the image's manifest, or of the index. size: bytes to transfer, each
    blob once. stages: (name, seconds) of what was done for all platforms together.
    pushed: references in registries; sent: bytes that travelled there. roots: root file
    systems that were written.
    locks: what was installed, one for each platform; () for an environment that was there
    already, and for a lock that was built before and says all.
    """

    digest: str
    references: tuple[str, ...]
    outputs: tuple[str, ...]
    size: int
    images: tuple[BuildResult, ...]
    stages: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    pushed: tuple[str, ...] = ()
    sent: int = 0
    roots: tuple[RootFile, ...] = ()
    locks: tuple[Lock, ...] = ()
