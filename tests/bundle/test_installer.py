"""``install.sh``: run by the shells that far sides have, with real engines, and refusing damage."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.bundle.contents import Contents, Packed, plan
from slimpack.bundle.installer import PATH, installer
from slimpack.bundle.volumes import list_path
from slimpack.bundle.write import write_bundle
from slimpack.daemon.containerd import Ctr
from slimpack.daemon.podman import Program
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Index, images_of
from tests.bundle.keys import key_pair
from tests.bundle.near import unpacked
from tests.daemon.conftest import containerd, engine, folder, podman_program
from tests.daemon.images import own_image
from tests.portable.environments import programs
from tests.portable.shells import PLAIN, command
from tests.support.channel import missing

__all__ = ["containerd", "engine", "folder", "podman_program"]

NAMES = ("docker.io/slimpack-test/one:1.0", "docker.io/slimpack-test/one:latest")
OTHER = "r.example/slimpack-test/two:2"
TOOLS = (
    *("sh", "tar", "cat", "grep", "sed", "tr", "sort", "cmp", "wc", "df", "tail", "head", "mktemp"),
    *("mkdir", "rm", "cp", "ln", "dirname", "uname", "sha256sum", "find", "ls", "printf"),
)


@dataclass(frozen=True)
class Site:
    """A bundle and its installer beside it. path: of the tar."""

    path: Path
    images: tuple[Image, ...]

    @property
    def script(self) -> Path:
        return self.path.with_suffix(".sh")


def make(
    where: Path, *images: Image, key: Any = None, absent: Iterable[str] = (), **settings: Any
) -> Site:
    """Write a bundle of images called `NAMES`, and `OTHER`, to a folder."""
    named = [Packed(names, image) for names, image in zip((NAMES, (OTHER,)), images, strict=False)]
    contents = Contents(tuple(named), absent=frozenset(absent), tool="test")
    planned = plan(contents, lambda statement: [installer(statement, contents)])
    where.mkdir(parents=True, exist_ok=True)
    path = where / "site.slimpack.tar"
    write_bundle(planned, path, sign=key.sign if key else None, **settings)
    script = next(part for part in planned.parts if part.path == PATH)
    path.with_suffix(".sh").write_bytes(script.open().read())
    return Site(path, images)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    images = own_image(tmp_path / "one"), own_image(tmp_path / "two", "gzip")
    return make(tmp_path / "my é 'site'", *images)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH without engines, and without Python."""
    return programs(tmp_path / "tools", TOOLS)


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    """A PATH with busybox's programs alone."""
    found = shutil.which("busybox")
    if found is None:
        missing("SHELLS", "busybox is not installed")
    assert found is not None
    place = tmp_path / "busybox"
    place.mkdir()
    for name in TOOLS:
        (place / name).symlink_to(found)
    return place


