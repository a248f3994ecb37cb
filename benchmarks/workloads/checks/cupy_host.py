"""CuPy without a GPU: NVRTC compiles kernels, with CuPy's headers and CUDA's."""

from pathlib import Path

import cupy
from cupy.cuda import nvrtc
from main import MATMUL

from checks import expect, raises

# What CuPy puts before its elementwise kernels, and what that includes of CUDA's.
HEADERS = """
#include <cupy/complex.cuh>
#include <cupy/float16.cuh>
#include <cupy/carray.cuh>
extern "C" __global__ void raise(CArray<float16, 1, true, true> a) { a[0] = a[0] + float16(1.0f); }
"""


def ptx(source, *options):
    """Compile CUDA C++ for GPUs from compute capability 8.0 on."""
    program = nvrtc.createProgram(source, "check.cu", (), ())
    try:
        nvrtc.compileProgram(program, ("--gpu-architecture=compute_80", "--std=c++17", *options))
        return nvrtc.getPTX(program).decode()
    except nvrtc.NVRTCError:
        print(nvrtc.getProgramLog(program).partition("\n\n")[0])
        raise
    finally:
        nvrtc.destroyProgram(program)


def compiler():
    expect(nvrtc.getVersion()[0] == 13, f"NVRTC is {nvrtc.getVersion()}")
    expect(".visible .entry matmul" in ptx(MATMUL.code))
    raises(nvrtc.NVRTCError, ptx, "this is no C++")


def headers():
    cuda = cupy.cuda.get_cuda_path()
    expect(cuda, "CuPy finds no CUDA")
    own = Path(cupy.__file__).parent / "_core/include"
    inner = [own / "cupy/_cccl" / part for part in ("cub", "thrust", "libcudacxx")]
    folders = [own, *inner, Path(cuda, "include")]
    expect(".visible .entry raise" in ptx(HEADERS, *(f"-I{folder}" for folder in folders)))


CHECKS = (compiler, headers)
