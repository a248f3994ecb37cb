from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import ImageError, InputError
from slimpack.report.checks import parse_checks
from slimpack.report.data import Report, gather, to_json
from slimpack.report.parts import Part, by_kind, by_owner
from slimpack.slim.record import RECORD
from tests.report.samples import CHECKS, PREFIX, SITE, conda, image, layer, layers, record, sample


def test_every_file_belongs_to_a_package_or_a_folder(report: Report) -> None:
    owners = {(part.owner, part.origin) for part in report.after}
    assert owners == {
        ("libc6", "debian"),
        ("numpy", "conda"),
        ("My-Wheel", "pypi"),
        ("/app", ""),
        ("/opt", ""),  # the slimming record itself
        ("/var", ""),  # Debian's list of files, which does not list itself
    }
    assert sum(part.bytes for part in report.after) == report.unpacked
    assert sum(part.files for part in report.after) == report.files


def test_kinds_are_told_from_the_path_below_the_prefix(report: Report) -> None:
    numpy = {part.kind: (part.files, part.bytes) for part in report.after if part.owner == "numpy"}
    assert numpy["library"] == (1, 50_000)
    assert numpy["bytecode"] == (1, 2_000)
    assert numpy["Python source"] == (1, 1_200)
    assert numpy["metadata"][0] == 1
    assert [item.name for item in by_kind(report.after)][:2] == ["library", "Python source"]


def test_compressed_sizes_are_spread_and_never_exceed_the_layers(report: Report) -> None:
    spread = sum(part.compressed for part in report.after)
    whole = sum(layer.compressed for layer in report.layers)
    assert whole - len(report.after) <= spread <= whole
    (library,) = [part for part in report.after if (part.owner, part.kind) == ("numpy", "library")]
    of_layer = report.layers[1]
    assert library.compressed == of_layer.compressed * 50_000 // of_layer.unpacked


def test_before_is_the_record_and_what_lies_outside_of_its_prefix(report: Report) -> None:
    before = {(item.name): item.bytes for item in by_owner(report.before)}
    assert before["numpy"] == 170_000
    assert before["my-wheel"] == 4_000
    assert before["tk"] == 5_000
    outside = {item.name: item.bytes for item in by_owner(report.after)}
    assert before["libc6"] == outside["libc6"]
    assert before["/app"] == outside["/app"]


def test_rules_tell_what_they_took_and_why(report: Report) -> None:
    assert report.slimming
    tests, strip = report.slimming.rules
    assert (tests.name, tests.files, tests.bytes, tests.action) == ("tests", 15, 95_000, "drop")
    assert tests.reason == "only needed to test the packages themselves"
    assert tests.parts[0] == Part("numpy", "conda", "tests", 12, 90_000)
    assert (strip.name, strip.bytes, strip.action) == ("strip", 30_000, "strip-debug")
    assert report.slimming.removed_bytes == 125_000
    assert report.slimming.before_bytes == 179_000


def test_packages_know_their_bytes_before_and_after(report: Report) -> None:
    rows = {(row.name, row.origin): row for row in report.packages}
    assert rows["numpy", "conda"].before == 170_000
    assert rows["numpy", "conda"].bytes > 53_000
    assert rows["numpy", "conda"].license == "MIT"
    # pip's names are the same in every spelling.
    assert rows["My-Wheel", "pypi"].before == 4_000
    # A package that slimming took as a whole is still listed.
    assert rows["tk", "conda"].before == 5_000
    assert (rows["tk", "conda"].bytes, rows["tk", "conda"].layer) == (0, -1)


def test_an_image_that_was_not_slimmed(plain: Report) -> None:
    assert plain.slimming is None
    assert plain.before == ()
    assert {row.before for row in plain.packages} == {None}


