"""Tells the language of a text, with transformers' tokenizers and ONNX Runtime.

POST /predict, GET /health.
"""

import os
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, Field
from transformers import AutoTokenizer

app = FastAPI(title="language of a text")
folder = Path(__file__).with_name("model")
tokenizer = AutoTokenizer.from_pretrained(folder)
languages = (folder / "languages.txt").read_text().split()
options = onnxruntime.SessionOptions()
# A pool of threads costs more than a model this small.
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(
    (folder / "model.onnx").read_bytes(), options, ["CPUExecutionProvider"]
)


class Text(BaseModel):
    """What is asked about."""

    text: str = Field(min_length=1, max_length=10_000)


class Prediction(BaseModel):
    """The most likely language, and how likely each is."""

    language: str
    probabilities: dict[str, float]


@app.get("/health")
def health() -> dict[str, object]:
    """Tell that the service is up, and as whom it runs."""
    return {"status": "ok", "uid": os.getuid(), "gid": os.getgid()}


@app.post("/predict")
def predict(text: Text) -> Prediction:
    """Tell the language of one text."""
    tokens = tokenizer([text.text], truncation=True, return_tensors="np")
    (found,) = session.run(
        ["probabilities"],
        {
            "ids": tokens["input_ids"].astype(np.int64),
            "mask": tokens["attention_mask"].astype(np.float32),
        },
    )
    probabilities = dict(zip(languages, map(float, found[0])))
    return Prediction(
        language=max(probabilities, key=probabilities.get),
        probabilities={name: round(value, 4) for name, value in probabilities.items()},
    )
