"""pandas, with pyarrow where it is there."""

import importlib.util
import io
import sqlite3
import tempfile

import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal

from checks import close, equal, expect, raises


def table():
    """Every common kind of column."""
    return pd.DataFrame(
        {
            "name": ["ann", "bob", "cy", None],
            "count": [1, 2, 3, 4],
            "share": [0.5, np.nan, 1.5, 2.5],
            "day": pd.date_range("2024-02-28", periods=4, freq="D"),
            "kind": pd.Categorical(["a", "b", "a", "b"]),
            "yes": [True, False, True, True],
        }
    )


def csv():
    text = table().to_csv(index=False)
    back = pd.read_csv(io.StringIO(text), parse_dates=["day"], dtype={"kind": "category"})
    equal(back["count"].tolist(), [1, 2, 3, 4])
    equal(str(back["day"].iloc[1].date()), "2024-02-29")
    equal(back["name"].isna().tolist(), [False, False, False, True])
    equal(back.to_csv(index=False), text)
    slow = pd.read_csv(io.StringIO("a;b\n1;2,5\n"), sep=";", decimal=",", engine="python")
    equal(slow["b"].tolist(), [2.5])
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("csv.gz", "csv.bz2", "csv.xz", "csv.zip"):
            table().to_csv(f"{folder}/t.{ending}", index=False)
            equal(len(pd.read_csv(f"{folder}/t.{ending}")), 4)
    equal(len(pd.read_fwf(io.StringIO("a  b\n1  2\n3  4\n"))), 2)


def json():
    for orient in ("records", "split", "columns", "table"):
        text = table()[["name", "count", "share"]].to_json(orient=orient)
        back = pd.read_json(io.StringIO(text), orient=orient)
        equal(back["count"].tolist(), [1, 2, 3, 4])
        close(back["share"].sum(), 4.5)
    flat = pd.json_normalize([{"a": {"b": 1}}, {"a": {"b": 2}}])
    equal(flat["a.b"].tolist(), [1, 2])


def other_formats():
    frame = table()
    with tempfile.TemporaryDirectory() as folder:
        frame.to_pickle(f"{folder}/t.pkl")
        assert_frame_equal(pd.read_pickle(f"{folder}/t.pkl"), frame)
    with sqlite3.connect(":memory:") as connection:
        frame[["name", "count"]].to_sql("t", connection, index=False)
        found = pd.read_sql("select sum(count) as total from t", connection)
        equal(found["total"].tolist(), [10])
    expect("<table" in frame.to_html())
    expect("ann" in frame.to_string() and "ann" in repr(frame))
    stream = io.StringIO()
    frame.info(buf=stream)
    expect("4 non-null" in stream.getvalue())
    if importlib.util.find_spec("pyarrow"):
        with tempfile.TemporaryDirectory() as folder:
            frame.to_parquet(f"{folder}/t.parquet", engine="pyarrow")
            assert_frame_equal(pd.read_parquet(f"{folder}/t.parquet"), frame)
            frame.to_feather(f"{folder}/t.feather")
            assert_frame_equal(pd.read_feather(f"{folder}/t.feather"), frame)


def groupby():
    frame = table()
    sums = frame.groupby("kind", observed=True)["count"].agg(["sum", "mean", "max"])
    equal(sums.loc["b"].tolist(), [6.0, 3.0, 4.0])
    ranks = frame.groupby("kind", observed=True)["count"].rank()
    equal(ranks.tolist(), [1.0, 1.0, 2.0, 2.0])
    equal(frame.groupby("yes")["share"].apply(lambda part: part.count()).tolist(), [0, 3])
    equal(frame.pivot_table(index="kind", values="count", observed=True)["count"].tolist(), [2, 3])
    equal(pd.crosstab(frame["kind"], frame["yes"]).to_numpy().tolist(), [[0, 2], [1, 1]])
    close(frame["share"].rolling(2, min_periods=1).sum().tolist()[2:], [1.5, 4.0])
    close(frame["count"].ewm(alpha=0.5).mean().iloc[-1], 3.2666666)


def merge():
    left = pd.DataFrame({"k": [1, 2, 3], "a": list("xyz")})
    right = pd.DataFrame({"k": [2, 3, 4], "b": [20, 30, 40]})
    equal(left.merge(right, on="k")["b"].tolist(), [20, 30])
    outer = left.merge(right, how="outer", indicator=True)
    equal(outer["_merge"].tolist(), ["left_only", "both", "both", "right_only"])
    equal(pd.concat([left, right]).shape, (6, 3))
    near = pd.merge_asof(left, right, on="k")
    equal(near["b"].isna().tolist(), [True, False, False])
    equal(left.join(right.set_index("k"), on="k")["b"].sum(), 50.0)
    equal(left.melt(id_vars="k").shape, (3, 3))
    equal(left.set_index("k").stack().index.nlevels, 2)


def time_zones():
    hours = pd.date_range("2024-03-31", periods=4, freq="h", tz="Europe/Berlin")
    equal([int(h.utcoffset().total_seconds() // 3600) for h in hours], [1, 1, 2, 2])
    equal(str(hours[0].tz_convert("Asia/Tokyo")), "2024-03-31 08:00:00+09:00")
    raises(Exception, pd.Timestamp("2024-03-31 02:30").tz_localize, "Europe/Berlin")
    frame = pd.DataFrame({"at": hours, "n": range(4)})
    text = frame.to_csv(index=False)
    back = pd.to_datetime(pd.read_csv(io.StringIO(text))["at"], utc=True)
    equal(back.dt.tz_convert("Europe/Berlin").tolist(), hours.tolist())
    equal(frame.set_index("at")["n"].resample("2h").sum().tolist(), [1, 5])
    equal(str(pd.Timestamp("2024-01-31") + pd.offsets.MonthEnd()), "2024-02-29 00:00:00")
    equal(str(pd.Period("2024-02", "M").end_time.date()), "2024-02-29")
    equal(pd.Timedelta("1 days 2 hours").total_seconds(), 93600.0)
    equal(len(pd.bdate_range("2024-01-01", "2024-01-07")), 5)


def columns():
    frame = table()
    equal(frame["name"].str.upper().tolist()[:3], ["ANN", "BOB", "CY"])
    equal(frame["name"].str.extract(r"(n+)")[0].dropna().tolist(), ["nn"])
    equal(frame.query("count > 2 and yes")["count"].tolist(), [3, 4])
    equal(frame.eval("count * 2").tolist(), [2, 4, 6, 8])
    equal(frame.sort_values("share", na_position="first")["count"].tolist(), [2, 1, 3, 4])
    equal(pd.cut([1, 5, 9], bins=[0, 4, 10]).codes.tolist(), [0, 1, 1])
    equal(pd.array([1, None, 3], dtype="Int64").sum(), 4)
    equal(pd.get_dummies(frame["kind"])["a"].tolist(), [True, False, True, False])
    equal(frame["day"].dt.day_name().tolist()[0], "Wednesday")
    equal(frame["kind"].cat.categories.tolist(), ["a", "b"])
    close(frame[["count", "share"]].corr().iloc[0, 1], 0.9819805)
    equal(pd.MultiIndex.from_product([[1, 2], ["a"]]).get_level_values(0).tolist(), [1, 2])
    equal(frame["share"].interpolate().tolist(), [0.5, 1.0, 1.5, 2.5])
    close(frame.describe().loc["mean", "count"], 2.5)


CHECKS = (csv, json, other_formats, groupby, merge, time_zones, columns)
