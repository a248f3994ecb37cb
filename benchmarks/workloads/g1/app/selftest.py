"""``python selftest.py [--no-gpu]``: a line a check, exit code 1 at the first failure.

What needs a GPU is in ``checks.cupy_gpu``. With ``--no-gpu``, for machines without a driver, that
part is left out, and CuPy must say itself that there is none.
"""

import sys

import cupy
from checks import arrays, cuda_libraries, cupy_host, run

if "--no-gpu" in sys.argv[1:]:
    from checks import cupy_nogpu

    print("no GPU: the checks of cupy_gpu are left out")
    sys.exit(run(arrays, cuda_libraries, cupy_host, cupy_nogpu))
if not cupy.cuda.is_available():
    sys.exit("FAILED  cupy_gpu needs a GPU, and CuPy finds none: try --no-gpu")

from checks import cupy_gpu

sys.exit(run(arrays, cuda_libraries, cupy_host, cupy_gpu))
