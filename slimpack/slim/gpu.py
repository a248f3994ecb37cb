"""Leaving out GPU code for devices that nobody named (docs/slimming.md, gpu_arch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from slimpack.cuda.arch import Arch
from slimpack.cuda.trim import GpuCode, TrimPlan, gpu_code, trim_plan
from slimpack.elf.read import seekable_elf
from slimpack.elf.view import view
from slimpack.slim.ruleset import Rule, Rules
from slimpack.slim.shrink import active, may_change, opener, with_plan
from slimpack.slim.slimming import Change, Scope
from slimpack.tree import Entry, Tree

RULE = Rule(
    "gpu-arch",
    "GPU code for other architectures than those under gpu_arch, or of --gpu-arch",
    action="gpu-arch",
)

TOOLS_RULE = Rule(
    "gpu-arch-tools",
    "what Triton starts and opens for GPUs from sm_100 on, none of which gpu_arch names",
    paths=(
        "lib/python*/site-packages/triton/backends/nvidia/bin/ptxas-blackwell",
        "lib/python*/site-packages/triton/backends/nvidia/lib/cupti-blackwell",
    ),
)
"""Triton brings two assemblers and two sets of profiling libraries, and takes the second of
each where the device's ``arch >= 100`` (``backends/nvidia/compiler.py: get_ptxas`` and
``profiler/profile.py`` of 3.8), and nowhere else unless told to (``TRITON_OVERRIDE_ARCH``)."""
_TOOLS_FROM = 100


@dataclass(frozen=True)
class Devices:
    """Whose GPU code stays. numbers: their architectures (90 for 9.0). ptx: all PTX too."""

    numbers: tuple[int, ...]
    ptx: bool = False

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What goes for them: code for others, and tools for newer ones if none is served."""
        newer = self.ptx or any(number >= _TOOLS_FROM for number in self.numbers)
        return (RULE,) if newer else (RULE, TOOLS_RULE)


@dataclass(frozen=True)
class Trimmed:
    """A tree with less GPU code.

    views: what opens each changed file seekable, by path below the prefix.
    notes: devices for which nothing has code.
    """

    tree: Tree
    changes: tuple[Change, ...] = ()
    views: Mapping[str, Callable[[], BinaryIO]] | None = None
    notes: tuple[str, ...] = ()


def trimmed(tree: Tree, rules: Rules, scope: Scope, devices: Devices | None) -> Trimmed:
    """Return the tree with the code that the devices need, where rules say so; None needs all.

    New contents are made while they are read; planning reads the data of all ELF files.
    """
    wanted = active(rules, RULE.action, scope)
    if not devices or not wanted:
        return Trimmed(tree)
    changes: list[Change] = []
    smaller: list[Entry] = []
    views: dict[str, Callable[[], BinaryIO]] = {}
    served: set[int] = set()
    for path, entry, opened, code in _gpu_files(scope.files(tree), scope):
        served |= {device for device in devices.numbers if code.serves(device)}
        rule = next((rule for rule, means in wanted if means(path, entry)), None)
        if rule is None:
            continue
        with _seekable(opened) as stream:
            plan = trim_plan(stream, entry.size, code, devices.numbers, ptx=devices.ptx)
        if plan:
            changes.append(Change(path, entry.owner, rule.name, plan.dropped, removed=False))
            smaller.append(with_plan(entry, plan))
            views[path] = _viewed(opened, plan)
    notes = tuple(
        f"gpu_arch: nothing in the environment has code that runs on {Arch(device).name}"
        for device in devices.numbers
        if device not in served
    )
    return Trimmed(tree.merge(smaller), tuple(changes), views, notes)


def architectures(tree: Tree, scope: Scope) -> tuple[str, ...]:
    """Return the names of all architectures that the environment has GPU code for."""
    found = {
        entry.arch
        for _, _, _, code in _gpu_files(scope.files(tree), scope)
        for entry in code.entries
        if entry.arch
    }
    return tuple(arch.name for arch in sorted(found))


def _gpu_files(
    files: Mapping[str, Entry], scope: Scope
) -> Iterator[tuple[str, Entry, Callable[[], BinaryIO], GpuCode]]:
    for path, entry in files.items():
        if not may_change(path, entry, files):
            continue
        opened = opener(entry, scope)
        with opened() as stream:
            found = seekable_elf(stream)
            code = gpu_code(found, entry.size) if found else None
        if code:
            yield path, entry, opened, code


def _seekable(opened: Callable[[], BinaryIO]) -> BinaryIO:
    stream = opened()
    found = seekable_elf(stream)
    assert found is not None  # It was ELF when its code was found.
    return found


def _viewed(opened: Callable[[], BinaryIO], plan: TrimPlan) -> Callable[[], BinaryIO]:
    return lambda: view(_seekable(opened), plan)
