"""Fits a softmax regression and writes it as ONNX; the model is in the image, this is not."""

from pathlib import Path

import numpy as np
import onnx_model

# Means and standard deviations of the three species, in centimetres: R. A. Fisher, "The use of
# multiple measurements in taxonomic problems", 1936.
MEANS = np.array([[5.01, 3.43, 1.46, 0.25], [5.94, 2.77, 4.26, 1.33], [6.59, 2.97, 5.55, 2.03]])
SPREADS = np.array([[0.35, 0.38, 0.17, 0.11], [0.52, 0.31, 0.47, 0.20], [0.64, 0.32, 0.55, 0.27]])
EACH = 50  # flowers of a species

rng = np.random.default_rng(0)
samples = (MEANS[:, None] + SPREADS[:, None] * rng.standard_normal((3, EACH, 4))).reshape(-1, 4)
labels = np.repeat(np.arange(3), EACH)
center, scale = samples.mean(axis=0), samples.std(axis=0)
inputs = np.c_[(samples - center) / scale, np.ones(len(samples))]
weights = np.zeros((5, 3))
for _ in range(2000):
    logits = inputs @ weights
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    slope = inputs.T @ (odds / odds.sum(axis=1, keepdims=True) - np.eye(3)[labels])
    weights -= 0.5 * slope / len(samples)
constants = {
    "center": center,
    "scale": scale,
    "weights": weights[:4],
    "bias": weights[4],
}
nodes = [
    onnx_model.node("Sub", ["flowers", "center"], ["centered"]),
    onnx_model.node("Div", ["centered", "scale"], ["scaled"]),
    onnx_model.node("Gemm", ["scaled", "weights", "bias"], ["logits"]),
    onnx_model.node("Softmax", ["logits"], ["probabilities"], axis=1),
]
shapes = {"flowers": ("n", 4)}, {"probabilities": ("n", 3)}
Path("model.onnx").write_bytes(onnx_model.model(nodes, constants, *shapes))
print(f"accuracy on the training set: {((inputs @ weights).argmax(axis=1) == labels).mean():.3f}")
