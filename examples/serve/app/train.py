"""Trains the model at build time; it is part of the image, this script is not."""

import pickle
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

features, labels = load_iris(return_X_y=True)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=0))
model.fit(features, labels)
Path("model.pickle").write_bytes(pickle.dumps(model, protocol=5))
print(f"accuracy on the training set: {model.score(features, labels):.3f}")
