"""What `benchmarks.building.images` tells of an image, and how registries are filled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.building import builds, filling, images
from benchmarks.building.engine import cpu_of_engine, peak_of_engine
from benchmarks.building.filling import Kitchen, Made, fill
from benchmarks.building.images import described, markdown
from benchmarks.building.limit import Opened
from benchmarks.building.making import CASES, COLD, Step
from benchmarks.building.methods import in_order
from benchmarks.building.project import Project
from benchmarks.catalogue import Method, methods, workloads
from benchmarks.parts import Ask
from benchmarks.records import Record, Results
from benchmarks.running import RunError
from benchmarks.slimming.bound import TOUCHED, Bound
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.rootfs import merged_view
from slimpack.tree import bytes_entry


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """An image of two layers; the upper one covers a file of the lower one."""
    blobs = BlobStore(tmp_path / "blobs", durable=False)
    contents = ({"a/x": b"1" * 100, "a/y": b"2" * 10}, {"a/x": b"3" * 7})
    layers = [
        build_layer(
            str(number),
            [bytes_entry(name, data) for name, data in files.items()],
            blobs=blobs,
            mtime=0,
        )
        for number, files in enumerate(contents)
    ]
    image = make_image(layers, ImageConfig())
    return Opened(image, dict(merged_view(image)), tmp_path)


def test_an_image_is_described_by_what_is_visible_beside_the_bound(opened: Opened) -> None:
    bound = Bound(TOUCHED, 9, size=50, unpacked=15, files=1)
    found = {one.metric: one for one in described("w1", "safe", opened, 36, bound)}
    assert found["unpacked"].values == (17.0,)
    assert found["files"].values == (2.0,)
    assert found["files"].to_limit == 2.0
    assert found["layers"].values == (2.0,)
    assert found["checks"].values == (36.0,)
    assert found["compressed"].values == (sum(layer.size for layer in opened.image.layers),)
    assert {one.limit_of for one in found.values() if one.limit} == {
        "what service and self-test touch, zstd 9"
    }
    assert found["layers"].limit is None
    without = list(described("g1", "safe", opened, None, None))
    assert [one.metric for one in without] == ["compressed", "unpacked", "files", "layers"]
    assert not any(one.limit for one in without)
    page = markdown(Results("images", records=tuple(found.values())))
    assert page.splitlines()[2].startswith("| W1: pandas, SciPy, scikit-learn, FastAPI | ")
    assert "| 36 |" in page
    assert methods()["micromamba"].reason in page


def test_tables_have_the_order_of_the_data_whatever_was_measured_first() -> None:
    places = [
        *(("g2", "best", COLD), ("w2", "safe", COLD), ("g1", "safe", COLD)),
        *(("w1", "safe", COLD), ("w1", "best", COLD), ("w1", "x", "y")),
    ]
    mixed = [Record(name, method, "build", (1.0,), case) for name, method, case in places]
    found = in_order(Results("builds", records=tuple(mixed)), CASES).records
    assert [(one.workload, one.method) for one in found] == [
        *(("w1", "best"), ("w1", "safe"), ("w1", "x"), ("w2", "safe")),
        *(("g1", "safe"), ("g2", "best")),
    ]


class Fake:
    """Makes nothing; what it was asked for is kept."""

    cases = CASES
    commands = ()

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def prepare(self, case: str) -> float:
        self.calls.append(f"prepare {self.name}")
        return 0.0

    def run(self, case: str, reference: str) -> Step:
        self.calls.append(f"run {reference}")
        return Step(1.0, 0.5, 1.0, 1)

    def clean(self, reference: str) -> None:
        self.calls.append(f"clean {reference}")


@contextmanager
def nothing(*arguments: object) -> Iterator[str]:
    """Set nothing up: a registry is not asked."""
    yield "h:1"


def test_a_registry_gets_an_image_of_each_method_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def make(self: Project) -> None:
        self.folder.mkdir(parents=True)

    def fake(method: Method, project: Project, folder: Path, **more: object) -> Fake:
        return Fake(calls, folder.name)

    def reason(method: Method, project: Project) -> str:
        return "no wheels" if method.name == "venv" else ""

    monkeypatch.setattr(Project, "make", make)
    monkeypatch.setattr(Project, "solve", lambda self: calls.append("solve"))
    monkeypatch.setattr(filling, "set_up", nothing)
    monkeypatch.setattr(filling, "docker_registry", nothing)
    monkeypatch.setattr(filling, "maker", fake)
    monkeypatch.setattr(filling, "reason_against", reason)
    chosen = [methods()[name] for name in ("best", "venv", "micromamba", "locked", "safe")]
    work = tmp_path / "work"
    made = fill(tmp_path / "registry", workloads(("w1",)).values(), chosen, work)
    assert made == {("best", "w1"): "best/w1", ("safe", "w1"): "safe/w1"}
    # slimpack's own images share a cache, which is not emptied between two of them.
    assert calls == [
        *("solve", "prepare best", "run h:1/best/w1:1", "clean h:1/best/w1:1"),
        *("run h:1/safe/w1:1", "clean h:1/safe/w1:1"),
    ]
    assert not work.exists()


def test_a_kitchen_makes_its_project_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr(Project, "make", lambda self: made.append(self.folder))
    kitchen = Kitchen(workloads(("w1",))["w1"], tmp_path)
    assert kitchen.project is kitchen.project
    assert made == [tmp_path / "project"]


def test_an_image_that_was_looked_at_is_kept_whatever_becomes_of_the_next(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [methods()[name] for name in ("best", "venv", "safe", "tight")]

    def made(self: Kitchen, methods: list[Method], host: str) -> Iterator[Made]:
        best, venv, safe, _ = methods
        yield Made(best, "h:1/best")
        yield Made(venv, "", "no wheels")
        yield Made(safe, "h:1/safe")
        raise RunError("the disk is full")

    @contextmanager
    def pulled(*arguments: object) -> Iterator[Opened]:
        yield opened

    for name, stand_in in (("set_up", nothing), ("docker_registry", nothing), ("opened", pulled)):
        monkeypatch.setattr(images, name, stand_in)
    monkeypatch.setattr(images, "WORK", tmp_path / "work")
    monkeypatch.setattr(images, "choose_sandbox", lambda: None)
    monkeypatch.setattr(Project, "make", lambda self: None)
    monkeypatch.setattr(Kitchen, "made", made)
    found: list[Results] = []
    with pytest.raises(RunError):
        found.extend(images.measure(Ask(("g1",), tuple(one.name for one in chosen))))
    measured = [[one.method for one in results.records] for results in found]
    assert measured == [["best"] * 4, [], ["safe"] * 4]
    assert [*found[-1].reasons.values()] == ["no wheels"]


def test_quick_is_one_workload_with_what_shows_most() -> None:
    for quick in (images.QUICK, builds.QUICK):
        assert workloads(quick.workloads)
        assert set(quick.methods) <= set(methods())
        assert set(quick.cases) <= set(CASES)


def test_the_engine_is_looked_at_where_there_is_one() -> None:
    assert cpu_of_engine() >= 0
    assert peak_of_engine() >= 0
