"""Classifies iris flowers over HTTP with ONNX Runtime: POST /predict, GET /health."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, Field

SPECIES = ("setosa", "versicolor", "virginica")

app = FastAPI(title="iris classifier")
options = onnxruntime.SessionOptions()
# A pool of threads costs more than a model this small.
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(
    Path(__file__).with_name("model.onnx").read_bytes(), options, ["CPUExecutionProvider"]
)


class Flower(BaseModel):
    """Lengths and widths in centimetres."""

    sepal_length: float = Field(gt=0, lt=20)
    sepal_width: float = Field(gt=0, lt=20)
    petal_length: float = Field(gt=0, lt=20)
    petal_width: float = Field(gt=0, lt=20)


class Prediction(BaseModel):
    """The most likely species and how likely each is."""

    species: str
    probabilities: dict[str, float]


@app.get("/health")
def health() -> dict[str, object]:
    """Tell that the service is up, and as whom it runs."""
    return {"status": "ok", "uid": os.getuid(), "gid": os.getgid()}


@app.post("/predict")
def predict(flower: Flower) -> Prediction:
    """Classify one flower."""
    row = [[flower.sepal_length, flower.sepal_width, flower.petal_length, flower.petal_width]]
    (found,) = session.run(["probabilities"], {"flowers": np.array(row, dtype=np.float32)})
    probabilities = found[0]
    return Prediction(
        species=SPECIES[int(probabilities.argmax())],
        probabilities={name: round(float(value), 4) for name, value in zip(SPECIES, probabilities)},
    )
