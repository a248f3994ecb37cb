"""Classifies iris flowers over HTTP with scikit-learn: POST /predict, GET /health."""

import os
import pickle
from pathlib import Path

import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, Field
from scipy.stats import entropy

SPECIES = ("setosa", "versicolor", "virginica")

app = FastAPI(title="iris classifier")
model = pickle.loads(Path(__file__).with_name("model.pickle").read_bytes())


class Flower(BaseModel):
    """Lengths and widths in centimetres."""

    sepal_length: float = Field(gt=0, lt=20)
    sepal_width: float = Field(gt=0, lt=20)
    petal_length: float = Field(gt=0, lt=20)
    petal_width: float = Field(gt=0, lt=20)


class Prediction(BaseModel):
    """The most likely species, how likely each is, and how unsure the model is, in nats."""

    species: str
    probabilities: dict[str, float]
    entropy: float


@app.get("/health")
def health() -> dict[str, object]:
    """Tell that the service is up, and as whom it runs."""
    return {"status": "ok", "uid": os.getuid(), "gid": os.getgid()}


@app.post("/predict")
def predict(flower: Flower) -> Prediction:
    """Classify one flower."""
    probabilities = model.predict_proba(pd.DataFrame([flower.model_dump()]))[0]
    return Prediction(
        species=SPECIES[int(probabilities.argmax())],
        probabilities={name: round(float(value), 4) for name, value in zip(SPECIES, probabilities)},
        entropy=round(float(entropy(probabilities)), 4),
    )
