"""The commands that talk to registries, from the command line to a registry and back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.config import Platform
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Index, images_of
from slimpack.oci.layout import write_artifacts, write_layout
from slimpack.oci.read import read_deliverable, read_image
from slimpack.oci.validate import validate
from tests.oci.oci_images import sample_config, sample_image
from tests.registry.conftest import random_image
from tests.registry.fake import Fake, Handler
from tests.registry.tokens import BasicGuard
from tests.support.channel import ROOT, Run

ARM = Platform("linux", "arm64")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image, ``layout``, and an index of two, ``both``."""
    work = tmp_path / "work"
    work.mkdir()
    one = sample_image(tmp_path / "made")
    write_layout(one, work / "layout", ["serve:1"])
    config = replace(sample_config(), architecture="arm64")
    arm = make_image(random_image(tmp_path / "arm", 500).layers, config)
    write_layout(Index((one, arm)), work / "both", ["serve:2"])
    return work


@pytest.fixture
def own_cache(tmp_path: Path) -> dict[str, str]:
    return {"SLIMPACK_CACHE_DIR": str(tmp_path / "cache")}


def test_push_and_pull(fake: Fake, run: Run, folder: Path, own_cache: dict[str, str]) -> None:
    names = f"{fake.host}/app:1", f"{fake.host}/app:2"
    done = run("push", "layout", *names, "--json", cwd=folder, env=own_cache)
    answer = json.loads(done.stdout)
    image = read_image(folder / "layout")
    assert answer["digest"] == image.digest
    assert answer["references"] == list(names)
    assert answer["sent"] > 0
    assert {json.loads(line)["task"] for line in done.stderr.splitlines()} == {"push"}

    done = run("push", "layout", names[0], cwd=folder, env=own_cache)
    assert f"digest    {image.digest}" in done.stdout
    assert f"pushed    {names[0]}" in done.stdout
    assert "sent      0.0 MB" in done.stdout
    done = run("push", "layout", names[0], "-q", cwd=folder, env=own_cache)
    assert (done.stdout, done.stderr) == (f"{image.digest}\n", "")

    done = run("pull", names[1], "-o", "copy.tar", "-o", "copy/", cwd=folder, env=own_cache)
    assert f"digest    {image.digest}" in done.stdout
    for name in ("copy.tar", "copy"):
        copy = read_image(folder / name, ref=names[1])
        assert copy.digest == image.digest
        validate(copy, blobs=True)


def test_all_platforms_and_one(
    fake: Fake, run: Run, folder: Path, own_cache: dict[str, str]
) -> None:
    name = f"{fake.host}/app:1"
    both = read_deliverable(folder / "both")
    assert run("push", "both", name, "-q", cwd=folder, env=own_cache).stdout.strip() == both.digest
    done = run("pull", name, "-o", "all/", "--json", cwd=folder, env=own_cache)
    assert json.loads(done.stdout)["platforms"] == ["linux/amd64", "linux/arm64"]
    assert read_deliverable(folder / "all").digest == both.digest

    # As a build with --sbom leaves it: each image's documents stand beside the index.
    for image in images_of(both):
        kind = "application/spdx+json"
        document = Artifact(kind, (Document(kind, b"{}"),), image.descriptor())
        write_artifacts([document], folder / "both")
    assert run("push", "both", name, "-q", cwd=folder, env=own_cache).stdout.strip() == both.digest

    arm = read_image(folder / "both", ARM)
    run("pull", name, "-o", "arm/", "--platform", "linux/arm64", cwd=folder, env=own_cache)
    assert read_image(folder / "arm").digest == arm.digest
    other = f"{fake.host}/app:arm"
    run("push", "both", other, "--platform", "linux/arm64", cwd=folder, env=own_cache)
    assert fake.manifests["app", "arm"][0] == arm.manifest_json


def test_images_in_a_registry_everywhere(
    fake: Fake, run: Run, folder: Path, own_cache: dict[str, str]
) -> None:
    name = f"{fake.host}/app:1"
    run("push", "layout", name, cwd=folder, env=own_cache)
    here = run("inspect", "layout", "--json", cwd=folder, env=own_cache).stdout
    there = run("inspect", name, "--json", cwd=folder, env=own_cache).stdout
    assert here == there
    run("diff", "layout", name, "--exit-code", cwd=folder, env=own_cache)
    done = run("report", name, cwd=folder, env=own_cache)
    assert name in done.stdout
    done = run("report", "layout", "--with", name, cwd=folder, env=own_cache)
    assert name in done.stdout
    done = run("push", name, f"{fake.host}/copy:1", "--json", cwd=folder, env=own_cache)
    assert json.loads(done.stdout)["sent"] == 0


