"""The application that classifies tables of flowers: Parquet in, Parquet out."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
from main import app

from checks import equal
from checks.flowers import FLOWER
from checks.serving import call


def table():
    rows = [FLOWER, {**FLOWER, "petal_length": 1.4, "petal_width": 0.2, "sepal_length": 5.1}]
    sent, names = io.BytesIO(), ["ann's", "bob's"]
    pq.write_table(pa.Table.from_pylist(rows).append_column("name", pa.array(names)), sent)
    status, body = call(app, "POST", "/table", sent.getvalue())
    equal(status, 200)
    answer = pq.read_table(io.BytesIO(body))
    equal(answer["species"].to_pylist(), ["virginica", "setosa"])
    equal(answer["name"].to_pylist(), names)


def what_is_no_table():
    equal(call(app, "POST", "/table", b"PAR1 or not")[0], 422)
    sent = io.BytesIO()
    pq.write_table(pa.table({"sepal_length": [1.0]}), sent)
    equal(call(app, "POST", "/table", sent.getvalue())[0], 422)


CHECKS = (table, what_is_no_table)