def test_sharing_with_another_image(report: Report) -> None:
    assert report.shared
    assert [layer.state for layer in report.shared.layers] == ["shared", "new", "shared"]
    assert [layer.stacked for layer in report.shared.layers] == [True, False, False]
    sizes = [layer.compressed for layer in report.layers]
    assert report.shared.kept == sizes[0] + sizes[2]
    assert report.shared.pulled == sizes[1]
    assert report.shared.pulled_stacked == sizes[1] + sizes[2]


def test_the_json_holds_all_and_is_the_same_every_time(report: Report, tmp_path: Path) -> None:
    data = json.loads(json.dumps(to_json(report)))
    assert data["version"] == 1
    assert data["slimming"]["rules"][0]["parts"][0]["owner"] == "numpy"
    assert data["shared"]["pulled"] == report.shared.pulled if report.shared else False
    again = gather(sample(tmp_path / "again"), "serve:1.0")
    unlike = replace(report, other="", shared=None, checks=None, start_up=None)
    assert to_json(again) == to_json(unlike)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({f"{PREFIX}/{RECORD}": b"{}"}, "not a slimming record"),
        ({f"{PREFIX}/{RECORD}": b"[" * 50_000}, "not a slimming record"),
        ({f"{PREFIX}/{RECORD}": b'{"version": 99}'}, "version 99"),
        (
            {f"{PREFIX}/{RECORD}": record().to_json(), f"opt/b/{RECORD}": record().to_json()},
            "2 slimming records",
        ),
        ({f"{PREFIX}/{RECORD}": bytes(17 << 20)}, "more than the 16777216 allowed"),
    ],
)
def test_a_bad_record_is_an_error(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(ImageError, match=said):
        gather(image(layer(tmp_path, "x", files)), "x")


def test_results_about_another_image_are_refused(tmp_path: Path) -> None:
    checks = parse_checks(json.dumps({**CHECKS, "subject": f"sha256:{'0' * 64}"}).encode(), "x")
    with pytest.raises(InputError, match="the verify results are about sha256:0000"):
        gather(sample(tmp_path), "x", checks=checks)


def test_hostile_package_records_are_no_packages(tmp_path: Path) -> None:
    files = {
        f"{PREFIX}/conda-meta/a-1-0.json": b"[" * 100_000,
        f"{PREFIX}/conda-meta/b-1-0.json": b'{"name": "b", "version": "1", "files": {"x": 1}}',
        f"{PREFIX}/conda-meta/c-1-0.json": b"\xff",
    }
    report = gather(image(layer(tmp_path, "x", files)), "x")
    assert {row.name for row in report.packages} <= {"b"}
    assert sum(part.bytes for part in report.after) == sum(map(len, files.values()))


def test_bytecode_without_its_source_belongs_to_the_source_s_package(tmp_path: Path) -> None:
    files = conda("numpy", {"lib/python3.11/site-packages/numpy/core.py": b"x"})
    files = {path: data for path, data in files.items() if not path.endswith("core.py")}
    made = image(layer(tmp_path, "x", {**files, f"{SITE}/numpy/core.pyc": b"12345"}))
    (part,) = [part for part in gather(made, "x").after if part.kind == "bytecode"]
    assert (part.owner, part.bytes) == ("numpy", 5)


def test_two_packages_of_one_name_stay_two() -> None:
    parts = (
        Part("openssl", "conda", "library", 1, 10),
        Part("openssl", "debian", "library", 1, 5),
        Part("numpy", "conda", "library", 1, 1),
    )
    assert [item.name for item in by_owner(parts)] == [
        "openssl (conda)",
        "openssl (debian)",
        "numpy",
    ]


def test_recompressed_layers_are_pulled_again(tmp_path: Path) -> None:
    from slimpack.report.sharing import sharing

    made = image(*layers(tmp_path))
    shared = sharing(made.plain(), made)
    assert {layer.state for layer in shared.layers} == {"recompressed"}
    assert shared.kept == 0
    assert shared.pulled_stacked == 0