def run(
    script: Path,
    *arguments: object,
    path: object,
    shell: str = "dash",
    code: int = 0,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run an installer; whatever happens, nothing stays in its work folder."""
    first, *rest = command(shell)
    program = shutil.which(first)
    assert program is not None
    work = script.parent / "work"
    work.mkdir(exist_ok=True)
    done = subprocess.run(
        [program, *rest, str(script), *map(str, arguments)],
        env={"PATH": str(path), "LANG": "C.UTF-8", "TMPDIR": str(work), **(env or {})},
        cwd=script.parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert list(work.iterdir()) == []
    return done


def recording(place: Path, name: str) -> Path:
    """Put an engine into a folder for PATH that keeps what it is called with, and its input."""
    program = place / name
    program.write_text(
        f'#!{shutil.which("sh")}\necho "$*" >>"$RECORD/calls"\n'
        "case $* in *version*) echo 24.0.1; exit ;; esac\n"
        'cat >"$RECORD/$(ls "$RECORD" | wc -l).tar"\n'
    )
    program.chmod(0o755)
    return program


def sent(record: Path) -> list[tarfile.TarFile]:
    return [tarfile.open(path) for path in sorted(record.glob("*.tar"))]


def read(tar: tarfile.TarFile, name: str) -> Any:
    found = tar.extractfile(name)
    assert found is not None
    return json.loads(found.read())


@pytest.mark.parametrize("shell", PLAIN)
def test_it_lists_checks_and_loads(site: Site, tools: Path, shell: str, tmp_path: Path) -> None:
    recording(tools, "docker")
    record = tmp_path / "record"
    record.mkdir()
    done = run(site.script, "--list", path=tools, shell=shell)
    assert done.stdout.splitlines()[0].startswith("slimpack-test/one:1.0 slimpack-test/one:latest ")
    assert done.stdout.splitlines()[1].startswith("r.example/slimpack-test/two:2 ")
    assert "whole" in run(site.script, "--check", path=tools, shell=shell).stdout
    run(site.script, path=tools, shell=shell, env={"RECORD": str(record)})
    (tar,) = sent(record)
    assert [item["RepoTags"] for item in read(tar, "manifest.json")] == [[*NAMES], [OTHER]]
    entries = read(tar, "index.json")["manifests"]
    assert [entry["annotations"]["io.containerd.image.name"] for entry in entries] == [
        *NAMES,
        OTHER,
    ]
    with tarfile.open(site.path) as whole:
        for image in site.images:
            for layer in image.layers:
                name = f"blobs/{layer.digest.replace(':', '/')}"
                one, other = tar.extractfile(name), whole.extractfile(name)
                assert one is not None
                assert other is not None
                assert one.read() == other.read()


def test_with_the_tools_of_busybox_alone(site: Site, busybox: Path, tmp_path: Path) -> None:
    recording(busybox, "podman")
    record = tmp_path / "record"
    record.mkdir()
    run(
        site.script,
        *("--image", "slimpack-test/one:latest", site.path),
        path=busybox,
        shell="ash",
        env={"RECORD": str(record)},
    )
    # podman takes one name from a file.
    assert [len(read(tar, "index.json")["manifests"]) for tar in sent(record)] == [1, 1]
    folder = unpacked(site.path, tmp_path / "folder")
    assert "whole" in run(folder / PATH, "--check", path=busybox, shell="ash").stdout


def test_volumes_are_checked_and_joined(tmp_path: Path, tools: Path, busybox: Path) -> None:
    image = own_image(tmp_path / "one", "none")
    site = make(tmp_path / "cut", image, volume_size=1 << 20)
    assert not site.path.exists()
    assert len(list(site.path.parent.glob("*.0*"))) == 3
    for given in ([], [site.path], [list_path(site.path)]):
        assert "whole" in run(site.script, "--check", *given, path=tools).stdout
        assert "whole" in run(site.script, "--check", *given, path=busybox, shell="ash").stdout
    # The script that is inside the bundle has another name.
    inside = site.script.rename(site.script.with_name(PATH))
    assert "whole" in run(inside, "--check", path=tools).stdout
    second, third = (site.path.with_name(f"{site.path.name}.00{number}") for number in (2, 3))
    data = bytearray(second.read_bytes())
    data[1000] ^= 1
    second.write_bytes(data)
    third.unlink()
    done = run(inside, "--check", path=tools, code=1)
    assert f"{second.name} is damaged" in done.stderr
    assert f"{third.name} is missing" in done.stderr
    assert "bring these volumes again; the others can stay" in done.stderr


@pytest.mark.parametrize("shell", ["dash", "bash", "ash"])
def test_damage_is_named_and_nothing_is_loaded(
    site: Site, tools: Path, shell: str, tmp_path: Path
) -> None:
    recording(tools, "docker")
    layer = site.images[0].layers[0]
    data = bytearray(site.path.read_bytes())
    with tarfile.open(site.path) as tar:
        member = tar.getmember(f"blobs/{layer.digest.replace(':', '/')}")
        sums = tar.getmember("SHA256SUMS")
    data[member.offset_data + layer.size // 2] ^= 1
    site.path.write_bytes(data)
    record = tmp_path / "record"
    record.mkdir()
    done = run(site.script, path=tools, shell=shell, code=1, env={"RECORD": str(record)})
    assert f"{member.name} is damaged: its SHA-256 is not what it should be" in done.stderr
    assert sent(record) == []
    whole = site.path.read_bytes()
    site.path.write_bytes(whole[: sums.offset])
    done = run(site.script, path=tools, shell=shell, code=1, env={"RECORD": str(record)})
    assert "cut off" in done.stderr
    site.path.write_bytes(whole[: -len(whole) // 4])
    done = run(site.script, path=tools, shell=shell, code=1, env={"RECORD": str(record)})
    assert "bring it again" in done.stderr
    assert sent(record) == []


@pytest.mark.parametrize("kind", ["../outside", "/absolute", "blobs/../../x", "link"])
def test_members_that_lead_out_are_refused(
    site: Site, tools: Path, busybox: Path, kind: str
) -> None:
    with tarfile.open(site.path, "a") as tar:
        member = tarfile.TarInfo("blobs/link" if kind == "link" else kind)
        if kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(member)
    for path, shell in ((tools, "dash"), (busybox, "ash")):
        done = run(site.script, "--check", path=path, shell=shell, code=1)
        assert "it is not one of slimpack" in done.stderr


def test_the_signature(tmp_path: Path, tools: Path, site: Site) -> None:
    peers = {name: shutil.which(name) for name in ("openssl", "cosign")}
    if None in peers.values():
        missing("PEERS", "openssl or cosign is not installed")
    right, wrong = (key_pair(tmp_path, name) for name in ("right", "wrong"))
    ed = key_pair(tmp_path, "ed", "ed25519")
    signed = make(tmp_path / "signed", *site.images, key=right)
    with_ed = make(tmp_path / "ed", *site.images, key=ed)
    for tool, found in peers.items():
        assert found is not None
        place = tmp_path / f"with-{tool}"
        shutil.copytree(tools, place, symlinks=True)
        (place / tool).symlink_to(found)
        env = {"HOME": str(tmp_path)}
        done = run(signed.script, "--check", "--key", right.public, path=place, env=env)
        assert "the signature is right" in done.stdout
        done = run(signed.script, "--check", "--key", wrong.public, path=place, env=env, code=1)
        assert "not one of that key" in done.stderr
        run(with_ed.script, "--check", "--key", ed.public, path=place, env=env)
        done = run(site.script, "--check", "--key", right.public, path=place, env=env, code=1)
        assert "the bundle is not signed" in done.stderr
    # Digests that are right for what is there, and were not signed.
    folder = unpacked(signed.path, tmp_path / "folder")
    sums = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(sums.replace(sums[:8], "00000000", 1))
    done = run(
        folder / PATH, "--check", "--key", right.public, path=tmp_path / "with-openssl", code=1
    )
    assert "SHA256SUMS is not the one that was signed" in done.stderr


def test_what_it_refuses(site: Site, tools: Path, tmp_path: Path) -> None:
    recording(tools, "docker")
    layer = site.images[0].layers[0].digest
    delta = make(tmp_path / "delta", *site.images, absent=[layer])
    done = run(delta.script, path=tools, code=2)
    assert "this bundle holds only what has changed" in done.stderr
    other = make(tmp_path / "other", site.images[0])
    done = run(other.script, site.path, path=tools, code=2)
    assert "this script belongs to another bundle" in done.stderr
    for arguments, message in (
        (["--image", "none:1"], "no image none:1"),
        (["--platform", "linux/arm64"], "is not there for linux/arm64, only for linux/amd64"),
        (["--engine", "rkt"], "docker, podman or ctr"),
        (["--engine", "podman"], "there is no podman here"),
        (["missing.tar"], "there is no bundle missing.tar"),
        (["--frobnicate"], "unknown argument"),
        ([tmp_path], "is not an unpacked bundle"),
    ):
        code = 1 if "podman" in message and "no podman" in message else 2
        assert message in run(site.script, *arguments, path=tools, code=code).stderr
    (tools / "sha256sum").unlink()
    done = run(site.script, "--check", path=tools, code=1)
    assert "sha256sum, shasum or openssl is needed" in done.stderr


def test_the_platform_of_the_machine_is_taken(tmp_path: Path, tools: Path) -> None:
    recording(tools, "docker")
    image = own_image(tmp_path / "one")
    arm = make_image(image.layers, replace(image.config, architecture="arm64"))
    contents = Contents((Packed(NAMES, Index((arm, image))),), tool="test")
    planned = plan(contents, lambda statement: [installer(statement, contents)])
    path = tmp_path / "several" / "site.slimpack.tar"
    write_bundle(planned, path)
    path.with_suffix(".sh").write_bytes(
        next(part for part in planned.parts if part.path == PATH).open().read()
    )
    for number, one in enumerate(images_of(Index((arm, image)))):
        record = tmp_path / f"record{number}"
        record.mkdir()
        run(
            path.with_suffix(".sh"),
            *("--platform", f"linux/{one.platform.architecture}"),
            path=tools,
            env={"RECORD": str(record)},
        )
        (tar,) = sent(record)
        (item,) = read(tar, "manifest.json")
        assert item["Config"] == f"blobs/{one.config_digest.replace(':', '/')}"


def wrapper(place: Path, name: str, arguments: Iterable[str]) -> None:
    """Let a name mean a program with arguments, in a folder for PATH."""
    (place / name).unlink(missing_ok=True)
    (place / name).write_text(f'#!/bin/sh\nexec {shlex.join(arguments)} "$@"\n')
    (place / name).chmod(0o755)


@pytest.mark.engine
def test_docker_has_the_images(site: Site, engine: Any, tools: Path) -> None:
    docker, zstd = str(shutil.which("docker")), str(shutil.which("zstd"))
    wrapper(tools, "docker", [docker])
    old = int(engine.version()["Version"].split(".")[0]) < 23
    if old:
        done = run(site.script, path=tools, code=1)
        assert "cannot read zstd layers; install the program zstd" in done.stderr
        wrapper(tools, "zstd", [zstd])
    done = run(site.script, path=tools)
    assert "Loaded image: slimpack-test/one:latest" in done.stdout
    for name, image in (*((name, site.images[0]) for name in NAMES), (OTHER, site.images[1])):
        assert engine.inspect_image(name)["Id"] == image.config_digest


@pytest.mark.engine
def test_podman_has_the_images(site: Site, podman_program: Program, tools: Path) -> None:
    argv = [str(shutil.which("podman")), *podman_program.argv[1:]]
    wrapper(tools, "podman", ["env", f"PATH={os.environ['PATH']}", *argv])
    (tools / "env").symlink_to("/usr/bin/env")
    run(site.script, "--engine", "podman", path=tools)
    for name, image in (*((name, site.images[0]) for name in NAMES), (OTHER, site.images[1])):
        shown = subprocess.run(
            [*argv, "image", "inspect", name], capture_output=True, check=True, text=True
        )
        (found,) = json.loads(shown.stdout)
        assert f"sha256:{found['Id']}" == image.config_digest
        assert found["Digest"] == image.digest


@pytest.mark.engine
def test_containerd_has_the_images(site: Site, containerd: Ctr, tools: Path) -> None:
    wrapper(tools, "ctr", [str(shutil.which("ctr")), "--address", containerd.address])
    run(site.script, "--engine", "ctr", "--namespace", "installed", path=tools)
    listed = subprocess.run(
        ["ctr", "--address", containerd.address, "-n", "installed", "images", "ls"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name, image in (*((name, site.images[0]) for name in NAMES), (OTHER, site.images[1])):
        (line,) = [line for line in listed.splitlines() if line.split()[0] == name]
        assert line.split()[2] == image.digest


@pytest.mark.parametrize("shell", ["dash", "bash", "ash"])
def test_a_signal_leaves_nothing(site: Site, tools: Path, shell: str, tmp_path: Path) -> None:
    (tools / "sleep").symlink_to(str(shutil.which("sleep")))
    begun = tmp_path / "begun"
    program = tools / "docker"
    program.write_text(
        f'#!/bin/sh\ncase $* in *version*) echo 24.0.1; exit ;; esac\n: >"{begun}"\nexec sleep 60\n'
    )
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    first, *rest = command(shell)
    process = subprocess.Popen(
        [str(shutil.which(first)), *rest, str(site.script)],
        env={"PATH": str(tools), "TMPDIR": str(work)},
        stdout=subprocess.DEVNULL,
    )
    try:
        while not begun.exists():
            assert process.poll() is None
            time.sleep(0.02)
        assert list(work.iterdir())
        process.terminate()
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.wait()
    assert list(work.iterdir()) == []
