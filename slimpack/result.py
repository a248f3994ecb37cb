"""What a build tells of its result, as data for a table or JSON."""

from __future__ import annotations

from dataclasses import dataclass

from slimpack.slim.bytecode import BytecodeReport


@dataclass(frozen=True)
class LayerRow:
    """A layer for the final table; sizes in bytes, files without directories."""

    name: str
    files: int
    unpacked: int
    compressed: int
    digest: str


@dataclass(frozen=True)
class BuildResult:
    """What was built. `stages` are (name, seconds) in order.

    source: the input. engine: what solved and installed, "" when nothing was.
    packages, pypi: numbers of conda packages and of those that pip installed.
    """

    digest: str
    image_id: str
    platform: str
    references: tuple[str, ...]
    source: str
    engine: str
    packages: int
    pypi: int
    files: int
    layers: tuple[LayerRow, ...]
    size: int
    bytecode: BytecodeReport
    notes: tuple[str, ...]
    stages: tuple[tuple[str, float], ...]
    outputs: tuple[str, ...]

    @property
    def unpacked(self) -> int:
        """Bytes of all files."""
        return sum(layer.unpacked for layer in self.layers)
