"""CuPy on a machine without a driver: it is imported, and says itself what is missing."""

import cupy
from cupy.cuda.runtime import CUDARuntimeError

from checks import equal, expect, raises


def unavailable():
    expect(not cupy.cuda.is_available())
    expect(cupy.cuda.runtime.runtimeGetVersion() >= 13000)


def errors():
    for function in (cupy.cuda.runtime.getDeviceCount, lambda: cupy.zeros(3)):
        raises(CUDARuntimeError, function)
    try:
        cupy.zeros(3)
    except CUDARuntimeError as problem:
        text = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime"
        equal(str(problem)[: len(text)], text)


CHECKS = (unavailable, errors)
