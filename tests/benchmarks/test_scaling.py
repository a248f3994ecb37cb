"""Generated environments, slopes, and the page of the part ``scale``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.channel.container import read_files, read_info
from benchmarks.parts import Ask
from benchmarks.records import Record, Results
from benchmarks.running import Measured
from benchmarks.scaling import part
from benchmarks.scaling.content import Content
from benchmarks.scaling.environments import UNVERIFIED, VERIFIED, Environment
from benchmarks.scaling.images import ALWAYS, MOST, OPTIONAL, Stock, packages, write_project
from benchmarks.scaling.points import DIMENSIONS
from benchmarks.scaling.shapes import Shape, make_packages, spread
from benchmarks.scaling.slopes import slope
from slimpack.config_file import read_config
from slimpack.errors import InputError


@given(st.floats(-2, 3), st.floats(0.01, 100))
def test_the_slope_of_a_power_law_is_its_exponent(exponent: float, factor: float) -> None:
    found = slope([(size, factor * size**exponent) for size in (100.0, 1.0, 10.0, 3.0)])
    assert found is not None
    assert found.whole == pytest.approx(exponent, abs=1e-6)
    assert found.last == pytest.approx(exponent, abs=1e-6)


def test_the_last_slope_shows_what_a_constant_hides() -> None:
    found = slope([(size, 1000 + size**2) for size in (1.0, 10.0, 100.0, 1000.0)])
    assert found is not None
    assert found.last > 1.9 > found.whole
    assert slope([(1, 5)]) is None
    assert slope([(1, 0), (2, 5)]) is None


def test_content_repeats_itself_in_another_run_alone() -> None:
    first, second = Content(), Content()
    files = [first.file(40_000) for _ in range(50)]
    assert files == [second.file(40_000) for _ in range(50)]
    assert len(set(files)) == 50
    assert {len(data) for data in files} == {40_000}
    packed = zstandard.ZstdCompressor(level=9).compress(b"".join(files))
    assert 0.3 < len(packed) / (50 * 40_000) < 0.4
    source = first.module(3000)
    assert len(source) >= 3000
    compile(source, "m.py", "exec")


def test_sizes_are_what_is_asked_for_on_average() -> None:
    found = [spread(number) for number in range(5000)]
    assert 0.25 <= min(found) < 0.26
    assert 3.9 < max(found) <= 4
    assert sum(value > 1 for value in found) == pytest.approx(2500, rel=0.01)


def test_packages_share_the_files_and_have_a_graph(tmp_path: Path) -> None:
    make_packages(Shape(3, 100, 1000), tmp_path, lambda _: None)
    made = sorted(tmp_path.glob("noarch/*.conda"))
    files = [read_files(path) for path in made]
    assert [len(of) for of in files] == [34, 33, 33]
    total = sum(len(data) for of in files for data in of.values())
    assert total == pytest.approx(100_000, rel=0.1)
    index = json.loads(read_info(made[2])["info/index.json"])
    assert index["depends"] == ["scale-000", "scale-001"]
    paths = json.loads(read_info(made[0])["info/paths.json"])["paths"]
    assert {item["_path"] for item in paths} == files[0].keys()


def test_packages_of_modules_need_python(tmp_path: Path) -> None:
    shape = Shape(1, 3, 500, python=True)
    make_packages(shape, tmp_path, lambda _: None)
    (path,) = tmp_path.glob("noarch/*.conda")
    assert sorted(read_files(path)) == [
        f"site-packages/scale_000/{name}.py" for name in ("__init__", "m0000", "m0001")
    ]
    index = json.loads(read_info(path)["info/index.json"])
    assert (index["noarch"], index["depends"]) == ("python", ["python >=3.10"])
    assert shape.specs == ("python =3.11", "scale-000")


def test_an_environment_is_made_packed_and_removed(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "e", Shape(2, 6, 300))
    environment.make()
    assert len(list(environment.prefix.glob("share/*/*/*"))) == 6
    (record, _) = sorted(environment.prefix.glob("conda-meta/*.json"))
    assert json.loads(record.read_bytes())["name"] == "scale-000"
    assert environment.lock.read_text().count("- conda: ") >= 2
    if shutil.which("zstd"):
        for way in (environment.tar, environment.conda_pack):
            assert way().memory > 0
            assert (environment.output / "env.tar.zst").stat().st_size > 1000
    environment.remove()
    assert not environment.folder.exists()


def test_a_build_is_told_in_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def measure(command: Sequence[str], **options: object) -> Measured:
        asked.append(command)
        told = {"size": 7, "stages": [["layers", 1.0], ["layers", 0.5], ["output", 0.2]]}
        return Measured(json.dumps(told), 2.0, 5, 1.0)

    monkeypatch.setattr("benchmarks.running.measure", measure)
    environment = Environment(tmp_path, Shape(1, 1, 1))
    builds = [environment.build(case) for case in (UNVERIFIED, VERIFIED)]
    assert builds[0].stages == {"layers": 1.5, "output": 0.2}
    assert ["--no-verify" in command for command in asked] == [True, False]
    assert all("--no-cache" in command for command in asked)


def test_the_last_of_so_many_images_has_all_packages(tmp_path: Path) -> None:
    assert packages(0) == ALWAYS
    assert packages(MOST - 1) == (*ALWAYS, *OPTIONAL)
    assert len({packages(number) for number in range(MOST)}) == MOST
    for number in range(8):
        assert set(packages(number)) <= set(packages(7))
    for number in (0, 5):
        write_project(tmp_path / "p", number)
        assert read_config(tmp_path / "p" / "slimpack.toml").app.copy
        text = (tmp_path / "p" / "environment.yml").read_text()
        assert all(f"- {name}\n" in text for name in packages(number))


def test_sizes_follow_what_is_asked() -> None:
    for dimension in DIMENSIONS.values():
        quick, usual, full = (
            part.sizes(dimension, ask) for ask in (Ask(quick=True), Ask(), Ask(full=True))
        )
        assert max(quick) < max(usual) <= max(full)
        assert list(full) == sorted(full)
    assert max(part.sizes(DIMENSIONS["files"], Ask(full=True))) == 1e6
    assert max(part.sizes(DIMENSIONS["size"], Ask(full=True))) == 8
    with pytest.raises(InputError, match="no case 'wheels'"):
        next(part.measure(Ask(cases=("wheels",))))


def costs(point: float, seconds: float) -> list[Record]:
    measured = [Measured("", seconds, 10**8, seconds)]
    tar = list(part.cost_records("files", part.TAR, point, [Measured("", seconds / 4, 10**7, 1.0)]))
    lowest = {record.metric: record.median for record in tar}
    ours = part.cost_records("files", "safe", point, measured, case=VERIFIED, lowest=lowest)
    stages = [
        Record("files", "safe", "stage", (seconds / 2,), f"{VERIFIED}: layers", point),
        Record("files", "safe", "stage", (0.1,), f"{VERIFIED}: output", point),
    ]
    return [*tar, *ours, *stages]


def test_the_page_has_a_line_for_each_curve_with_its_slope() -> None:
    stock = Stock(4, 10**8, 3 * 10**8, 9 * 10**7, 20.0, 15.0, 10**8, 10**8, 2.0)
    three = Stock(3, 10**8, 2 * 10**8, 8 * 10**7, 15.0, 12.0, 10**8, 10**8, 2.0)
    images = [*part.stock_records("images", three), *part.stock_records("images", stock)]
    records = (*costs(1e4, 10.0), *costs(1e5, 100.0), *images)
    page = part.markdown(Results("scale", records=records))
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    builds = {tuple(line[1:3]): line[3:] for line in lines if line[0] == "build, s"}
    assert builds["slimpack safe", VERIFIED] == ["10.00", "100.00", "1.00", "1.00", "4.00"]
    stages = [line for line in lines if line[0] == "stage of a build, s"]
    assert [line[2] for line in stages] == [f"{VERIFIED}: layers"]
    held = {line[1]: line for line in lines if line[0] == "stored in the registry, MB"}
    assert held["slimpack safe"][-1] == "1.11"
    limits = [record.limit for record in images if record.metric == "stored"]
    assert limits == [None, None, 9e7, None]
    assert "## Images that share packages" in page
