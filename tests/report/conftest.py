from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.report.checks import parse_checks
from slimpack.report.data import Report, gather
from slimpack.report.imports import parse_importtime
from slimpack.report.parts import Part
from tests.report.samples import CHECKS, IMPORT_TIMES, image, layers, sample


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A report with every section."""
    return gather(
        sample(tmp_path),
        "serve:1.0",
        other=image(*layers(tmp_path, version="0.9")),
        other_name="serve:0.9",
        checks=parse_checks(json.dumps(CHECKS).encode(), "x"),
        start_up=parse_importtime(IMPORT_TIMES, "x"),
    )


@pytest.fixture
def plain(tmp_path: Path) -> Report:
    """A report of an image that slimpack did not slim, with nothing else known."""
    return gather(sample(tmp_path, slimmed=False), "plain:1.0")


HOSTILE = [
    "</script><script>document.title='broken'</script>",
    '"><img src=x onerror="document.title=1">',
    "numpy\u202egnp.exe",
    "'onfocus='document.title=2",
    "\x00\x1b[31mred\udcff",
    "&" * 5000,
    "\U0001f40d" * 300,
]


@pytest.fixture
def hostile(report: Report) -> Report:
    """A report whose every text is hostile, of 10,000 packages and huge sizes."""
    names = [*HOSTILE, *(f"{HOSTILE[n % 7][:80]}{n}" for n in range(10_000))]
    parts = tuple(
        Part(name, "conda", HOSTILE[n % 3], 10**12, 10**18 // (n + 1), 10**17)
        for n, name in enumerate(names)
    )
    row, layer = report.packages[0], report.layers[0]
    assert report.slimming
    assert report.checks
    assert report.start_up
    rule = replace(report.slimming.rules[0], name=HOSTILE[0], reason=HOSTILE[1], parts=parts)
    check = replace(report.checks.results[1], name=HOSTILE[0], explanation=HOSTILE[5])
    finding = replace(check.findings[0], path=HOSTILE[0], message=HOSTILE[5], fix=HOSTILE[1])
    check = replace(check, findings=(finding,) * 5000)
    module = replace(report.start_up.imports[0], module=HOSTILE[0] * 3)
    return replace(
        report,
        name=HOSTILE[0],
        platform=HOSTILE[1],
        after=parts,
        before=parts,
        other=HOSTILE[0],
        slimming=replace(
            report.slimming,
            profile=HOSTILE[0],
            prefix=HOSTILE[1],
            rules=(rule,) * 2000,
            packages=tuple(names),
        ),
        layers=(replace(layer, name=HOSTILE[0]),) * 1 + report.layers[1:],
        packages=tuple(replace(row, name=name, version=name, license=name) for name in names),
        checks=replace(report.checks, results=(check,) * 1000),
        start_up=replace(report.start_up, imports=(module,) * 5000),
    )
