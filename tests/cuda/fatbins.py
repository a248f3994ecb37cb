"""Containers of GPU code, made byte by byte, and libraries that hold them."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection

from slimpack.cuda.fatbin import CUBIN, PTX
from slimpack.cuda.trim import GpuCode, TrimPlan, gpu_code, trim_plan
from slimpack.elf.stripped import stripped
from tests.elf.builder import make_elf

LTO, CONCATENATED = 8, 256
FLAGS = {"": 0, "a": 0x100000, "f": 0x200000}


def entry(
    arch: str,
    size: int = 4096,
    *,
    kind: int = CUBIN,
    flags: int = 0x11,
    header: int = 64,
    version: int = 0x101,
) -> bytes:
    """Code for an architecture ("90a"); its content is its name over and over."""
    number = int(arch.rstrip("af"))
    flags |= FLAGS[arch[len(str(number)) :]]
    content = (f"{kind}:{arch}/".encode() * size)[:size]
    fields = (kind, version, header, size, 0, 0, 8, 1, number, 0, 0, flags, 0, 0)
    return struct.pack("<HHIQIIHHIIIQQQ", *fields) + bytes(header - 64) + content


def ptx(arch: str, size: int = 4096) -> bytes:
    return entry(arch, size, kind=PTX, header=80)


def container(*entries: bytes) -> bytes:
    content = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(content)) + content


def library(*containers: bytes, name: str = ".nv_fatbin") -> bytes:
    return make_elf(data=[(".rodata", b"constant" * 10), (name, b"".join(containers))])


def code_of(data: bytes) -> GpuCode | None:
    return gpu_code(io.BytesIO(data), len(data))


def plan_of(data: bytes, devices: Collection[int], *, ptx: bool = False) -> TrimPlan | None:
    code = code_of(data)
    return trim_plan(io.BytesIO(data), len(data), code, devices, ptx=ptx) if code else None


def apply(data: bytes, plan: TrimPlan) -> bytes:
    with stripped(io.BytesIO(data), plan) as stream:
        result = stream.read()
    assert len(data) == plan.size
    assert len(result) == plan.new_size
    return result


def names(data: bytes) -> list[list[str]]:
    """What each container has: "90a", or "ptx 90"."""
    code = code_of(data)
    return [
        [
            ("ptx " if entry.kind == PTX else "")
            + (entry.arch.name.removeprefix("sm_") if entry.arch else "?")
            for entry in found.entries
        ]
        for found in (code.containers if code else ())
    ]


def trimmed(data: bytes, *devices: int, ptx: bool = False) -> list[list[str]]:
    """What each container has after trimming."""
    plan = plan_of(data, devices, ptx=ptx)
    return names(apply(data, plan) if plan else data)
