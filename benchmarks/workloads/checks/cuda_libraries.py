"""CUDA's libraries, as they lie in the environment: each is opened, in a process of its own.

Needs no GPU and no driver. Of its own, because what one library brought in would be found for the
next without a search.
"""

import subprocess
import sys
from pathlib import Path

from checks import expect

NAMES = (
    "libcublas", "libcudart", "libcudnn", "libcufft", "libcufile.", "libcupti", "libcurand",
    "libcusolver", "libcusparse", "libnccl", "libnvJitLink", "libnvrtc", "libnvshmem_host",
)  # fmt: skip
OPEN = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


def resolve():
    """Every library that is there finds what it needs."""
    found = sorted(Path(sys.prefix, "lib").glob("lib*.so.*"))
    found = [path for path in found if path.name.startswith(NAMES)]
    expect(found, f"no library of CUDA in {sys.prefix}/lib")
    for path in found:
        command = [sys.executable, "-I", "-S", "-c", OPEN, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"{path.name}: {done.stderr.strip()[-300:]}")


CHECKS = (resolve,)
