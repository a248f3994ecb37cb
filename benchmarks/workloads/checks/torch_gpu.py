"""PyTorch on a GPU, compared with the CPU: each of CUDA's libraries is used at least once."""

import torch
from figures import figures
from torch import nn

from checks import close, equal, expect

DEVICE = "cuda"


def same(function, *arguments, tolerance=1e-3):
    """Expect a function to give the same on both devices."""
    wanted = function(*arguments)
    found = function(*(argument.to(DEVICE) for argument in arguments)).cpu()
    expect(torch.allclose(found, wanted, atol=tolerance, rtol=tolerance))


def arithmetic():
    """Kernels of PyTorch itself, cuBLAS, cuBLASLt."""
    torch.manual_seed(0)
    a, b = torch.randn(64, 80), torch.randn(80, 48)
    same(torch.matmul, a, b)
    same(lambda x: torch.nn.functional.linear(x, b.T.to(x.device), torch.ones(48).to(x.device)), a)
    same(lambda x: (x.sin() * 2 + x.exp()).sum(dim=0), a)
    same(lambda x: x.sort(dim=1).values.cumsum(1), a)
    same(lambda x: (x.half() @ x.half().T).float(), a, tolerance=0.1)
    equal(int(torch.arange(1000, device=DEVICE).sum()), 499500)


def libraries():
    """cuFFT, cuSOLVER, cuSPARSE, cuRAND, NVRTC."""
    torch.manual_seed(0)
    a = torch.randn(32, 32)
    matrix = a @ a.T + torch.eye(32)
    same(lambda x: torch.fft.irfft2(torch.fft.rfft2(x)), a)
    same(torch.linalg.cholesky, matrix)
    same(torch.linalg.solve, matrix, a)
    same(torch.linalg.eigvalsh, matrix, tolerance=1e-2)
    same(lambda x: torch.sparse.mm(x.relu().to_sparse_csr(), x), a)
    normal = torch.randn(100_000, device=DEVICE)
    expect(abs(float(normal.mean())) < 0.02 and abs(float(normal.std()) - 1) < 0.02)
    # Compiled when it is called.
    same(lambda x: torch.special.bessel_j0(x.abs()), a)


def networks():
    """cuDNN, forward and backward."""
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2), nn.Flatten(), nn.LazyLinear(5),
    ).eval()  # fmt: skip
    wanted = layers(images)
    layers.to(DEVICE)
    found = layers(images.to(DEVICE))
    expect(torch.allclose(found.cpu(), wanted, atol=1e-2))
    found.square().sum().backward()
    expect(all(p.grad is not None and p.grad.isfinite().all() for p in layers.parameters()))
    steps, _ = nn.LSTM(8, 16, batch_first=True).to(DEVICE)(torch.randn(2, 5, 8, device=DEVICE))
    equal(tuple(steps.shape), (2, 5, 16))
    q = torch.randn(1, 2, 16, 64)
    same(lambda x: nn.functional.scaled_dot_product_attention(x, x, x), q, tolerance=1e-2)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        equal(layers(images.to(DEVICE)).dtype, torch.bfloat16)


def memory():
    before = torch.cuda.memory_allocated()
    block = torch.empty(1 << 20, device=DEVICE)
    equal(torch.cuda.memory_allocated() - before, 1 << 22)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        block.fill_(2)
    stream.synchronize()
    close(float(block.mean()), 2.0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        doubled = block * 2
    graph.replay()
    close(float(doubled.mean()), 4.0)


def application():
    found = figures()
    print(found)
    expect(found["matmul_close"] and found["inference_close"])


CHECKS = (arithmetic, libraries, networks, memory, application)
