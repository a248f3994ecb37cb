"""The commands of docs/registries.md, run as they are shown, on a registry of this process."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from slimpack.oci.layout import write_layout
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from tests.oci.oci_images import sample_image
from tests.registry.conftest import reference
from tests.registry.fake import Fake
from tests.registry.test_bases import base_image
from tests.registry.tokens import BasicGuard
from tests.support.channel import ROOT, MiniChannel, Run

TEXT = (ROOT / "docs/registries.md").read_text(encoding="utf-8")
IMAGES, BASE, LOGIN = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"SLIMPACK_CACHE_DIR": str(tmp_path / "cache")}


def test_images(fake: Fake, run: Run, tmp_path: Path, own: dict[str, str]) -> None:
    write_layout(sample_image(tmp_path / "made"), tmp_path / "serve", ["serve:1.0"])
    lines = IMAGES.replace("ghcr.io", fake.host).splitlines()
    assert len(lines) == 4
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "slimpack"
        assert run(*arguments, cwd=tmp_path, env=own).stdout
    assert (tmp_path / "copy.tar").is_file()


def test_a_base(
    fake: Fake,
    run: Run,
    tmp_path: Path,
    own: dict[str, str],
    mini: MiniChannel,
    registries: Registries,
) -> None:
    base = base_image(tmp_path / "made")
    push(base, [reference(fake, "distroless/base-nossl-debian12:1")], registries)
    mini.add("tool", {"share/tool.txt": "hello\n"})
    (tmp_path / "environment.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [tool]\n")
    line = BASE.replace("gcr.io", fake.host).replace("sha256:...", base.digest)
    program, *arguments = shlex.split(line)
    assert program == "slimpack"
    done = run(*arguments, "--platform", "linux/amd64", cwd=tmp_path, env=own)
    assert "may be another one tomorrow" not in done.stdout
    told = run("inspect", "serve.tar", "--json", cwd=tmp_path, env=own).stdout
    assert base.layers[0].digest in told


def test_a_login(fake: Fake, tmp_path: Path, own_home: Path) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    (tmp_path / "token").write_text("pass-word-9\n")
    script = LOGIN.replace("ghcr.io", fake.host).replace(
        "slimpack ", f"{shlex.quote(sys.executable)} -m slimpack "
    )
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"logged in to {fake.host}" in done.stdout
    assert f"removed from {own_home}/.docker/config.json" in done.stdout
