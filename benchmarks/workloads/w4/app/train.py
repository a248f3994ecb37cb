"""Trains both models at build time; they are part of the image, this script is not."""

import lightgbm
import numpy as np
import pandas as pd
import xgboost

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
# Means and standard deviations of the three species, in centimetres: R. A. Fisher, "The use of
# multiple measurements in taxonomic problems", 1936.
MEANS = np.array([[5.01, 3.43, 1.46, 0.25], [5.94, 2.77, 4.26, 1.33], [6.59, 2.97, 5.55, 2.03]])
SPREADS = np.array([[0.35, 0.38, 0.17, 0.11], [0.52, 0.31, 0.47, 0.20], [0.64, 0.32, 0.55, 0.27]])
EACH = 200  # flowers of a species
ROUNDS = 60

rng = np.random.default_rng(0)
samples = (MEANS[:, None] + SPREADS[:, None] * rng.standard_normal((3, EACH, 4))).reshape(-1, 4)
flowers = pd.DataFrame(samples, columns=COLUMNS)
labels = np.repeat(np.arange(3), EACH)

# One thread: sums of floats come out the same wherever the image is built.
options = {"objective": "multi:softprob", "num_class": 3, "max_depth": 4, "eta": 0.1, "nthread": 1}
extreme = xgboost.train(options, xgboost.DMatrix(flowers, labels), ROUNDS)
extreme.save_model("extreme.ubj")
options = {
    "objective": "multiclass", "num_class": 3, "num_leaves": 15, "num_threads": 1,
    "deterministic": True, "force_col_wise": True, "seed": 0, "verbose": -1,
}  # fmt: skip
light = lightgbm.train(options, lightgbm.Dataset(flowers, labels), ROUNDS)
light.save_model("light.txt")

both = extreme.predict(xgboost.DMatrix(flowers)) + light.predict(flowers)
print(f"accuracy on the training set: {(both.argmax(axis=1) == labels).mean():.3f}")
