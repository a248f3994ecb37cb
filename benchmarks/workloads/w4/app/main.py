"""Classifies iris flowers over HTTP with XGBoost and LightGBM, which vote.

POST /predict takes one flower as JSON, POST /table many as Parquet; GET /health.
"""

import io
import os
from pathlib import Path

import lightgbm
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field

SPECIES = ("setosa", "versicolor", "virginica")
COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]

app = FastAPI(title="iris classifier")
folder = Path(__file__).parent
extreme = xgboost.Booster(model_file=folder / "extreme.ubj")
light = lightgbm.Booster(model_file=folder / "light.txt")


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


def vote(flowers: pd.DataFrame) -> pd.DataFrame:
    """How likely each species is, a row a flower: the mean of what both models say."""
    both = (extreme.predict(xgboost.DMatrix(flowers)) + light.predict(flowers)) / 2
    return pd.DataFrame(both, columns=list(SPECIES))


@app.get("/health")
def health() -> dict[str, object]:
    """Tell that the service is up, and as whom it runs."""
    return {"status": "ok", "uid": os.getuid(), "gid": os.getgid()}


@app.post("/predict")
def predict(flower: Flower) -> Prediction:
    """Classify one flower."""
    row = vote(pd.DataFrame([flower.model_dump()], columns=COLUMNS)).iloc[0]
    return Prediction(species=row.idxmax(), probabilities=row.round(4).to_dict())


@app.post("/table")
async def predict_all(request: Request) -> Response:
    """Classify a table of flowers: Parquet in, the same with a column more out."""
    try:
        table = pq.read_table(io.BytesIO(await request.body()))
        flowers = table.select(COLUMNS).to_pandas().astype("float64")
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise HTTPException(422, f"not a table of flowers: {error}") from error
    out = io.BytesIO()
    species = pa.array(vote(flowers).idxmax(axis=1))
    pq.write_table(table.append_column("species", species), out, compression="zstd")
    return Response(out.getvalue(), media_type="application/vnd.apache.parquet")
