"""``python selftest.py [--no-gpu]``: a line a check, exit code 1 at the first failure.

What needs a GPU is in ``checks.torch_gpu`` and in ``checks.flowers``, because the service itself
does. With ``--no-gpu``, for machines without a driver, these are left out, and PyTorch must say
itself that there is none.
"""

import sys

import torch
from checks import arrays, cuda_libraries, run, tensors, triton_host

if "--no-gpu" in sys.argv[1:]:
    from checks import torch_nogpu

    print("no GPU: the checks of torch_gpu, flowers and serving are left out")
    sys.exit(run(arrays, cuda_libraries, tensors, triton_host, torch_nogpu))
if not torch.cuda.is_available():
    sys.exit("FAILED  torch_gpu needs a GPU, and PyTorch finds none: try --no-gpu")

from checks import flowers, serving, torch_gpu

sys.exit(run(arrays, cuda_libraries, tensors, triton_host, torch_gpu, flowers, serving))
