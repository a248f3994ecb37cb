"""What trimmed libraries have to do on a GPU: PyTorch and CuPy beside the CPU.

``python -m benchmarks.gpu.work torch|cupy FOLDER`` prints one JSON object: each task with
what went wrong, "" for nothing, and the libraries in memory that are not from FOLDER.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Task = Callable[[], None]


def _close(name: str, got: Any, expected: Any, tolerance: float) -> None:
    """Raise unless two tensors differ by little, relative to their size."""
    got, expected = got.detach().double().cpu(), expected.detach().double().cpu()
    error = float((got - expected).norm() / expected.norm().clamp_min(1e-30))
    if not error <= tolerance:  # NaN too.
        raise AssertionError(f"{name}: relative error {error:.2e}, more than {tolerance:.0e}")


def torch_tasks() -> dict[str, Task]:
    """Return what PyTorch has to do, by name."""
    torch: Any = importlib.import_module("torch")
    nn: Any = importlib.import_module("torch.nn")
    call: Any = importlib.import_module("torch.nn.functional")
    attention: Any = importlib.import_module("torch.nn.attention")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    gpu = torch.device("cuda")
    kinds = {"fp32": (torch.float32, 1e-4), "fp64": (torch.float64, 1e-10)}
    kinds |= {"bf16": (torch.bfloat16, 2e-2), "fp16": (torch.float16, 5e-3)}

    def beside(function: Callable[..., Any], *inputs: Any, kind: str = "fp32") -> None:
        """Run a function on the GPU in one type and on the CPU in double."""
        dtype, tolerance = kinds[kind]
        placed = [one.to(gpu, dtype) if one.is_floating_point() else one.to(gpu) for one in inputs]
        wide = [one.double() if one.is_floating_point() else one for one in inputs]
        got, expected = function(*placed), function(*wide)
        _close(kind, got, expected, tolerance)

    def each(function: Callable[..., Any], *inputs: Any, only: str = "fp32 bf16 fp16") -> Task:
        def run() -> None:
            for kind in only.split():
                beside(function, *inputs, kind=kind)

        return run

    def rand(*shape: int) -> Any:
        return torch.randn(*shape)

    def spd(size: int) -> Any:
        matrix = rand(size, size)
        return matrix @ matrix.T + size * torch.eye(size)

    def module(layer: Any, *inputs: Any, tolerance: float = 1e-3, dtype: Any = None) -> Task:
        def run() -> None:
            expected = layer.double().cpu()(*(one.double() for one in inputs))
            wanted = dtype or torch.float32
            got = layer.to(gpu, wanted)(*(one.to(gpu, wanted) for one in inputs))
            if isinstance(got, tuple):
                got, expected = got[0], expected[0]
            _close("module", got, expected, tolerance)

        return run

    def attend(backend: Any, dtype: Any) -> Task:
        def run() -> None:
            parts = [rand(2, 8, 256, 64) for _ in range(3)]
            expected = call.scaled_dot_product_attention(*(one.double() for one in parts))
            with attention.sdpa_kernel([backend]):
                got = call.scaled_dot_product_attention(*(one.to(gpu, dtype) for one in parts))
            _close("attention", got, expected, 2e-2)

        return run

    def train() -> None:
        layers = nn.Sequential(
            *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * 15 * 15, 10)),
        ).to(gpu)
        optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-2, fused=True)
        data, labels = rand(64, 3, 32, 32).to(gpu), torch.randint(0, 10, (64,), device=gpu)
        losses = []
        for _ in range(30):
            loss = call.cross_entropy(layers(data), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        if not losses[-1] < losses[0] * 0.9:
            raise AssertionError(f"the loss went from {losses[0]} to {losses[-1]}")

    def engines() -> None:
        """Let cuDNN try all of its engines."""
        torch.backends.cudnn.benchmark = True
        try:
            for shape, weight in (
                ((8, 64, 56, 56), (64, 64, 3, 3)),
                ((4, 3, 64, 64), (32, 3, 7, 7)),
            ):
                for kind in ("fp32", "bf16", "fp16"):
                    beside(
                        lambda x, w: call.conv2d(x, w, padding=1),
                        rand(*shape),
                        rand(*weight),
                        kind=kind,
                    )
        finally:
            torch.backends.cudnn.benchmark = False

    def sparse() -> None:
        dense = rand(512, 512) * (torch.rand(512, 512) < 0.05)
        other = rand(512, 64)
        for layout in (dense.to_sparse_csr(), dense.to_sparse_coo()):
            _close("sparse", torch.sparse.mm(layout.to(gpu), other.to(gpu)), dense @ other, 1e-4)
        csr = dense.to_sparse_csr().to(gpu)
        _close("sparse @ sparse", (csr @ csr).to_dense(), dense @ dense, 1e-4)

    def semi_structured() -> None:
        semi: Any = importlib.import_module("torch.sparse")
        mask = torch.tensor([0, 0, 1, 1]).tile((256, 64)).bool()
        dense = (rand(256, 256) * mask).to(gpu, torch.float16)
        other = rand(256, 256).to(gpu, torch.float16)
        # CUTLASS has these kernels for 8.x alone.
        for cutlass in (False, True)[: 1 + (torch.cuda.get_device_capability()[0] == 8)]:
            semi.SparseSemiStructuredTensor._FORCE_CUTLASS = cutlass
            packed = semi.to_sparse_semi_structured(dense)
            _close(
                "2:4", torch.mm(packed, other), dense.cpu().double() @ other.cpu().double(), 5e-3
            )

    def small_floats() -> None:
        one, two = rand(64, 128) / 4, rand(128, 96) / 4
        left = one.to(gpu).to(torch.float8_e4m3fn)
        right = two.T.contiguous().to(gpu).to(torch.float8_e4m3fn).T
        scale = torch.ones((), device=gpu)
        got = torch._scaled_mm(left, right, scale, scale, out_dtype=torch.bfloat16)
        _close("fp8", got, left.cpu().double() @ right.cpu().double(), 1e-2)

    def integers() -> None:
        one, two = (
            torch.randint(-9, 9, shape, dtype=torch.int8) for shape in ((64, 128), (128, 64))
        )
        _close("int8", torch._int_mm(one.to(gpu), two.to(gpu)), one.double() @ two.double(), 0)

    def random() -> None:
        values = torch.randn(1_000_000, device=gpu)
        mean, deviation = float(values.mean()), float(values.std())
        if abs(mean) > 0.01 or abs(deviation - 1) > 0.01:
            raise AssertionError(f"mean {mean}, deviation {deviation}")

    def sorting() -> None:
        values = rand(1_000_000)
        placed = values.to(gpu)
        _close("sort", placed.sort().values, values.sort().values, 0)
        _close("topk", placed.topk(100).values, values.topk(100).values, 0)
        _close("cumsum", placed.double().cumsum(0), values.double().cumsum(0), 1e-9)
        whole = torch.randint(0, 1000, (100_000,))
        _close("unique", whole.to(gpu).unique(), whole.unique(), 0)
        _close("bincount", whole.to(gpu).bincount(), whole.bincount(), 0)

    def compiled() -> None:
        """Let Inductor and Triton compile, with none of what earlier runs left."""
        caches = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")

        def fused(x: Any, y: Any) -> Any:
            return (torch.sin(x) * y).softmax(-1) + x.exp().mean()

        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {name: f"{folder}/{name}" for name in caches}
            settings: Any = importlib.import_module("torch._inductor.config")
            settings.compile_threads = 1
            one, two = rand(64, 300), rand(64, 300)
            got = torch.compile(fused)(one.to(gpu), two.to(gpu))
            _close("compiled", got, fused(one.double(), two.double()), 1e-4)
            if not list(Path(folder).rglob("*.cubin")):
                raise AssertionError("Triton compiled nothing")

    def collective() -> None:
        dist: Any = importlib.import_module("torch.distributed")
        with tempfile.NamedTemporaryFile() as store:
            dist.init_process_group(
                "nccl", init_method=f"file://{store.name}", rank=0, world_size=1
            )
            try:
                values = torch.arange(1000.0, device=gpu)
                dist.all_reduce(values)
                pre = dist._make_nccl_premul_sum(2.0)
                dist.all_reduce(values, op=pre)
                torch.cuda.synchronize()
            finally:
                dist.destroy_process_group()
        _close("all_reduce", values, 2 * torch.arange(1000.0), 1e-6)

    backend = attention.SDPBackend
    low = torch.bfloat16
    wide = "fp32 fp64"
    return {
        "elementwise": each(
            lambda x, y: torch.sin(x) * y + torch.exp(-x * x), rand(9999), rand(9999)
        ),
        "matmul": each(torch.matmul, rand(777, 512), rand(512, 300), only="fp32 fp64 bf16 fp16"),
        "bmm": each(torch.bmm, rand(8, 64, 128), rand(8, 128, 96)),
        "matmul fp8": small_floats,
        "matmul int8": integers,
        "linear": each(call.linear, rand(128, 256), rand(512, 256), rand(512)),
        "conv1d": each(call.conv1d, rand(4, 16, 100), rand(32, 16, 5)),
        "conv2d": each(call.conv2d, rand(8, 32, 28, 28), rand(64, 32, 3, 3)),
        "conv3d": each(call.conv3d, rand(2, 8, 12, 12, 12), rand(16, 8, 3, 3, 3), only="fp32 bf16"),
        "conv2d by groups": each(
            lambda x, w: call.conv2d(x, w, groups=32), rand(8, 32, 28, 28), rand(32, 1, 3, 3)
        ),
        "conv2d transposed": each(call.conv_transpose2d, rand(4, 16, 14, 14), rand(16, 32, 3, 3)),
        "conv2d all engines": engines,
        "lstm": module(nn.LSTM(64, 128, 2), rand(20, 8, 64)),
        "gru": module(nn.GRU(64, 128), rand(20, 8, 64)),
        "transformer": module(
            nn.TransformerEncoderLayer(128, 4, batch_first=True).eval(), rand(4, 32, 128)
        ),
        "norms": each(
            lambda x: call.layer_norm(x, (256,)) + call.group_norm(x[..., None], 8)[..., 0],
            rand(64, 256),
        ),
        "softmax": each(lambda x: x.softmax(-1).log(), rand(512, 1000)),
        "pooling": each(
            lambda x: call.interpolate(call.avg_pool2d(x, 2), scale_factor=2.0), rand(4, 8, 32, 32)
        ),
        "attention flash": attend(backend.FLASH_ATTENTION, low),
        "attention efficient": attend(backend.EFFICIENT_ATTENTION, torch.float32),
        "attention cudnn": attend(backend.CUDNN_ATTENTION, low),
        "attention math": attend(backend.MATH, torch.float32),
        "fft": each(lambda x: torch.view_as_real(torch.fft.rfft2(x)), rand(8, 120, 128), only=wide),
        "fft of odd sizes": each(
            lambda x: torch.view_as_real(torch.fft.fft(x)), rand(7, 1021), only=wide
        ),
        "ifft": each(
            lambda x: torch.fft.irfft(torch.fft.rfft(x), n=4096), rand(16, 4096), only=wide
        ),
        "cholesky": each(torch.linalg.cholesky, spd(200), only=wide),
        "solve": each(torch.linalg.solve, spd(300), rand(300, 5), only=wide),
        "inverse": each(torch.linalg.inv, spd(128), only=wide),
        "qr": each(
            lambda x: torch.linalg.qr(x)[0] @ torch.linalg.qr(x)[1], rand(200, 100), only=wide
        ),
        "svd": each(torch.linalg.svdvals, rand(100, 80), only=wide),
        "eigh": each(torch.linalg.eigvalsh, spd(100), only=wide),
        "lstsq": each(
            lambda x, y: torch.linalg.lstsq(x, y).solution, rand(200, 50), rand(200, 3), only=wide
        ),
        "sparse": sparse,
        "sparse 2:4": semi_structured,
        "sorting": sorting,
        "random": random,
        "index": each(
            lambda x, n: x[n].sum(1) + x.index_add(0, n, x[n]).sum(),
            rand(1000, 16),
            torch.randint(0, 1000, (500,)),
            only=wide,
        ),
        "training": train,
        "compiled by Triton": compiled,
        "nccl": collective,
    }


def cupy_tasks() -> dict[str, Task]:
    """Return what CuPy has to do, by name."""
    cp: Any = importlib.import_module("cupy")
    np: Any = importlib.import_module("numpy")
    numbers = np.random.default_rng(0)
    vector, matrix = numbers.normal(size=100_000), numbers.normal(size=(200, 200))
    definite = matrix @ matrix.T + 200 * np.eye(200)

    def same(got: Any, expected: Any, tolerance: float = 1e-8) -> None:
        got = cp.asnumpy(got)
        error = np.linalg.norm(got - expected) / max(float(np.linalg.norm(expected)), 1e-30)
        if not error <= tolerance:
            raise AssertionError(f"relative error {error:.2e}, more than {tolerance:.0e}")

    def sparse() -> None:
        module: Any = importlib.import_module("cupyx.scipy.sparse")
        held = cp.asarray(matrix * (np.abs(matrix) > 2))
        same(module.csr_matrix(held) @ cp.asarray(matrix), cp.asnumpy(held) @ matrix)

    def drawn() -> None:
        for values in (
            cp.random.standard_normal(1_000_000),
            cp.random.default_rng(1).standard_normal(1_000_000),
        ):
            if abs(float(values.mean())) > 0.01 or abs(float(values.std()) - 1) > 0.01:
                raise AssertionError(f"mean {values.mean()}, deviation {values.std()}")

    def from_curand() -> None:
        """All generators of cuRAND, whose tables and kernels are in its library."""
        curand: Any = importlib.import_module("cupy_backends.cuda.libs.curand")
        for kind in ("XORWOW", "MRG32K3A", "MTGP32", "MT19937", "PHILOX4_32_10"):
            state = cp.random.RandomState(7, method=getattr(curand, f"CURAND_RNG_PSEUDO_{kind}"))
            values = state.normal(size=1_000_000, dtype=np.float32)
            if abs(float(values.mean())) > 0.01 or abs(float(values.std()) - 1) > 0.01:
                raise AssertionError(f"{kind}: mean {values.mean()}, deviation {values.std()}")

    return {
        "elementwise": lambda: same(cp.asarray(vector) * 2 + 1, vector * 2 + 1),
        "reduction": lambda: same(cp.asarray(vector).sum(), vector.sum(), 1e-6),
        "matmul": lambda: same(cp.asarray(matrix) @ cp.asarray(matrix), matrix @ matrix),
        "sort": lambda: same(cp.sort(cp.asarray(vector)), np.sort(vector)),
        "argsort": lambda: same(cp.argsort(cp.asarray(vector)), np.argsort(vector)),
        "cumsum": lambda: same(cp.cumsum(cp.asarray(vector)), np.cumsum(vector)),
        "unique": lambda: same(cp.unique(cp.asarray(vector).round(1)), np.unique(vector.round(1))),
        "fft": lambda: same(cp.fft.fft(cp.asarray(vector)), np.fft.fft(vector)),
        "solve": lambda: same(
            cp.linalg.solve(cp.asarray(definite), cp.asarray(matrix)),
            np.linalg.solve(definite, matrix),
        ),
        "eigh": lambda: same(
            cp.linalg.eigvalsh(cp.asarray(definite)), np.linalg.eigvalsh(definite)
        ),
        "svd": lambda: same(
            cp.linalg.svd(cp.asarray(matrix), compute_uv=False),
            np.linalg.svd(matrix, compute_uv=False),
        ),
        "sparse": sparse,
        "random": drawn,
        "curand": from_curand,
    }


def run(tasks: dict[str, Task]) -> list[dict[str, Any]]:
    """Run all tasks, whatever happens to one."""
    results = []
    for name, task in tasks.items():
        start = time.perf_counter()
        try:
            task()
            problem = ""
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__}: {str(error)[:300]} ({where.name})"
        results.append(
            {"task": name, "problem": problem, "seconds": round(time.perf_counter() - start, 2)}
        )
    return results


def strangers(folder: str) -> list[str]:
    """Return the libraries of CUDA users in memory that are not from a folder."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    paths = set(re.findall(r"(/\S+/(?:nvidia|torch|triton|cupy|cupy_backends)/\S+\.so\S*)", maps))
    return sorted(path for path in paths if not path.startswith(f"{folder}/"))


def main(which: str, folder: str) -> None:
    """Print the results as JSON."""
    start = time.perf_counter()
    tasks = {"torch": torch_tasks, "cupy": cupy_tasks}[which]()
    loaded = time.perf_counter() - start
    results = run(tasks)
    out = {"import_seconds": round(loaded, 2), "tasks": results, "strangers": strangers(folder)}
    sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
