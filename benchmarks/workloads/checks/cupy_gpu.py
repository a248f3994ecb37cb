"""CuPy on a GPU, compared with NumPy. Only what needs none of CUDA's math libraries."""

import cupy
import numpy as np
from main import figures, matmul

from checks import close, equal, expect

RNG = np.random.default_rng(0)


def elementwise():
    a, b = RNG.standard_normal((2, 1000))
    found = cupy.asarray(a) * 2 + cupy.sin(cupy.asarray(b))
    close(found.get(), a * 2 + np.sin(b))
    square = cupy.ElementwiseKernel("T x", "T y", "y = x * x", "square")
    equal(square(cupy.arange(4.0)).get().tolist(), [0.0, 1.0, 4.0, 9.0])
    halves = cupy.arange(8, dtype=cupy.float16) / cupy.float16(2)
    equal(halves.get().tolist(), [i / 2 for i in range(8)])
    close(cupy.exp(cupy.asarray([1j])).get().real, [np.cos(1)])


def reductions():
    values = RNG.standard_normal((50, 40))
    found = cupy.asarray(values)
    close(found.sum(axis=0).get(), values.sum(axis=0))
    close(found.max().get(), values.max())
    equal(int(found.argmin()), int(values.argmin()))
    equal(cupy.sort(found.ravel()).get().tolist(), np.sort(values.ravel()).tolist())
    close(cupy.cumsum(found.ravel()).get(), np.cumsum(values))


def indexing():
    values = RNG.integers(0, 9, (6, 7))
    found = cupy.asarray(values)
    equal(found[1:5:2, ::-1].get().tolist(), values[1:5:2, ::-1].tolist())
    equal(found[found > 4].get().tolist(), values[values > 4].tolist())
    equal(
        cupy.where(found > 4, found, 0).T.get().tolist(), np.where(values > 4, values, 0).T.tolist()
    )
    equal((found * found).sum(axis=1).get().tolist(), (values * values).sum(axis=1).tolist())


def kernels():
    for rows, inner, columns in ((1, 1, 1), (16, 16, 16), (33, 70, 5)):
        a = RNG.standard_normal((rows, inner), dtype=np.float32)
        b = RNG.standard_normal((inner, columns), dtype=np.float32)
        found = matmul(cupy.asarray(a), cupy.asarray(b)).get()
        expect(np.allclose(found, a @ b, atol=1e-4))


def streams():
    with cupy.cuda.Stream(non_blocking=True) as stream:
        total = cupy.ones(1 << 20).sum()
    stream.synchronize()
    equal(float(total), float(1 << 20))
    free, whole = cupy.cuda.runtime.memGetInfo()
    expect(0 < free <= whole)


def application():
    found = figures()
    print(found)
    expect(found["add_equal"] and found["matmul_close"])


CHECKS = (elementwise, reductions, indexing, kernels, streams, application)
