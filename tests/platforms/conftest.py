"""One project, built for two platforms by one command on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slimpack.oci.config import Platform
from slimpack.oci.image import Image
from slimpack.oci.read import read_image
from slimpack.rootfs import unpack_image
from tests.support.command import call, variables
from tests.support.wheels import wheel

AMD64, ARM64 = "linux/amd64", "linux/arm64"
SPEC = """
channels: ['{channel}']
dependencies:
  - python =3.11
  - numpy
  - click
  - h11
  - activation-probe
  - pip:
      - --no-index
      - --find-links ./wheels
      - native
      - pure
"""
CONFIG = """
[env]
spec = "environment.yml"
platforms = ["linux/amd64", "linux/arm64"]
[image]
name = "both"
tags = ["1"]
entrypoint = ["python", "/app/main.py"]
[app]
prepare = ["python", "make.py"]
[[app.copy]]
from = "app"
to = "/app"
ignore = ["make.py"]
[[verify.smoke]]
command = ["python", "-c", "import numpy; assert numpy.arange(5).sum() == 10"]
"""
MAKE = """
import json, pathlib, platform
import numpy
made = {"machine": platform.machine(), "mean": float(numpy.arange(9.0).mean())}
pathlib.Path("made.json").write_text(json.dumps(made))
"""
# One answer, and then it goes on to serve: the test stops it.
MAIN = """
import http.server, json, os, pathlib, platform, sys
import native, numpy, pure


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        matrix = numpy.array([[3.0, 1.0], [1.0, 2.0]])
        answer = {
            "path": self.path,
            "machine": platform.machine(),
            "native": native.NAME,
            "pure": pure.NAME,
            "solved": numpy.linalg.solve(matrix, numpy.array([9.0, 8.0])).round(9).tolist(),
            "spectrum": abs(numpy.fft.fft(numpy.ones(8))).round(9).tolist(),
            "made": json.loads(pathlib.Path(__file__).with_name("made.json").read_text()),
            "uid": os.getuid(),
            "activated": os.environ["ACTIVATION_PROBE_MODE"],
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class TwoPlatforms:
    """What the build made. result: what it printed with --json."""

    project: Path
    archive: Path
    layout: Path
    result: dict[str, Any]

    def image(self, platform: str) -> Image:
        return read_image(self.archive, Platform.parse(platform))

    def told(self, platform: str) -> dict[str, Any]:
        """Return what the build told of one image."""
        (found,) = [one for one in self.result["images"] if one["platform"] == platform]
        told: dict[str, Any] = found
        return told


def project(folder: Path, channel: str) -> Path:
    """Write the project."""
    (folder / "app").mkdir(parents=True)
    (folder / "environment.yml").write_text(SPEC.format(channel=channel))
    (folder / "slimpack.toml").write_text(CONFIG)
    (folder / "app/make.py").write_text(MAKE)
    (folder / "app/main.py").write_text(MAIN)
    wheels = folder / "wheels"
    wheel(wheels, "pure", files={"pure.py": "NAME = 'pure'\n"})
    for machine in ("x86_64", "aarch64"):
        tag = f"cp311-cp311-manylinux_2_17_{machine}"
        wheel(wheels, "native", files={"native.py": f"NAME = {machine!r}\n"}, tag=tag)
    return folder


@pytest.fixture(scope="session")
def both(channel: str, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TwoPlatforms:
    """The project, built for linux/amd64 and linux/arm64."""
    folder = project(tmp_path_factory.mktemp("both") / "project", channel)
    archive, layout = folder.parent / "image.tar", folder.parent / "layout"
    outputs = ("-o", archive, "-o", f"{layout}/")
    done = call(("build", "--json", *outputs), folder, variables(cache_dir))
    assert done.returncode == 0, done.stderr
    return TwoPlatforms(folder, archive, layout, json.loads(done.stdout))


@pytest.fixture(scope="session")
def roots(both: TwoPlatforms) -> Iterator[dict[str, Path]]:
    """The images, unpacked to folders that every user can reach: platform -> root."""
    with tempfile.TemporaryDirectory(prefix="slimpack-test-") as name:
        Path(name).chmod(0o755)
        found = {}
        for platform in (AMD64, ARM64):
            root = Path(name) / platform.rpartition("/")[2]
            unpack_image(both.image(platform), root)
            found[platform] = root
        yield found
