"""pyarrow."""

import io
import tempfile
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.acero
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.flight
import pyarrow.fs
import pyarrow.json
import pyarrow.orc
import pyarrow.parquet as pq
import pyarrow.substrait

from checks import close, equal, expect, raises


def table():
    """Every common kind of column."""
    return pa.table(
        {
            "name": ["ann", "bob", None, "dee"],
            "count": pa.array([1, 2, 3, 4], pa.int32()),
            "share": [0.5, None, 1.5, 2.5],
            "day": [date(2024, 2, 28) + timedelta(n) for n in range(4)],
            "kind": pa.array(["a", "b", "a", "b"]).dictionary_encode(),
            "tags": [["x"], [], None, ["y", "z"]],
            "place": [{"x": 1, "y": "u"}] * 4,
        }
    )


def arrays():
    values = pa.array([3, 1, None, 2])
    equal(values.null_count, 1)
    equal(values.sort().to_pylist(), [1, 2, 3, None])
    equal(values.cast(pa.float64()).fill_null(0.0).to_numpy().tolist(), [3.0, 1.0, 0.0, 2.0])
    equal(pa.array(np.arange(3)).to_numpy().tolist(), [0, 1, 2])
    stamps = pa.array([datetime(2024, 2, 28, 23)], pa.timestamp("s", "Europe/Paris"))
    equal(pc.hour(stamps).to_pylist(), [0])  # a naive time is one of UTC
    equal(pa.chunked_array([[1], [2, 3]]).combine_chunks().to_pylist(), [1, 2, 3])
    close(float(pc.sum(pa.array([1, 2]).cast(pa.decimal128(21, 2))).as_py()), 3.0)
    raises(pa.ArrowInvalid, pa.array, ["a", 1], pa.int64())
    expect("int32" in table().schema.to_string())


def compute():
    frame = table()
    equal(pc.sum(frame["count"]).as_py(), 10)
    close(pc.stddev(pa.array([1.0, 3.0])).as_py(), 1.0)
    equal(pc.utf8_upper(frame["name"]).to_pylist(), ["ANN", "BOB", None, "DEE"])
    equal(pc.match_substring_regex(frame["name"], "e{2}$").to_pylist(), [False, False, None, True])
    equal(frame.filter(pc.field("count") > 2).num_rows, 2)
    sums = frame.group_by("kind").aggregate([("count", "sum"), ("share", "mean")])
    equal(dict(zip(sums["kind"].to_pylist(), sums["count_sum"].to_pylist())), {"a": 4, "b": 6})
    joined = frame.select(["count", "kind"]).join(
        pa.table({"kind": ["a"], "long": ["first"]}), "kind", join_type="inner"
    )
    equal(joined.sort_by("count")["count"].to_pylist(), [1, 3])
    pc.register_scalar_function(
        lambda context, x: pc.multiply(x, 2),
        "doubled", {"summary": "s", "description": "d"}, {"x": pa.int64()}, pa.int64(),
    )  # fmt: skip
    equal(pc.call_function("doubled", [pa.array([2])]).to_pylist(), [4])


def parquet():
    frame = table()
    with tempfile.TemporaryDirectory() as folder:
        for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
            pq.write_table(frame, f"{folder}/t.parquet", compression=codec)
            expect(pq.read_table(f"{folder}/t.parquet").equals(frame), codec)
        some = pq.read_table(f"{folder}/t.parquet", columns=["count"], filters=[("count", ">", 2)])
        equal(some.to_pydict(), {"count": [3, 4]})
        file = pq.ParquetFile(f"{folder}/t.parquet")
        equal(file.metadata.num_rows, 4)
        close(file.metadata.row_group(0).column(2).statistics.max, 2.5)
        pq.write_to_dataset(frame, f"{folder}/parts", partition_cols=["kind"])
        whole = ds.dataset(f"{folder}/parts", partitioning="hive")
        equal(whole.to_table(filter=ds.field("kind") == "b")["count"].to_pylist(), [2, 4])
    raises(pa.ArrowInvalid, pq.read_table, io.BytesIO(b"no table at all"))


def other_formats():
    frame = table().select(["name", "count", "share"])
    text = io.BytesIO()
    pyarrow.csv.write_csv(frame, text)
    back = pyarrow.csv.read_csv(io.BytesIO(text.getvalue()))
    equal(back["count"].to_pylist(), [1, 2, 3, 4])
    lines = pyarrow.json.read_json(io.BytesIO(b'{"a": 1}\n{"a": 2}\n'))
    equal(lines.to_pydict(), {"a": [1, 2]})
    with tempfile.TemporaryDirectory() as folder:
        pyarrow.feather.write_feather(frame, f"{folder}/t.feather", compression="zstd")
        expect(pyarrow.feather.read_table(f"{folder}/t.feather").equals(frame))
        pyarrow.orc.write_table(frame, f"{folder}/t.orc")
        expect(pyarrow.orc.read_table(f"{folder}/t.orc").equals(frame))
        local, _ = pyarrow.fs.FileSystem.from_uri(f"file://{folder}")
        names = local.get_file_info(pyarrow.fs.FileSelector(folder))
        equal(sorted(item.base_name for item in names), ["t.feather", "t.orc"])
        with pa.OSFile(f"{folder}/t.arrow", "wb") as sink, pa.ipc.new_file(sink, frame.schema) as w:
            w.write_table(frame)
        with pa.memory_map(f"{folder}/t.arrow") as source:
            expect(pa.ipc.open_file(source).read_all().equals(frame))
    # Nothing is asked of the network before it is used.
    pyarrow.fs.S3FileSystem(anonymous=True, region="eu-west-1")


def plans():
    """Acero and Substrait."""
    source = pyarrow.acero.Declaration(
        "table_source", pyarrow.acero.TableSourceNodeOptions(table().select(["count"]))
    )
    doubled = pyarrow.acero.ProjectNodeOptions([pc.multiply(pc.field("count"), 2)], ["twice"])
    plan = pyarrow.acero.Declaration("project", doubled, [source])
    equal(plan.to_table().to_pydict(), {"twice": [2, 4, 6, 8]})
    schema = pa.schema([("x", pa.int32())])
    message = pyarrow.substrait.serialize_expressions([pc.field("x") + 1], ["more"], schema)
    expect(str(pyarrow.substrait.deserialize_expressions(message).expressions["more"]))


def flight():
    class Server(pyarrow.flight.FlightServerBase):
        def do_get(self, context, ticket):
            return pyarrow.flight.RecordBatchStream(table().slice(0, int(ticket.ticket)))

    with (
        Server("grpc://127.0.0.1:0") as server,
        pyarrow.flight.connect(("127.0.0.1", server.port)) as client,
    ):
        equal(client.do_get(pyarrow.flight.Ticket(b"3")).read_all().num_rows, 3)


CHECKS = (arrays, compute, parquet, other_formats, plans, flight)
