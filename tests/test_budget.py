"""Sizes, limits and who exceeds them."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.budget.judge import Check, judge
from slimpack.budget.measure import (
    Layer,
    Measured,
    Usage,
    is_report,
    measure,
    parse_report,
    read_report,
)
from slimpack.config import BudgetConfig
from slimpack.config_file import read_config
from slimpack.errors import InputError
from slimpack.oci.archive import write_archive
from slimpack.oci.index import Index
from slimpack.oci.layout import write_layout
from slimpack.sizes import Growth, parse_growth, parse_size
from tests.report.samples import image, layers, sample
from tests.support.channel import Run

MB = 10**6


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0 B", 0),
        ("12B", 12),
        ("1 kB", 1000),
        ("1 KiB", 1024),
        ("200 MB", 200 * MB),
        ("200MiB", 200 << 20),
        ("1.5 GB", 1_500_000_000),
        ("1.5 GiB", 3 << 29),
        ("0.1 MB", 100_000),
        ("2 TB", 2 * 10**12),
        ("2 TiB", 2 << 40),
    ],
)
def test_sizes_are_decimal_or_binary_as_written(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("200", "has no unit"),
        ("200 mb", "did you mean 'MB'?"),
        ("200 KB", "did you mean 'kB'?"),
        ("200 kib", "did you mean 'KiB'?"),
        ("200 M", "unknown unit 'M'"),
        ("200 Mbit", "unknown unit 'Mbit'"),
        ("-1 MB", "expected a size"),
        ("1e3 MB", "expected a size"),
        ("1,5 MB", "expected a size"),
        ("1.5 B", "no parts of bytes"),
        (" 1 MB", "expected a size"),
        ("1 MB\n", "expected a size"),
        ("1  MB", "expected a size"),
        ("٣ MB", "expected a size"),
        ("", "expected a size"),
        ("9" * 16 + " MB", "expected a size"),
    ],
)
def test_what_is_no_size_says_what_is(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_size(text)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        assert parse_size(text) >= 0
    except ValueError as error:
        assert str(error)


@given(st.integers(0, 10**12), st.sampled_from(["B", "kB", "MB", "KiB", "MiB", "GiB"]))
def test_sizes_come_back(number: int, unit: str) -> None:
    one = parse_size(f"1 {unit}")
    assert parse_size(f"{number} {unit}") == parse_size(f"{number}{unit}") == number * one


def test_growth_is_a_part_or_a_size() -> None:
    assert parse_growth("5 %") == Growth("5 %", Fraction(1, 20))
    assert parse_growth("0.5%").allowed(1000) == 5
    assert parse_growth("10 MB").allowed(1) == 10 * MB
    with pytest.raises(ValueError, match="or a part, such as '5 %'"):
        parse_growth("5")


def package(name: str, size: int, *, origin: str = "conda", **more: object) -> Usage:
    fields = {"version": "1.0", "files": 10, "compressed": size // 2, "layer": 1, **more}
    return Usage(name, origin, bytes=size, **fields)  # type: ignore[arg-type]


MEASURED = Measured(
    label="serve:1.0",
    digest="sha256:1",
    compressed=100 * MB,
    unpacked=200 * MB,
    files=1000,
    layers=(Layer("base", 10 * MB), Layer("torch", 60 * MB), Layer("", 30 * MB)),
    packages=(
        package("torch", 120 * MB, files=700),
        package("numpy", 40 * MB, layer=2),
        package("My_Wheel", 20 * MB, origin="pypi", layer=2),
        package("libc6", 15 * MB, origin="debian", layer=0),
        package("/app", 5 * MB, origin="", version="", layer=2),
    ),
)


def checks(baseline: Measured | None = None, **limits: object) -> list[Check]:
    return list(judge(MEASURED, BudgetConfig(**limits), baseline).checks)  # type: ignore[arg-type]


def test_a_limit_holds_up_to_the_last_byte() -> None:
    (at,) = checks(image=100 * MB)
    (over,) = checks(image=100 * MB - 1)
    assert (at.exceeded, at.culprits, at.percent) == (False, (), 100)
    assert over.exceeded
    assert [one.name for one in over.culprits[:2]] == ["torch", "numpy"]
    assert over.culprits[0].amount == 60 * MB


def test_each_limit_of_the_image() -> None:
    found = checks(image=1, unpacked=1, files=1, layers=2, layer=10**9)
    assert [(one.limit, one.actual) for one in found] == [
        ("image", 100 * MB),
        ("unpacked", 200 * MB),
        ("files", 1000),
        ("layers", 3),
        ("layer", 60 * MB),
    ]
    assert [one.exceeded for one in found] == [True, True, True, True, False]
    assert found[2].culprits[0].name == "torch"
    assert found[2].culprits[0].amount == 700


def test_every_layer_that_is_too_big_is_told_with_what_is_in_it() -> None:
    found = checks(layer=25 * MB)
    assert [(one.subject, one.exceeded) for one in found] == [("torch", True), ("number 2", True)]
    assert [one.name for one in found[1].culprits] == ["numpy", "My_Wheel", "/app"]
    (biggest,) = checks(layer=60 * MB)
    assert biggest.subject == "torch"


def test_the_most_exact_pattern_counts_for_a_package() -> None:
    patterns = (("*", 10 * MB), ("tor*", 50 * MB), ("torch", 150 * MB), ("my-wheel", 20 * MB))
    found = checks(packages=patterns)
    assert [(one.limit, one.subject, one.exceeded) for one in found] == [
        ("packages.*", "numpy 1.0", True),
        ("packages.*", "libc6 1.0", True),
        ("packages.torch", "torch 1.0", False),
        ("packages.my-wheel", "My_Wheel 1.0", False),
    ]


def test_files_of_no_package_are_meant_by_their_folder_only() -> None:
    assert [one.subject for one in checks(packages=(("/app", 1),))] == ["/app"]
    assert [one.subject for one in checks(packages=(("/*", 1),))] == ["/app"]
    subjects = [one.subject for one in checks(packages=(("*", 0),))]
    assert len(subjects) == 4
    assert "/app" not in subjects


def test_a_package_that_is_not_there_is_told() -> None:
    budget = BudgetConfig(packages=(("tensorflow", 0), ("torch", 10**9), ("my_wheel", 10**9)))
    assert judge(MEASURED, budget).absent == ("tensorflow",)


BEFORE = Measured(
    label="old",
    digest="sha256:0",
    compressed=80 * MB,
    unpacked=150 * MB,
    files=900,
    layers=(),
    packages=(
        package("torch", 110 * MB, version="0.9"),
        package("numpy", 60 * MB),
        package("my-wheel", 20 * MB, origin="pypi"),
    ),
)


def test_growth_names_who_grew_most_first() -> None:
    (check,) = checks(BEFORE, max_growth=parse_growth("5 %"))
    assert (check.allowed, check.actual, check.exceeded) == (4 * MB, 20 * MB, True)
    assert [(one.name, one.version, one.amount) for one in check.culprits] == [
        ("libc6", "1.0 (new)", 7_500_000),
        ("torch", "0.9 -> 1.0", 5 * MB),
        ("/app", "(new)", 2_500_000),
    ]
    (fine,) = checks(BEFORE, max_growth=parse_growth("20 MB"))
    assert not fine.exceeded


def test_what_shrinks_does_not_grow() -> None:
    verdict = judge(BEFORE, BudgetConfig(max_growth=parse_growth("0 %")), MEASURED)
    assert verdict.checks[0].actual == -20 * MB
    assert not verdict.exceeded


@pytest.mark.parametrize(
    ("limits", "baseline", "said"),
    [
        ({}, None, "nothing that the image could exceed"),
        ({"max_growth": parse_growth("1 %")}, None, "nothing to compare with"),
        ({"image": 1}, BEFORE, "no limit for growth"),
    ],
)
def test_limits_that_say_nothing_are_refused(
    limits: dict[str, object], baseline: Measured | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        checks(baseline, **limits)


def test_an_image_is_measured_as_its_report_says(tmp_path: Path, run: Run) -> None:
    made = sample(tmp_path)
    write_archive(made, tmp_path / "a.tar", ("serve:1.0",))
    measured = measure(made, "serve:1.0")
    report = run("report", "a.tar", "--json", cwd=tmp_path).stdout
    parsed = parse_report(report.encode(), "r.json")
    assert parsed.compressed == measured.compressed == made.size
    assert (parsed.unpacked, parsed.files) == (measured.unpacked, measured.files)
    plain = {(one.name, one.origin, one.version, one.bytes, one.files) for one in parsed.packages}
    assert plain == {
        (one.name, one.origin, one.version, one.bytes, one.files) for one in measured.packages
    }
    assert ("My-Wheel", "pypi", "2.0") in {one[:3] for one in plain}
    assert sum(one.bytes for one in measured.packages) == measured.unpacked
    (tmp_path / "r.json").write_text(report)
    assert is_report(tmp_path / "r.json")
    assert not is_report(tmp_path / "a.tar")
    assert not is_report(tmp_path)
    assert read_report(tmp_path / "r.json").packages == parsed.packages


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "{}",
        '{"compressed": -1}',
        '{"compressed": 1, "unpacked": 1, "files": 1, "layers": [1]}',
        '{"compressed": 1, "unpacked": 1, "files": 1, "layers": [{"compressed": "x"}]}',
        '{"compressed": 1, "unpacked": 1, "files": 1, "after": [{"owner": "a"}]}',
        '{"compressed": 1, "compressed": 2}',
        '{"a": ' * 100_000,
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, data: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(data)
    with pytest.raises(InputError, match=r"r\.json"):
        read_report(path)


# The command line.


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_archive(sample(tmp_path), folder / "a.tar", ("serve:1.0",))
    write_layout(image(*layers(tmp_path)[:2]), folder / "old", ())
    (folder / "no.json").write_text("{}")
    return folder


def test_an_image_within_its_budget(images: Path, run: Run) -> None:
    (images / "slimpack.toml").write_text('[budget]\nof = "a.tar"\nimage = "1 MB"\nlayers = 3\n')
    done = run("budget", cwd=images)
    assert re.search(r"(?m)^image +1\.0 MB +\d\.\d kB +0 % +ok$", done.stdout), done.stdout
    assert re.search(r"(?m)^layers +3 +3 +100 % +ok$", done.stdout)
    assert done.stderr == ""
    assert run("budget", "-q", cwd=images).stdout == ""


def test_the_culprits_are_named_and_the_exit_code_says_so(images: Path, run: Run) -> None:
    (images / "slimpack.toml").write_text(
        '[budget]\nunpacked = "60 kB"\n[budget.packages]\nnumpy = "20 kB"\n"*" = "1 MB"\n'
    )
    done = run("budget", "a.tar", cwd=images, code=11)
    assert "exceeded" in done.stdout
    assert "error: serve:1.0 exceeds 2 limits" in done.stderr
    assert re.search(r"unpacked: \d+\.\d kB of 60\.0 kB allowed\n +\d+\.\d kB  numpy", done.stderr)
    assert "packages.numpy (numpy 1.0): 53.3 kB of 20.0 kB allowed" in done.stderr


def test_flags_win_over_the_file(images: Path, run: Run) -> None:
    (images / "slimpack.toml").write_text(
        '[budget]\nof = "a.tar"\nimage = "1 B"\n[budget.packages]\nnumpy = "1 B"\n'
    )
    raised = ("--max-image", "1 MB", "--max-package", "numpy=1 MB")
    run("budget", *raised, cwd=images)
    run("budget", *raised, "--max-files", "1", cwd=images, code=11)


def test_growth_against_an_image_and_a_report(images: Path, run: Run) -> None:
    (images / "old.json").write_text(run("report", "old", "--json", cwd=images).stdout)
    for baseline in ("old", "old.json"):
        done = run(
            "budget", "a.tar", "--against", baseline, "--max-growth", "1 %", cwd=images, code=11
        )
        assert "max_growth: +" in done.stderr
        assert "My-Wheel 2.0 (new)" in done.stderr
        assert "note: compared with sha256:" in done.stdout
    run("budget", "a.tar", "--against", "old", "--max-growth", "1 MB", cwd=images)


def test_each_image_of_an_index_is_checked(tmp_path: Path, run: Run) -> None:
    made = layers(tmp_path)
    both = Index((image(*made), image(*made[:1], architecture="arm64")))
    write_layout(both, tmp_path / "both", ("serve:1.0",))
    limit = ("budget", "both", "--max-unpacked", "20 kB")
    done = run(*limit, cwd=tmp_path, code=11)
    assert "error: serve:1.0 for linux/amd64 exceeds 1 limit\n" in done.stderr
    assert done.stdout.count("digest ") == 2
    found = json.loads(run(*limit, "--json", cwd=tmp_path, code=11).stdout)
    assert (found["ok"], [one["ok"] for one in found["images"]]) == (False, [False, True])
    run(*limit, "--platform", "linux/arm64", cwd=tmp_path)


def test_json_is_whole_whatever_the_verdict(images: Path, run: Run) -> None:
    good = json.loads(run("budget", "a.tar", "--max-image", "1 MB", "--json", cwd=images).stdout)
    bad = run("budget", "a.tar", "--max-image", "1 kB", "--json", cwd=images, code=11)
    found = json.loads(bad.stdout)
    assert (good["ok"], found["ok"]) == (True, False)
    (check,) = found["checks"]
    assert check["limit"] == "image"
    assert check["allowed"] == 1000
    assert check["actual"] > 1000
    assert check["exceeded"]
    assert check["culprits"][0]["name"] == "numpy"
    assert found["digest"].startswith("sha256:")


def test_markdown_for_the_summary_of_a_job(images: Path, run: Run) -> None:
    shown = run("budget", "a.tar", "--max-unpacked", "1 kB", "--markdown", cwd=images, code=11)
    lines = shown.stdout.splitlines()
    assert lines[0] == r"### serve\:1.0 exceeds its budget"
    tables = [line for line in lines if line.startswith("|")]
    # A bar or a tick in a cell would be another column.
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {6, 3}
    assert any(line.startswith("| numpy 1.0 |") for line in tables)


def test_names_of_an_image_are_no_markup(tmp_path: Path, run: Run) -> None:
    hostile = layers(tmp_path)[0]
    made = image(hostile)
    write_archive(made, tmp_path / "x|<img src=x>`a`.tar", ())
    done = run("budget", "x|<img src=x>`a`.tar", "--max-image", "1 GB", "--markdown", cwd=tmp_path)
    first = done.stdout.splitlines()[0]
    assert first == r"### x\|\<img src=x\>\`a\`.tar is within its budget"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no image to check"),
        (("a.tar",), "nothing that the image could exceed"),
        (("a.tar", "--max-image", "5"), "has no unit"),
        (("a.tar", "--max-package", "torch"), "expected NAME=SIZE"),
        (("a.tar", "--max-package", "torch=5 mb"), "did you mean 'MB'"),
        (("a.tar", "--max-growth", "5 %"), "nothing to compare with"),
        (("a.tar", "--max-growth", "x", "--against", "old"), "or a part, such as '5 %'"),
        (("none.tar", "--max-image", "1 B"), "none.tar does not exist"),
        (("a.tar", "--max-growth", "1 %", "--against", "none"), "none does not exist"),
        (("a.tar", "--max-growth", "1 %", "--against", "no.json"), "no.json is no report"),
        (("a.tar", "--max-image", "1 B", "--json", "--markdown"), "exclude each other"),
    ],
)
def test_mistakes_are_told(images: Path, run: Run, arguments: tuple[str, ...], said: str) -> None:
    assert said in run("budget", *arguments, cwd=images, code=2).stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image = 200", "budget.image: expected a string"),
        ('image = "200"', "budget.image: '200' has no unit"),
        ('imge = "1 MB"', "did you mean 'image'?"),
        ('max_growth = "5"', "budget.max_growth:"),
        ("files = -1", "budget.files: expected 0 to"),
        ('[budget.packages]\ntorch = "1 mb"', "budget.packages.torch:"),
        ('[budget.packages]\ntorch = ""', "budget.packages.torch: expected a size"),
    ],
)
def test_mistakes_in_the_file_are_told_with_their_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "slimpack.toml"
    path.write_text(f"[budget]\n{text}\n")
    with pytest.raises(InputError, match=re.escape(said.partition("?")[0])) as caught:
        read_config(path)
    assert said in str(caught.value)
    assert str(path) in caught.value.message
