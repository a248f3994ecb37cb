"""Classifies iris flowers over HTTP with PyTorch on a GPU: POST /predict, GET /health.

Without a GPU it does not start: PyTorch says why.
"""

import os
from pathlib import Path

import torch
from fastapi import FastAPI
from network import network
from pydantic import BaseModel, Field

SPECIES = ("setosa", "versicolor", "virginica")

app = FastAPI(title="iris classifier")
model = network().to("cuda")
model.load_state_dict(torch.load(Path(__file__).with_name("model.pt"), weights_only=True))
model.eval()


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
    """Tell that the service is up, as whom it runs and on what."""
    return {
        "status": "ok",
        "uid": os.getuid(),
        "gid": os.getgid(),
        "device": torch.cuda.get_device_name(),
    }


@app.post("/predict")
def predict(flower: Flower) -> Prediction:
    """Classify one flower."""
    row = [[flower.sepal_length, flower.sepal_width, flower.petal_length, flower.petal_width]]
    with torch.inference_mode():
        rows = torch.tensor(row, device="cuda")
        probabilities = torch.softmax(model(rows), dim=1)[0].tolist()
    return Prediction(
        species=SPECIES[max(range(3), key=probabilities.__getitem__)],
        probabilities={name: round(value, 4) for name, value in zip(SPECIES, probabilities)},
    )
