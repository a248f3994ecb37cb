"""What goes into a bundle beside images, and what the far side does with it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from slimpack.bundle.installer import PATH
from slimpack.bundle.own_wheels import own_wheel, rebuilt
from slimpack.errors import BundleError
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layout import write_layout
from tests.bundle.near import cut_off, unpacked
from tests.registry.conftest import random_image
from tests.support.channel import ROOT, MiniChannel, Run, missing
from tests.support.images import Built


@pytest.mark.channel
def test_everything_in_one_bundle(
    channel: str, python_image: Built, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serve").mkdir()
    (tmp_path / "serve" / "environment.yml").write_text(
        f"channels: ['{channel}']\ndependencies: [python =3.11, click]\n"
    )
    (tmp_path / "serve" / "slimpack.toml").write_text(
        f'[env]\nspec = "environment.yml"\nplatform = "linux/amd64"\nglibc = "2.36"\n'
        f'[image]\nname = "serve"\ntags = ["1.0"]\nbase = "{python_image.layout}"\n'
        'prefix = "/opt/second"\n'
    )
    offered = ("--glibc", "2.36", "--platform", "linux/amd64")
    run("lock", "click", "-c", channel, *offered, "-o", "other.txt", cwd=tmp_path)
    arguments = ("bundle", "create", "serve", "--with-packages", "--with-archives", "--installer")
    run(*arguments, "--lock", "other.txt", "-o", "site.slimpack.tar", cwd=tmp_path)
    run(*arguments, "--lock", "other.txt", "-o", "again.slimpack.tar", cwd=tmp_path)
    bundle = tmp_path / "site.slimpack.tar"
    assert bundle.read_bytes() == (tmp_path / "again.slimpack.tar").read_bytes()
    folder = unpacked(bundle, tmp_path / "folder")
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {
        "locks/serve-1.0.pixi.lock",
        "locks/serve-1.0-linux-64.txt",
        "locks/other.pixi.lock",
        "locks/other-linux-64.txt",
        "channel/linux-64/repodata.json",
        "channel/noarch/repodata.json",
        "archives/serve-1.0.tar.zst",
        PATH,
    } <= names
    assert (folder / PATH).read_bytes() == (tmp_path / "site.slimpack.sh").read_bytes()
    assert os.access(tmp_path / "site.slimpack.sh", os.X_OK)
    subprocess.run(["sh", "site.slimpack.sh", "--check"], cwd=tmp_path, check=True)
    shown = json.loads((folder / "channel/noarch/repodata.json").read_text())
    assert [record["name"] for record in shown["packages.conda"].values()].count("click") == 1
    assert (
        channel.removeprefix("file://") not in (folder / "channel/noarch/repodata.json").read_text()
    )


@pytest.mark.channel
@pytest.mark.engine
def test_the_commands_of_the_documents(run: Run, mini: MiniChannel, tmp_path: Path) -> None:
    if shutil.which("docker") is None:
        missing("ENGINE", "docker is not installed")
    text = (ROOT / "docs/bundle.md").read_text(encoding="utf-8")
    text = text[text.index("## Packages and wheels") :]
    mini.add("tool", {"share/tool.txt": "hello\n"})
    (tmp_path / "environment.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [tool]\n")
    layers = random_image(tmp_path / "base", 10).layers
    write_layout(make_image(layers, ImageConfig()), tmp_path / "base.oci")
    write_layout(random_image(tmp_path / "other", 1000), tmp_path / "layout", ["layout:1.0"])
    (tmp_path / "slimpack.toml").write_text(
        '[env]\nplatform = "linux/amd64"\n[image]\nbase = "base.oci"\n'
    )
    run("lock", "environment.yml", "-o", "pixi.lock", cwd=tmp_path)
    own = f"slimpack-test/{uuid.uuid4().hex}"
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("team/serve", own).replace("team-serve", own.replace("/", "-"))
    try:
        for line in lines.splitlines():
            program, *arguments = shlex.split(line)
            if program == "slimpack":
                assert run(*arguments, cwd=tmp_path).stdout
            else:
                subprocess.run([program, *arguments], cwd=tmp_path, check=True)
        subprocess.run(
            ["docker", "image", "inspect", f"{own}:1.0"], check=True, stdout=subprocess.DEVNULL
        )
    finally:
        subprocess.run(["docker", "rmi", f"{own}:1.0"], check=False, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["image", "--with-packages"], "nothing tells which packages"),
        (["image", "--with-archives"], "an archive is made of what is built"),
        (["image", "--lock", "environment.yml"], "not a lock"),
        (["image", "--slimpack-python", "2.7"], "slimpack runs on Python 3.10 and newer"),
    ],
)
def test_what_nothing_can_come_of(
    python_image: Built, run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "environment.yml").write_text("dependencies: [python]\n")
    (tmp_path / "image").symlink_to(python_image.layout)
    codes = {"slimpack runs on Python 3.10 and newer": 14}
    done = run(
        *("bundle", "create", *arguments, "-o", "x.tar"),
        cwd=tmp_path,
        code=codes.get(message, 2),
    )
    assert message in done.stderr
    assert not (tmp_path / "x.tar").exists()


@pytest.mark.network
def test_a_far_side_without_network_installs_slimpack(
    python_image: Built, run: Run, tmp_path: Path
) -> None:
    run(
        *("bundle", "create", python_image.layout, "--name", f"{python_image.layout}=base:1"),
        *("--with-slimpack", "-o", "site.slimpack.tar"),
        cwd=tmp_path,
    )
    folder = unpacked(tmp_path / "site.slimpack.tar", tmp_path / "folder")
    venv.create(tmp_path / "venv", with_pip=True)
    program = tmp_path / "venv" / "bin"
    nothing = {"PYTHONPATH": "", "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": ""}
    wheels = ("--no-index", "--find-links", "slimpack-wheels")
    cut_off(program / "pip", "install", "-q", *wheels, "slimpack", cwd=folder, env=nothing)
    said = cut_off(program / "slimpack", "--version", cwd=folder, env=nothing)
    assert said.stdout.startswith("slimpack")
    bundle = tmp_path / "site.slimpack.tar"
    cut_off(program / "slimpack", "bundle", "verify", bundle, cwd=folder, env=nothing)


def test_the_wheel_of_what_runs_is_the_same_each_time(tmp_path: Path) -> None:
    try:
        one, two = (own_wheel(tmp_path / name) for name in ("one", "two"))
    except Exception as error:  # the build backend comes from an index
        missing("NETWORK", f"slimpack's wheel cannot be built: {error}")
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_an_installation_is_a_wheel_again(tmp_path: Path) -> None:
    made = rebuilt(distribution("click"), tmp_path / "wheel")
    target = tmp_path / "target"
    pip = (sys.executable, "-m", "pip", "install", "-q")
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--target", str(target), str(made)],
        check=True,
    )
    (info,) = target.glob("click-*.dist-info")
    again = rebuilt(Distribution.at(info), tmp_path / "again")
    assert made.read_bytes() == again.read_bytes()
    (target / "click" / "core.py").write_text("changed\n")
    with pytest.raises(BundleError, match=r"click/core\.py of slimpack is not as it was installed"):
        rebuilt(Distribution.at(info), tmp_path / "changed")
