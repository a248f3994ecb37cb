"""Results of benchmarks: written, read, merged, compared."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import main
from benchmarks.catalogue import methods, metrics, workloads
from benchmarks.compare import as_json, as_text, changes, is_regression
from benchmarks.demo import ROOT
from benchmarks.records import Record, Results, read_all, read_results, update_results
from benchmarks.tables import facts, records_table
from slimpack.errors import InputError


def results(*records: Record, part: str = "images") -> Results:
    return Results(part, {"cores": "2 cores"}, {"slimpack": "1"}, "local", records=records)


def size(value: float, method: str = "safe", **more: float) -> Record:
    return Record("w1", method, "compressed", (value,), limit=more.get("limit"))


def seconds(*values: float) -> Record:
    return Record("w1", "safe", "build", values, case="nothing changed")


records = st.builds(
    Record,
    workload=st.sampled_from(["w1", "w2"]),
    method=st.sampled_from(["safe", "best"]),
    metric=st.sampled_from(["build", "compressed"]),
    values=st.lists(st.floats(0, 1e9), min_size=1, max_size=3).map(tuple),
    case=st.sampled_from(["", "cold"]),
    at=st.none() | st.floats(1, 100),
    limit=st.none() | st.floats(1, 1e6),
)


@given(st.lists(records, unique_by=lambda record: record.key))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, found: list[Record]
) -> None:
    folder = tmp_path_factory.mktemp("results")
    update_results(results(*found), folder)
    assert read_results(folder / "images.json") == results(*found)


def test_what_a_run_does_not_measure_stays(tmp_path: Path) -> None:
    update_results(results(size(5), size(7, "best")), tmp_path)
    whole = update_results(results(size(4), seconds(1, 2)), tmp_path)
    assert whole.records == (size(4), size(7, "best"), seconds(1, 2))
    assert read_results(tmp_path / "images.json") == whole


def test_reasons_of_other_workloads_stay() -> None:
    old = replace(results(), reasons={"W6, pip": "no Python", "W1, pip": "gone"})
    new = replace(results(), reasons={"W1, pip": "no wheel"}, versions={"podman": "4"})
    whole = old.merged(new)
    assert whole.reasons == {"W6, pip": "no Python", "W1, pip": "no wheel"}
    assert whole.versions == {"slimpack": "1", "podman": "4"}
    assert "- W6, pip: no Python." in list(facts(whole))


def test_the_median_stands_for_the_runs() -> None:
    assert seconds(9, 1, 2).median == 2
    assert size(30, limit=20).to_limit == 1.5
    assert size(30).to_limit is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 99}', '{"schema": 1, "part": "x"}'],
)
def test_other_files_are_told_from_results(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match="holds no results"):
        read_results(path)


def test_a_folder_may_hold_other_results_too(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text('{"machine": {}}')
    with pytest.raises(InputError, match="no results of benchmarks"):
        read_all(tmp_path)
    update_results(results(size(5)), tmp_path)
    assert list(read_all(tmp_path)) == ["images"]


def verdicts(old: Record, new: Record) -> list[str]:
    found = changes({"images": results(old)}, {"images": results(new)})
    return [change.verdict for change in found]


def test_a_byte_in_two_hundred_counts_and_noise_does_not() -> None:
    assert verdicts(size(1000), size(1004)) == ["same"]
    assert verdicts(size(1000), size(1006)) == ["worse"]
    assert verdicts(size(1000), size(900)) == ["better"]
    assert verdicts(seconds(1.0), seconds(1.2)) == ["same"]
    assert verdicts(seconds(1.0), seconds(1.3)) == ["worse"]
    assert verdicts(seconds(1.0), seconds(0.7)) == ["better"]


def test_more_checks_are_better() -> None:
    def checks(count: int) -> Record:
        return Record("w1", "safe", "checks", (count,))

    assert verdicts(checks(30), checks(36)) == ["better"]
    assert verdicts(checks(36), checks(30)) == ["worse"]


def test_nothing_sent_stays_nothing() -> None:
    def sent(size: int) -> Record:
        return Record("w1", "safe", "sent", (size,), case="nothing changed")

    assert verdicts(sent(0), sent(0)) == ["same"]
    assert verdicts(sent(0), sent(1)) == ["worse"]
    assert verdicts(sent(1), sent(0)) == ["better"]


def test_what_is_gone_is_a_regression_and_other_parts_are_not() -> None:
    both = {"images": results(size(5), seconds(1)), "scale": results(size(5), part="scale")}
    found = changes(both, {"images": results(size(5))})
    assert [change.verdict for change in found] == ["gone", "same"]
    assert is_regression(found)
    assert not is_regression(changes({"images": results(size(5))}, both))


def test_the_worst_is_told_first() -> None:
    old = {"images": results(size(100), size(100, "best"), seconds(1), size(5, "tight"))}
    new = {"images": results(size(101), size(150, "best"), seconds(1), size(4, "tight"))}
    lines = as_text(changes(old, new)).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["worse", "worse", "better"]
    assert "best" in lines[2]
    assert "1.500" in lines[2]
    assert lines[-1] == "4 figures: 2 worse, 1 better, 1 same."
    assert len(json.loads(as_json(changes(old, new)))) == 4


def test_compare_command(tmp_path: Path) -> None:
    for name, value in (("old", 100.0), ("new", 120.0)):
        update_results(results(size(value)), tmp_path / name)
    runner = CliRunner()
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    assert runner.invoke(main, ["compare", old, old]).exit_code == 0
    worse = runner.invoke(main, ["compare", old, new])
    assert worse.exit_code == 3
    assert "1.200" in worse.output
    assert runner.invoke(main, ["compare", old, new, "--exact", "1.3"]).exit_code == 0
    assert runner.invoke(main, ["compare", new, old]).exit_code == 0


def test_compare_tells_what_it_cannot_read(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("no JSON")
    found = CliRunner().invoke(main, ["compare", str(other), str(other)])
    assert found.exit_code == 1
    assert "holds no results of benchmarks" in found.output


def test_a_table_has_ratios_to_the_limit_and_to_the_reference() -> None:
    lines = list(
        records_table(
            results(size(30e6, limit=20e6), size(60e6, "best")),
            ["compressed"],
            reference="best",
            limits=["compressed"],
        )
    )
    assert lines[2].startswith("| W1: pandas")
    assert lines[2].endswith("| slimpack safe | 30.0 | 1.50 | 0.50 |")
    assert lines[3].endswith("| 60.0 |  | 1.00 |")


def test_the_catalogue_is_whole() -> None:
    every = {**workloads(), **workloads(("g1", "g2"))}
    assert {"w1", "w2", "w3", "g1", "g2"} <= every.keys()
    for workload in every.values():
        assert workload.title
        assert workload.config.is_file()
        assert (workload.folder / "environment.yml").is_file()
        assert workload.self_test
    assert "g1" not in workloads()
    for method in methods().values():
        assert method.kind or method.reason
    assert {metric.unit for metric in metrics().values()} == {"bytes", "s", "count"}


def test_an_answer_is_good_when_it_has_what_is_expected() -> None:
    request = workloads()["w1"].request
    assert request.is_answered_by({"species": "virginica", "entropy": 0.1})
    assert not request.is_answered_by({"species": "setosa"})
    assert not request.is_answered_by([])


def test_the_commands_of_the_document_are_known(tmp_path: Path) -> None:
    """What measures for hours is parsed; what reads results is run, on results made up."""
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/benchmarks.md").read_text(), re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
            continue
        assert words[:3] == ["python", "-m", "benchmarks"]
        command, arguments = main.commands[words[3]], words[4:]
        if words[3] == "compare":
            for folder in arguments:
                update_results(results(size(5)), tmp_path / folder)
            arguments = [str(tmp_path / folder) for folder in arguments]
            assert CliRunner().invoke(command, arguments).exit_code == 0
        else:
            assert command.make_context(words[3], arguments)
