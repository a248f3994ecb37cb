"""PyTorch on the CPU."""

import io
import warnings

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from checks import close, equal, expect, raises


def arithmetic():
    values = torch.arange(12.0).reshape(3, 4)
    close(values.sum().item(), 66.0)
    close(values @ values.T, (values.numpy() @ values.numpy().T).tolist())
    close(torch.einsum("ij,kj->ik", values, values), (values @ values.T).tolist())
    close(torch.from_numpy(np.ones(3)).add(1), [2.0, 2.0, 2.0])
    matrix = values.T @ values + torch.eye(4)
    close(matrix @ torch.linalg.inv(matrix), torch.eye(4).tolist(), 1e-3)
    u, s, v = torch.linalg.svd(matrix)
    close(u @ torch.diag(s) @ v, matrix.tolist(), 1e-4)
    close(torch.fft.irfft(torch.fft.rfft(values[0])), values[0].tolist(), 1e-5)
    close(torch.special.erf(torch.tensor(0.5)).item(), 0.5204998778)
    sparse = torch.eye(3).to_sparse()
    close((sparse @ torch.ones(3, 1)).ravel(), [1.0, 1.0, 1.0])
    equal(values.to(torch.bfloat16).dtype, torch.bfloat16)
    raises(RuntimeError, torch.matmul, values, values)
    # A build without CUDA must not pretend to have it.
    expect(torch.version.cuda or not torch.cuda.is_available())
    expect("PyTorch" in torch.__config__.show())


def random():
    torch.manual_seed(0)
    close(torch.rand(1).item(), 0.4962565898895264)
    normal = torch.distributions.Normal(0.0, 1.0)
    close(normal.log_prob(torch.tensor(0.0)).item(), -0.9189385)
    expect(abs(normal.sample((5000,)).mean()) < 0.1)
    close(torch.distributions.kl_divergence(normal, normal).item(), 0.0)


def forward_and_backward():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(8 * 16, 4),
    )  # fmt: skip
    loss = nn.functional.cross_entropy(model(torch.randn(5, 3, 8, 8)), torch.arange(5) % 4)
    loss.backward()
    expect(all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters()))
    steps, _ = nn.LSTM(4, 6, batch_first=True, bidirectional=True)(torch.randn(2, 3, 4))
    equal(tuple(steps.shape), (2, 3, 12))
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    equal(tuple(nn.TransformerEncoder(layer, 2)(torch.randn(2, 5, 8)).shape), (2, 5, 8))
    equal(tuple(nn.Embedding(9, 3)(torch.tensor([[1, 2]])).shape), (1, 2, 3))
    q = torch.randn(1, 2, 4, 8)
    attention = nn.functional.scaled_dot_product_attention(q, q, q)
    by_hand = torch.softmax(q @ q.transpose(-1, -2) / 8**0.5, -1) @ q
    close(attention, by_hand.tolist(), 1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        equal(nn.Linear(4, 4)(torch.randn(2, 4)).dtype, torch.bfloat16)


def autograd():
    x = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    (x**3).sum().backward()
    close(x.grad, [12.0, 27.0])
    expect(torch.autograd.gradcheck(lambda v: torch.sin(v) * v, (x,)))
    close(torch.func.grad(lambda v: (v**2).sum())(torch.tensor([3.0])), [6.0])
    doubled = torch.func.vmap(lambda v: v * 2)(torch.ones(3))
    close(doubled, [2.0, 2.0, 2.0])
    close(torch.autograd.functional.hessian(lambda v: (v**3).sum(), torch.ones(2)),
          [[6.0, 0.0], [0.0, 6.0]])  # fmt: skip

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(context, value):
            return value * 2

        @staticmethod
        def backward(context, gradient):
            return gradient * 2

    value = torch.ones(1, requires_grad=True)
    Twice.apply(value).backward()
    close(value.grad, [2.0])


def optimizers():
    for kind, options in (
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.5}),
        (torch.optim.Adam, {"lr": 0.2}),
        (torch.optim.AdamW, {"lr": 0.2}),
        (torch.optim.RMSprop, {"lr": 0.05}),
        (torch.optim.LBFGS, {"lr": 0.5}),
    ):
        weight = torch.tensor([3.0], requires_grad=True)
        optimizer = kind([weight], **options)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 60)

        def loss(weight=weight, optimizer=optimizer):
            optimizer.zero_grad()
            value = ((weight - 1) ** 2).sum()
            value.backward()
            return value

        for _ in range(80):
            optimizer.step(loss)
            schedule.step()
        expect(abs(weight.item() - 1) < 0.3, f"{kind.__name__} ends at {weight.item():.2f}")


def data():
    torch.manual_seed(0)
    whole = TensorDataset(torch.arange(10.0), torch.arange(10))
    part, rest = random_split(whole, [7, 3])
    equal((len(part), len(rest)), (7, 3))
    batches = list(DataLoader(whole, batch_size=4, shuffle=True, num_workers=0))
    equal([len(first) for first, _ in batches], [4, 4, 2])
    equal(sorted(torch.cat([first for first, _ in batches]).tolist()), list(map(float, range(10))))


def saving():
    model = nn.Linear(3, 2)
    stream = io.BytesIO()
    torch.save({"state": model.state_dict(), "epoch": 3}, stream)
    stream.seek(0)
    found = torch.load(stream, weights_only=True)
    equal(found["epoch"], 3)
    other = nn.Linear(3, 2)
    other.load_state_dict(found["state"])
    close(other.weight, model.weight.tolist())


def affine(x: torch.Tensor, n: int) -> torch.Tensor:
    """For the compilers: a loop and a condition."""
    for _ in range(n):
        x = x - 1 if x.sum() > 10 else x * 2
    return x


def script():
    """TorchScript reads the source of what it compiles, of torch itself too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.jit.script(affine)
        close(compiled(torch.ones(4), 3), affine(torch.ones(4), 3).tolist())
        model = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
        stream = io.BytesIO()
        torch.jit.save(model, stream)
        stream.seek(0)
        close(torch.jit.load(stream)(torch.ones(2)), model(torch.ones(2)).tolist())
        traced = torch.jit.trace(lambda x: x * 2, torch.ones(2))
        close(traced(torch.ones(3)), [2.0, 2.0, 2.0])


def compiling():
    """Dynamo and FX, without a compiler for C++."""
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    x = torch.ones(2, 4)
    close(torch.compile(model, backend="eager")(x), model(x).tolist())
    graph = torch.fx.symbolic_trace(model)
    close(graph(x), model(x).tolist())
    equal(
        [one.op for one in graph.graph.nodes],
        ["placeholder", "call_module", "call_module", "output"],
    )
    program = torch.export.export(model, (x,))
    close(program.module()(x), model(x).tolist())


CHECKS = (
    arithmetic, random, forward_and_backward, autograd, optimizers, data, saving, script, compiling,
)  # fmt: skip
