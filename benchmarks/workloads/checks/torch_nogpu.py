"""PyTorch with CUDA, without a driver: it works on the CPU, and says what is missing."""

from pathlib import Path

import torch
from network import network

from checks import equal, expect

TEXT = "Found no NVIDIA driver on your system."


def built_with_cuda():
    expect(torch.version.cuda.startswith("13."), f"built with CUDA {torch.version.cuda}")
    expect(torch.backends.cuda.is_built() and torch.backends.cudnn.is_available())
    expect(torch.backends.cudnn.version() // 10000 == 9)


def unavailable():
    expect(not torch.cuda.is_available())
    equal(torch.cuda.device_count(), 0)


def error(function):
    """Return the text of a RuntimeError."""
    try:
        function()
    except RuntimeError as problem:
        return str(problem)
    return ""


def errors():
    equal(error(lambda: torch.ones(3, device="cuda"))[: len(TEXT)], TEXT)

    def serve():
        import main  # noqa: F401

    equal(error(serve)[: len(TEXT)], TEXT)


def model():
    """Ask the model that the service would move to the GPU, on the CPU."""
    found = network()
    state = torch.load(Path(__file__).parent.parent / "model.pt", weights_only=True)
    found.load_state_dict(state)
    with torch.inference_mode():
        answer = found.eval()(torch.tensor([[6.3, 3.3, 6.0, 2.5]]))
    equal(int(answer.argmax()), 2)


CHECKS = (built_with_cuda, unavailable, errors, model)
