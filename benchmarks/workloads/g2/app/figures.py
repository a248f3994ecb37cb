"""``python figures.py``: matmul and inference on a GPU, compared with the CPU, as JSON.

Exit code 1 when the results differ. Without a GPU it ends with PyTorch's error.
"""

import json
import sys
import time

import torch
from network import network


def timed(function):
    """Return a result and its milliseconds on the GPU; the first call, which loads, is left out."""
    function()
    torch.cuda.synchronize()
    start = time.perf_counter()
    result = function()
    torch.cuda.synchronize()
    return result, round((time.perf_counter() - start) * 1000, 3)


def figures():
    """Compute, compare and measure."""
    torch.manual_seed(0)
    a, b, rows = torch.randn(2048, 2048), torch.randn(2048, 2048), torch.rand(1024, 4)
    device = torch.device("cuda")
    left, right, inputs = a.to(device), b.to(device), rows.to(device)
    model = network().eval()
    with torch.inference_mode():
        expected, wanted = a @ b, model(rows)
        product, matmul_ms = timed(lambda: left @ right)
        model.to(device)
        found, inference_ms = timed(lambda: model(inputs))
    return {
        "device": torch.cuda.get_device_name(),
        "compute_capability": "".join(map(str, torch.cuda.get_device_capability())),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "matmul_ms": matmul_ms,
        "matmul_close": torch.allclose(product.cpu(), expected, atol=1e-2),
        "inference_ms": inference_ms,
        "inference_close": torch.allclose(found.cpu(), wanted, atol=1e-4),
    }


if __name__ == "__main__":
    answer = figures()
    print(json.dumps(answer))
    sys.exit(0 if answer["matmul_close"] and answer["inference_close"] else 1)