def test_an_image_in_a_registry_is_verified(
    fake: Fake, run: Run, folder: Path, own_cache: dict[str, str]
) -> None:
    name = f"{fake.host}/app:1"
    run("push", "layout", name, cwd=folder, env=own_cache)
    check = ("--sandbox", "none", "--check", "modes", "--before", "layout")
    done = run("verify", name, *check, cwd=folder, env=own_cache)
    assert f"subject   {name} (image, linux/amd64)" in done.stdout


def test_a_registry_that_is_not_there(run: Run, folder: Path, own_cache: dict[str, str]) -> None:
    done = run("inspect", "127.0.0.1:9/app", cwd=folder, env=own_cache, code=12)
    assert "error: connecting to 127.0.0.1:9" in done.stderr
    assert "there is no file of that name here" in done.stderr
    done = run("inspect", "no-such-file", cwd=folder, env=own_cache, code=2)
    assert "no-such-file does not exist" in done.stderr


def test_what_cannot_be_pushed_or_pulled(
    fake: Fake, run: Run, folder: Path, own_cache: dict[str, str]
) -> None:
    done = run("push", "layout", "UPPER", cwd=folder, env=own_cache, code=2)
    assert "'UPPER' is not a name for an image" in done.stderr
    for arguments in (
        ("push", "layout", "./both"),
        ("pull", "./layout", "-o", "x.tar"),
        ("attest", "./layout", "--sbom", "spdx"),
    ):
        done = run(*arguments, cwd=folder, env=own_cache, code=2)
        assert "that is a path" in done.stderr
    done = run("pull", f"{fake.host}/x", "-o", "x.zip", cwd=folder, env=own_cache, code=2)
    assert "x.zip: expected FILE.tar" in done.stderr
    done = run("pull", f"{fake.host}/x", "-o", "x.tar", cwd=folder, env=own_cache, code=12)
    assert "answered 404" in done.stderr
    assert "no file of that name" not in done.stderr  # none was looked for
    done = run("inspect", f"{fake.host}/x", "--ref", "y", cwd=folder, env=own_cache, code=2)
    assert "names one image" in done.stderr
    assert not (folder / "x.tar").exists()


def test_a_login_is_asked_for(
    fake: Fake, run: Run, folder: Path, own_cache: dict[str, str]
) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    done = run("push", "layout", f"{fake.host}/app:1", cwd=folder, env=own_cache, code=12)
    assert "answered 401, asked without credentials" in done.stderr
    assert "slimpack login" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_push_ends_at_once(
    fake: Fake, folder: Path, own_cache: dict[str, str], image: Image, number: signal.Signals
) -> None:
    write_layout(image, folder / "large")
    waiting: list[bool] = []

    def never(handler: Handler) -> None:
        waiting.append(True)
        time.sleep(120)

    fake.on("PUT", "/uploads/", never, times=99)
    process = subprocess.Popen(
        [sys.executable, "-m", "slimpack", "push", "large", f"{fake.host}/app:1"],
        cwd=folder,
        env={**os.environ, **own_cache, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not waiting:
        time.sleep(0.02)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert "Traceback" not in told
    assert fake.manifests == {}


def test_a_killed_pull_is_gone_on_with(
    fake: Fake, run: Run, folder: Path, own_cache: dict[str, str], image: Image
) -> None:
    write_layout(image, folder / "large")
    name, layer = f"{fake.host}/app:1", image.layers[0]
    run("push", "large", name, cwd=folder, env=own_cache)
    data = fake.blobs["app"][layer.digest]

    def half(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:2_000_000])
        handler.wfile.flush()
        time.sleep(120)

    fake.on("GET", layer.digest, half)
    process = subprocess.Popen(
        [sys.executable, "-m", "slimpack", "pull", name, "-o", "copy.tar", "-q"],
        cwd=folder,
        env={**os.environ, **own_cache, "PYTHONPATH": str(ROOT)},
    )
    partial = Path(own_cache["SLIMPACK_CACHE_DIR"], "blobs", "partial", layer.digest[7:])
    while not partial.exists() or partial.stat().st_size < 1_000_000:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (folder / "copy.tar").exists()
    run("pull", name, "-o", "copy.tar", cwd=folder, env=own_cache)
    assert read_image(folder / "copy.tar").digest == image.digest
    again = fake.asked("GET", layer.digest)[-1].headers["range"]
    assert int(again.removeprefix("bytes=").rstrip("-")) >= 1_000_000
