"""The pure parts of `benchmarks.slim`: the lower bound of a tiny image, times, tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.running import RunError
from benchmarks.slim import main
from benchmarks.slimming.bound import OPENED, TOUCHED, Bound, measure_bound, selected, touched
from benchmarks.slimming.inside import Place, Times, import_times, in_environment, self_test
from benchmarks.slimming.results import ENVIRONMENT, PROFILES, Built, Found, markdown
from benchmarks.slimming.workload import Plan
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.rootfs import merged_view
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Command
from slimpack.sandbox.host import Host
from slimpack.trace.record import Trace
from slimpack.tree import Entry, Tree, bytes_entry, symlink_entry

LIBRARY = bytes(range(256)) * 40
LOWER = (
    bytes_entry("env/lib/a.py", b"A = 1\n" * 300),
    bytes_entry("env/lib/__pycache__/a.cpython-311.pyc", b"\0" * 900),
    bytes_entry("env/lib/libx.so.1", LIBRARY, mode=0o755),
    symlink_entry("env/lib/libx.so", "libx.so.1"),
    bytes_entry("env/lib/unused.py", b"U = 1\n" * 5000),
)
UPPER = (bytes_entry("app/main.py", b"import a\n" * 200), bytes_entry("app/copy.py", b"c" * 700))
OPEN = (
    *("app/main.py", "env/lib/__pycache__/a.cpython-311.pyc", "env/lib/libx.so"),
    *("env/lib/libx.so.1", "proc/self/maps"),
)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    blobs = BlobStore(tmp_path / "blobs", durable=False)
    layers = [
        build_layer(name, entries, blobs=blobs, mtime=0)
        for name, entries in (("packages", LOWER), ("application", UPPER))
    ]
    return make_image(layers, ImageConfig())


def trace(*opened: str) -> Trace:
    return Trace(image="", commands=(("python",),), opened=tuple(sorted(opened)))


def test_sources_come_with_the_bytecode_that_was_opened() -> None:
    paths = [entry.path for entry in (*LOWER, *UPPER)]
    opened = touched(trace(*OPEN), paths, sources=False)
    assert opened == set(OPEN) - {"proc/self/maps"}
    assert touched(trace(*OPEN), paths, sources=True) == opened | {"env/lib/a.py"}
    # Bytecode without a source, in its folder or in the source's place, brings none.
    alone = ["env/lib/__pycache__/b.cpython-311.pyc", "env/lib/c.pyc"]
    assert touched(trace(*alone), alone, sources=True) == set(alone)


def test_the_bound_is_what_the_touched_files_take_in_their_layers(
    image: Image, tmp_path: Path
) -> None:
    view, root = merged_view(image), tmp_path / "root"
    unpack_image(image, root, view=view)
    tree = selected(image, view, root, touched(trace(*OPEN), view.keys(), sources=True))
    assert {entry.path: entry.owner for entry in tree} == {
        "app/main.py": "application",
        "env/lib/__pycache__/a.cpython-311.pyc": "packages",
        "env/lib/a.py": "packages",
        "env/lib/libx.so": "packages",
        "env/lib/libx.so.1": "packages",
    }
    bound = measure_bound(TOUCHED, tree, 9, tmp_path)
    kept = {entry.path for entry in tree}
    blobs = BlobStore(tmp_path / "expected", durable=False)
    expected = [
        build_layer(
            "x",
            [entry for entry in entries if entry.path in kept],
            blobs=blobs,
            mtime=0,
            compression=Compression(level=9),
        ).size
        for entries in (LOWER, UPPER)
    ]
    # The time of files, which is in every header, is another one.
    assert bound.size == pytest.approx(sum(expected), abs=20)
    assert bound.files == 5
    assert bound.unpacked == sum(entry.size for entry in (*LOWER, *UPPER) if entry.path in kept)
    assert bound.size < sum(layer.size for layer in image.layers)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


def test_equal_files_of_a_layer_count_once_as_in_an_image(tmp_path: Path) -> None:
    def tree(owner: str) -> Tree:
        pair = (bytes_entry(path, LIBRARY, owner=owner) for path in ("env/one", "env/two"))
        return Tree(pair)

    linked = measure_bound(OPENED, tree("package"), 9, tmp_path)
    apart = measure_bound(OPENED, tree("application"), 9, tmp_path)
    assert (linked.files, linked.unpacked) == (2, len(LIBRARY))
    assert (apart.files, apart.unpacked) == (2, 2 * len(LIBRARY))


def test_nothing_touched_takes_nothing(tmp_path: Path) -> None:
    nothing: list[Entry] = []
    assert measure_bound(TOUCHED, Tree(nothing), 9, tmp_path) == Bound(TOUCHED, 9, 0, 0, 0)


def program(code: str) -> Command:
    return Command((sys.executable, "-c", code), timeout=60)


def test_places_take_turns_and_the_first_round_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Host().prepare(tmp_path) as prepared:
        places = {
            name: Place(
                prepared,
                program(
                    f"open({str(log)!r}, 'a').write({name!r}); print('noise'); print({said!r})"
                ),
            )
            for name, said in (("a", "[2.0, 1.5]"), ("b", "[4.0, 3.0]"))
        }
        found = import_times(places, 3)
    assert log.read_text() == "abababab"
    assert found == {
        "a": Times([2.0, 2.0, 2.0], [1.5, 1.5, 1.5]),
        "b": Times([4.0, 4.0, 4.0], [3.0, 3.0, 3.0]),
    }


def test_an_environment_gets_the_variables_of_the_image_with_its_own_paths(tmp_path: Path) -> None:
    config = ImageConfig(env=(("PATH", "/opt/env/bin:/usr/bin"), ("OMP_NUM_THREADS", "1")))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with Host().prepare(tmp_path) as prepared:
        place = in_environment(prepared, config, tmp_path, "/opt/env", ("json", "this.is.none"))
        assert dict(place.command.env) == {
            "PATH": f"{tmp_path}/bin:/usr/bin",
            "OMP_NUM_THREADS": "1",
            "HOME": "/nonexistent",
        }
        with pytest.raises(RunError, match=r"No module named 'this\.is'"):
            import_times({"it": place}, 1)
        place = in_environment(prepared, config, tmp_path, "/opt/env", ("json",))
        (seconds,) = import_times({"it": place}, 1)["it"].wall
    assert 0 < seconds < 60


def test_an_import_that_fails_is_an_error(tmp_path: Path) -> None:
    with Host().prepare(tmp_path) as prepared:
        places = {"safe": Place(prepared, program("import no_such_module"))}
        with pytest.raises(RunError, match=r"importing in safe failed(?s:.*)no_such_module"):
            import_times(places, 1)


@pytest.mark.parametrize(
    ("argv", "said", "code", "passed"),
    [
        (("python", "selftest.py"), "ok  a\n16 checks passed", 0, 16),
        (("python", "selftest.py"), "3 checks passed, 1 failed", 1, None),
        (("python", "selftest.py"), "hello", 0, None),
        (("nginx", "-t"), "test is successful", 0, 1),
        (("nginx", "-t"), "test failed", 1, None),
    ],
)
def test_all_checks_of_the_self_test_have_to_pass(
    tmp_path: Path, argv: tuple[str, ...], said: str, code: int, passed: int | None
) -> None:
    program = tmp_path / argv[0]
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}'; exit {code}\n")
    program.chmod(0o755)
    config = ImageConfig(env=(("PATH", str(tmp_path)),), workdir=str(tmp_path))
    with Host().prepare(tmp_path) as prepared:
        if passed is None:
            with pytest.raises(RunError, match="self-test failed"):
                self_test(prepared, config, argv)
        else:
            assert self_test(prepared, config, argv) == passed


def built(profile: str, level: int, size: int) -> Built:
    return Built(profile, level, size, 2 * size, 10, 16, (("layers", 1.5), ("verify", 2.0)))


FOUND = Found(
    title="tiny",
    built=(
        built("none", 9, 80_000_000),
        built("safe", 9, 60_000_000),
        built("safe", 19, 45_000_000),
    ),
    bounds=(Bound(TOUCHED, 9, 40_000_000, 90_000_000, 7), Bound(OPENED, 9, 30_000_000, 1, 6)),
    imports=(("safe", Times([1.0, 9.0, 1.1], [1.0])), (ENVIRONMENT, Times([2.2, 2.0, 0.1], [2.0]))),
)


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_tables_have_sizes_as_ratios_to_the_bound_of_their_level() -> None:
    table = rows(markdown({"w9": FOUND}, channel="local"))
    named = {(row[1], row[2]): row for row in table if len(row) == 8}
    assert named["safe", "9"] == [
        *("W9: tiny", "safe", "9", "60.0", "1.50", "120.0", "10", "16 passed")
    ]
    assert named[f"*touched by {TOUCHED}*", "9"][3:5] == ["40.0", "1.00"]
    assert named[f"*touched by {OPENED}*", "9"][3:5] == ["30.0", "0.75"]
    # No bound was measured at this level.
    assert named["safe", "19"][3:5] == ["45.0", ""]
    assert all(len(row) in (5, 8) for row in table)


def test_tables_have_import_times_as_ratios_of_medians() -> None:
    table = rows(markdown({"w9": FOUND}, channel="local"))
    assert ["W9: tiny", "safe", "3", "0.55", "0.50"] in table


def test_a_run_replaces_what_it_measured_and_keeps_the_rest() -> None:
    newer = Found(
        title="tiny",
        built=(built("tight", 19, 39_000_000), built("safe", 19, 44_000_000)),
        bounds=(Bound(TOUCHED, 19, 38_000_000, 90_000_000, 7),),
    )
    both = FOUND.updated(newer)
    assert [(row.profile, row.level, row.size) for row in both.built] == [
        ("none", 9, 80_000_000),
        ("safe", 9, 60_000_000),
        ("safe", 19, 44_000_000),
        ("tight", 19, 39_000_000),
    ]
    assert [(bound.of, bound.level) for bound in both.bounds] == [
        (TOUCHED, 9),
        (OPENED, 9),
        (TOUCHED, 19),
    ]
    assert both.imports == FOUND.imports
    assert ["W9: tiny", "tight", "19", "39.0", "1.03"] in [
        row[:5] for row in rows(markdown({"w9": both}, channel="local"))
    ]


def test_results_come_back_from_json_as_they_were() -> None:
    assert Found.of_json(json.loads(json.dumps(FOUND.to_json()))) == FOUND


def test_levels_for_releases_are_for_the_profiles_that_are_released() -> None:
    plan = Plan(PROFILES, (9, 19), 0, "")
    assert plan.profiles_at(9) == PROFILES
    assert plan.profiles_at(19) == ("safe", "tight")
    assert Plan(("none", "tight"), (19,), 0, "").profiles_at(19) == ("tight",)


def test_unknown_workloads_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workload", "w9"])
    assert "invalid choice: 'w9'" in capsys.readouterr().err
