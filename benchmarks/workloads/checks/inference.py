"""onnxruntime; models are written by the application's ``onnx_model``."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnx_model import model, node

from checks import close, equal, expect, raises

PROVIDERS = ["CPUExecutionProvider"]
RNG = np.random.default_rng(0)


def session(data, options=None):
    return onnxruntime.InferenceSession(data, options, PROVIDERS)


def dense():
    """Expect the same answer at every level of optimization, for any number of rows."""
    weights, bias = RNG.standard_normal((4, 3)), RNG.standard_normal(3)
    data = model(
        [node("Gemm", ["x", "w", "b"], ["y"]), node("Softmax", ["y"], ["p"], axis=1)],
        {"w": weights, "b": bias},
        {"x": ("n", 4)},
        {"p": ("n", 3)},
    )
    levels = onnxruntime.GraphOptimizationLevel
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_BASIC, levels.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        running = session(data, options)
        for rows in (1, 2, 17):
            x = RNG.standard_normal((rows, 4)).astype(np.float32)
            odds = np.exp(x @ weights + bias)
            (found,) = running.run(None, {"x": x})
            close(found, odds / odds.sum(axis=1, keepdims=True), 1e-4)


def convolution():
    kernel = RNG.standard_normal((2, 1, 3, 3)).astype(np.float32)
    data = model(
        [
            node("Conv", ["x", "k"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["r"]),
            node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", ["m"], ["g"]),
            node("Flatten", ["g"], ["y"], axis=1),
        ],
        {"k": kernel},
        {"x": ("n", 1, 6, 6)},
        {"y": ("n", 2)},
    )
    x = RNG.standard_normal((2, 1, 6, 6)).astype(np.float32)
    padded = np.pad(x[:, 0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    maps = np.maximum(np.einsum("nijab,oab->noij", windows, kernel[:, 0]), 0)
    pooled = maps.reshape(2, 2, 3, 2, 3, 2).max(axis=(3, 5))
    close(session(data).run(["y"], {"x": x})[0], pooled.mean(axis=(2, 3)), 1e-4)


def operators():
    """Elementwise, shapes, reductions, choice: one graph with many kernels."""
    data = model(
        [
            node("Sigmoid", ["x"], ["s"]),
            node("Erf", ["x"], ["e"]),
            node("Add", ["s", "e"], ["a"]),
            node("Transpose", ["a"], ["t"], perm=[1, 0]),
            node("MatMul", ["a", "t"], ["q"]),
            node("ReduceSum", ["q", "axes"], ["sums"], keepdims=0),
            node("TopK", ["sums", "k"], ["top", "places"], axis=0),
            node("LayerNormalization", ["a", "ones"], ["normal"], axis=-1, epsilon=1e-5),
            node("Concat", ["normal", "a"], ["both"], axis=1),
            node("Gather", ["both", "k"], ["first"], axis=1),
            node("Clip", ["first", "low", "high"], ["clipped"]),
        ],
        {
            "axes": np.array([1]), "k": np.array([1]), "ones": np.ones(3),
            "low": np.array(-0.5), "high": np.array(0.5),
        },
        {"x": (4, 3)},
        {"top": (1,), "clipped": (4, 1)},
    )  # fmt: skip
    x = RNG.standard_normal((4, 3)).astype(np.float32)
    # Abramowitz and Stegun 7.1.26 would do for erf; its series is exact enough and shorter.
    terms = [(-1) ** n * x.astype(float) ** (2 * n + 1) for n in range(40)]
    factorials = np.cumprod([1.0, *range(1, 40)])
    erf = (
        2
        / np.pi**0.5
        * sum(t / (f * (2 * n + 1)) for n, (t, f) in enumerate(zip(terms, factorials)))
    )
    a = 1 / (1 + np.exp(-x)) + erf
    normal = (a - a.mean(axis=1, keepdims=True)) / np.sqrt(a.var(axis=1, keepdims=True) + 1e-5)
    top, clipped = session(data).run(["top", "clipped"], {"x": x})
    close(top, [(a @ a.T).sum(axis=1).max()], 1e-4)
    close(clipped, np.clip(normal[:, 1:2], -0.5, 0.5), 1e-4)


def surroundings():
    expect("CPUExecutionProvider" in onnxruntime.get_available_providers())
    expect(onnxruntime.get_device() and onnxruntime.get_build_info())
    data = model([node("Neg", ["x"], ["y"])], {}, {"x": ("n",)}, {"y": ("n",)})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3  # it warns that an optimized model fits one machine alone
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        Path(folder, "m.onnx").write_bytes(data)
        running = session(f"{folder}/m.onnx", options)
        again = session(f"{folder}/optimized.onnx")
    equal(running.get_inputs()[0].name, "x")
    equal(running.get_outputs()[0].type, "tensor(float)")
    x = np.array([1.0, -2.0], dtype=np.float32)
    for one in (running, again):
        equal(one.run(None, {"x": x})[0].tolist(), [-1.0, 2.0])
    value = onnxruntime.OrtValue.ortvalue_from_numpy(x)
    binding = running.io_binding()
    binding.bind_ortvalue_input("x", value)
    binding.bind_output("y")
    running.run_with_iobinding(binding)
    equal(binding.copy_outputs_to_cpu()[0].tolist(), [-1.0, 2.0])
    raises(Exception, session, b"no model")
    raises(Exception, running.run, None, {"x": x.astype(np.float64)})


CHECKS = (dense, convolution, operators, surroundings)
