"""Adds vectors and multiplies matrices on a GPU; prints what that took as JSON.

The sum is CuPy's own, the product a kernel of ours: cuBLAS is not needed. Both are compared with
NumPy's; exit code 1 when they differ. Without a GPU it ends with CuPy's error.
"""

import json
import sys

import cupy
import numpy as np

TILE = 16
MATMUL = cupy.RawKernel(
    r"""
extern "C" __global__
void matmul(const float *a, const float *b, float *c, int rows, int inner, int columns) {
    __shared__ float left[16][16], right[16][16];
    int x = threadIdx.x, y = threadIdx.y;
    int row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
    float sum = 0;
    for (int start = 0; start < inner; start += 16) {
        left[y][x] = row < rows && start + x < inner ? a[row * inner + start + x] : 0;
        right[y][x] = column < columns && start + y < inner ? b[(start + y) * columns + column] : 0;
        __syncthreads();
        for (int i = 0; i < 16; i++) sum += left[y][i] * right[i][x];
        __syncthreads();
    }
    if (row < rows && column < columns) c[row * columns + column] = sum;
}
""",
    "matmul",
)


def matmul(a, b):
    """Multiply two matrices of float32 on the GPU."""
    (rows, inner), columns = a.shape, b.shape[1]
    product = cupy.empty((rows, columns), cupy.float32)
    blocks = (-(-columns // TILE), -(-rows // TILE))
    sizes = (np.int32(rows), np.int32(inner), np.int32(columns))
    MATMUL(blocks, (TILE, TILE), (a, b, product, *sizes))
    return product


def timed(function, *arguments):
    """Return a result and its milliseconds on the GPU, compiling left out."""
    function(*arguments)
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    result = function(*arguments)
    end.record()
    end.synchronize()
    return result, round(cupy.cuda.get_elapsed_time(start, end), 3)


def figures():
    """Compute both, compare them with NumPy and tell how long they took."""
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((2, 1 << 24), dtype=np.float32)
    left, right = (generator.standard_normal((1000, 1000), dtype=np.float32) for _ in range(2))
    total, add_ms = timed(cupy.add, cupy.asarray(a), cupy.asarray(b))
    product, matmul_ms = timed(matmul, cupy.asarray(left), cupy.asarray(right))
    device = cupy.cuda.Device()
    name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    return {
        "device": name,
        "compute_capability": device.compute_capability,
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "cupy": cupy.__version__,
        "add_ms": add_ms,
        "add_equal": bool((total.get() == a + b).all()),
        "matmul_ms": matmul_ms,
        "matmul_close": bool(np.allclose(product.get(), left @ right, atol=1e-3)),
    }


if __name__ == "__main__":
    found = figures()
    print(json.dumps(found))
    sys.exit(0 if found["add_equal"] and found["matmul_close"] else 1)
