"""Triton without a GPU: kernels become machine code, with the assembler for the device."""

import os
import tempfile
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from checks import equal, expect

# Triton's second assembler goes with gpu_arch where no GPU from sm_100 on is named.
NEWER = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas-blackwell"


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    tl.store(out + at, tl.load(x + at, mask=inside) + tl.load(y + at, mask=inside), mask=inside)


def cubin(device):
    """Compile for devices of an architecture (90 for 9.0)."""
    kinds = {"x": "*fp32", "y": "*fp32", "out": "*fp32", "n": "i32", "BLOCK": "constexpr"}
    source = ASTSource(add, kinds, constexprs={"BLOCK": 128})
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        try:
            return triton.compile(source, target=GPUTarget("cuda", device, 32)).asm["cubin"]
        finally:
            del os.environ["TRITON_CACHE_DIR"]


def assembler():
    for device in (80, 90):
        equal(cubin(device)[:4], b"\x7fELF")


def newer_assembler():
    if NEWER.exists():
        equal(cubin(100)[:4], b"\x7fELF")
        return
    try:
        cubin(100)
    except RuntimeError as problem:
        equal(str(problem), "Cannot find ptxas-blackwell")
    else:
        expect(False, "compiled for sm_100 without an assembler")


def profiler():
    """Expect the profiler to import, whether its libraries are there or not."""
    import triton.profiler  # noqa: F401


CHECKS = (assembler, newer_assembler, profiler)
