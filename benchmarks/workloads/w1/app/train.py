"""Trains the model at build time; it is part of the image, this script is not."""

import pickle
from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

iris = load_iris()
columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
flowers = pd.DataFrame(iris.data, columns=columns)
model = make_pipeline(
    make_column_transformer((StandardScaler(), columns)),
    VotingClassifier(
        [
            ("line", LogisticRegression(max_iter=1000)),
            ("forest", RandomForestClassifier(30, random_state=0)),
            ("boost", HistGradientBoostingClassifier(max_iter=30, random_state=0)),
        ],
        voting="soft",
    ),
)
model.fit(flowers, iris.target)
Path("model.pickle").write_bytes(pickle.dumps(model, protocol=5))
print(f"accuracy on the training set: {model.score(flowers, iris.target):.3f}")
