"""Real images on real bases: Debian's packages, the local channel, a real registry."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.setup.registry import docker_registry
from slimpack.oci.image import Image
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import read_files
from slimpack.oci.validate import validate
from tests.support.channel import ROOT, Run, missing
from tests.support.images import Built

pytestmark = [pytest.mark.channel, pytest.mark.network]
# One more package than distroless has, and another setting: as a fix of Debian would come.
NEWER = """\
extends = "distroless"
description = "for tests"
[env]
ADDED = "1"
[debian]
packages = ["base-files", "ca-certificates", "hostname", "libc-bin", "libc6", "media-types",
  "netbase", "tzdata"]
"""
POORER = """\
extends = "distroless"
description = "for tests"
[debian]
packages = ["base-files", "libc-bin", "libc6", "media-types", "netbase"]
"""


@pytest.fixture
def built(python_image: Built) -> Image:
    return read_image(python_image.layout)


def rebased(run: Run, folder: Path, *arguments: object) -> dict[str, Any]:
    return dict(json.loads(run("rebase", *arguments, "--json", cwd=folder).stdout))


def test_the_base_that_it_has_gives_the_same_digest(
    built: Image, python_image: Built, run: Run, tmp_path: Path
) -> None:
    told = rebased(run, tmp_path, python_image.tar, "-o", "same.tar")
    assert (told["changed"], told["digest"]) == (False, built.digest)
    assert (tmp_path / "same.tar").read_bytes() == python_image.tar.read_bytes()


@pytest.mark.parametrize(("name", "text"), [("distroless-trixie", ""), ("newer.toml", NEWER)])
def test_a_rebase_is_a_build_on_the_new_base(
    python_image: Built, channel: str, run: Run, tmp_path: Path, name: str, text: str
) -> None:
    if text:
        (tmp_path / name).write_text(text)
    runtime = f"./{name}" if text else name
    told = rebased(run, tmp_path, python_image.layout, "--runtime", runtime, "-o", "moved/")
    assert told["changed"]
    assert told["images"][0]["verified"]["passed"]

    spec = tmp_path / "environment.yml"
    spec.write_text("dependencies: [python =3.11, click]\n")
    command = ("build", spec, "-c", channel, "--runtime", runtime, "--glibc", "2.36", "-q")
    anew = run(*command, "--no-verify", "-o", "anew/", cwd=tmp_path).stdout.strip()
    assert told["digest"] == anew
    moved = read_image(tmp_path / "moved")
    validate(moved, blobs=True)
    old = read_image(python_image.layout)
    assert [layer.digest for layer in moved.layers[1:]] == [x.digest for x in old.layers[1:]]
    env = dict(moved.config.env)
    if text:
        assert env["ADDED"] == "1"
        assert [one["name"] for one in told["images"][0]["changes"]] == ["hostname"]
        assert moved.history[0].created_by == "runtime newer"
    else:
        assert told["images"][0]["glibc"] == {"old": "2.36", "new": "2.41"}
        (release,) = read_files(moved, lambda path: path == "usr/lib/os-release").values()
        assert b"trixie" in release


def test_the_commands_of_the_document_work(python_image: Built, run: Run, tmp_path: Path) -> None:
    text = (ROOT / "docs/rebase.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shutil.copy(python_image.tar, tmp_path / "serve.tar")
    for line in block.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "slimpack"
        assert "digest    sha256:" in run(*arguments, cwd=tmp_path).stdout
    assert (tmp_path / "newer.tar").read_bytes() == python_image.tar.read_bytes()
    assert (tmp_path / "debian13/oci-layout").is_file()


@pytest.mark.sandbox
def test_all_modules_are_imported_on_the_new_base(
    python_image: Built, run: Run, tmp_path: Path
) -> None:
    told = rebased(
        run,
        tmp_path,
        python_image.layout,
        "--runtime",
        "distroless-trixie",
        "--verify",
        "--dry-run",
    )
    (image,) = told["images"]
    assert image["verified"]["sandbox"]
    imports = next(check for check in image["verified"]["checks"] if check["name"] == "imports")
    assert imports["passed"]


def test_bases_that_do_not_fit(python_image: Built, run: Run, tmp_path: Path) -> None:
    (tmp_path / "poorer.toml").write_text(POORER)
    poorer = ("rebase", python_image.layout, "--runtime", "./poorer.toml", "-o", "no.tar")
    done = run(*poorer, cwd=tmp_path, code=11)
    assert "it has no /etc/ssl/certs/ca-certificates.crt" in done.stderr
    assert "it has no /usr/share/zoneinfo" in done.stderr
    assert not (tmp_path / "no.tar").exists()


def test_back_to_an_older_glibc(python_image: Built, run: Run, tmp_path: Path) -> None:
    forth = ("--runtime", "distroless-trixie", "--no-verify", "-o", "moved/")
    run("rebase", python_image.layout, *forth, cwd=tmp_path)
    done = run("rebase", "moved/", "--runtime", "distroless", "-o", "no/", cwd=tmp_path, code=11)
    assert "it has glibc 2.36, and the image was solved for 2.41" in done.stderr
    assert not (tmp_path / "no").exists()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The host of a real registry."""
    if shutil.which("docker-registry") is None:
        missing("PEERS", "docker-registry is not installed")
    with docker_registry(tmp_path / "registry") as host:
        yield host


def test_in_a_real_registry(python_image: Built, registry: str, run: Run, tmp_path: Path) -> None:
    name = f"{registry}/app:1"
    run("push", python_image.layout, name, cwd=tmp_path)
    moved = rebased(run, tmp_path, name, "--runtime", "distroless-trixie", "--push", name)
    assert moved["pushed"]["sent"] < moved["images"][0]["replaced"] + 100_000
    assert moved["pushed"]["present"] >= moved["images"][0]["kept"]
    run("pull", name, "-o", "pulled/", cwd=tmp_path)
    pulled = read_image(tmp_path / "pulled")
    validate(pulled, blobs=True)
    assert pulled.digest == moved["digest"]
    checked = run("rebase", name, "--check", cwd=tmp_path)
    assert "the newest already" in checked.stdout
