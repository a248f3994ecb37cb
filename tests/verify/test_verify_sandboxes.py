"""Imports and smoke tests in a built image, in every sandbox, with planted faults."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.config import SmokeTest, VerifyConfig
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.read import read_image
from slimpack.sandbox import Sandbox
from slimpack.tree import bytes_entry
from slimpack.verify.opening import open_image
from slimpack.verify.subject import Subject
from slimpack.verify.verifying import choose_checks, verify
from tests.sandbox.conftest import NAMES, find
from tests.support.images import Built

pytestmark = [pytest.mark.channel, pytest.mark.network]

SITE = "opt/env/lib/python3.11/site-packages"
USER = "import os\nassert (os.getuid(), os.getcwd()) == (65532, '/app'), os.getuid()\n"
PLANTED = {
    "as_the_user": USER,
    "broken": "1 / 0\n",
    "crashes": "import ctypes\nctypes.string_at(0)\n",
    "leaves": "import os\nos._exit(0)\n",
    "not_there": "import pkg_that_nobody_has\n",
    "writes": "open('/opt/env/x', 'w')\n",
    "zebra": "print('fine')\n",
}


@pytest.fixture(scope="module")
def whole(python_image: Built) -> Image:
    return read_image(python_image.tar)


@pytest.fixture(scope="module")
def planted(whole: Image) -> Iterator[Subject]:
    """That image with modules on top that nobody would want, unpacked where all may go."""
    entries = [bytes_entry(f"{SITE}/{name}.py", text.encode()) for name, text in PLANTED.items()]
    with tempfile.TemporaryDirectory(prefix="slimpack-test-") as name:
        Path(name).chmod(0o755)
        layer = build_layer(
            "faults",
            [*entries, bytes_entry("app/x", b"")],
            blobs=BlobStore(Path(name) / "blobs", durable=False),
            mtime=0,
            compression=Compression("zstd", 3, 1),
        )
        image = make_image([layer], ImageConfig(workdir="/app"), base=whole)
        yield open_image(image, Path(name) / "root", "planted")


@pytest.fixture(params=NAMES)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox, or the reason why it does not work here."""
    return find(request.param)


def test_a_built_image_passes_every_check(whole: Image, tmp_path: Path) -> None:
    done = verify(open_image(whole, tmp_path / "root", "whole"))
    assert [(one.name, one.skipped) for one in done.results if not one.passed] == [
        ("smoke", "no [[verify.smoke]] is configured")
    ]
    assert done.counts() | {"info": 0} == {"error": 0, "warning": 0, "info": 0}
    assert done.sandbox


def test_faults_are_found_in_every_sandbox(planted: Subject, sandbox: Sandbox) -> None:
    config = VerifyConfig(
        sandbox=sandbox.name,
        smoke=(
            SmokeTest(("python", "-c", "import json, os; assert os.getuid() == 65532")),
            SmokeTest(("python", "-c", "import sys; sys.exit('told')")),
            SmokeTest(("sh", "-c", "true")),
            SmokeTest(("python", "-c", "import time; time.sleep(600)"), timeout=5),
        ),
    )
    done = verify(planted, config, checks=choose_checks(["imports", "smoke", "bytecode"], []))
    assert done.sandbox == sandbox.name
    bytecode, imports, smoke = done.results
    found = {
        finding.message.split()[1]: imports.severity_of(finding)
        for finding in imports.findings
        if imports.severity_of(finding) != "info"
    }
    assert found == {
        "broken": "error",
        "crashes": "error",
        "leaves": "error",
        "not_there": "warning",
        "writes": "error",
    }
    messages = "\n".join(finding.message for finding in imports.findings)
    assert "ZeroDivisionError: division by zero (/opt/env/lib/python3.11/" in messages
    assert "ended by signal 11" in messages
    assert len(smoke.findings) == 3
    text = " ".join(finding.message for finding in smoke.findings)
    assert "failed with exit code 1: told" in text
    assert "failed with exit code 127" in text
    assert "did not end within 5 seconds" in text
    assert bytecode.passed
