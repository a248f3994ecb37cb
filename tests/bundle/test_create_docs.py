"""The commands of docs/bundle.md, 'Create', run as they are shown."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from slimpack.bundle.bandwidth import DEFAULT_LINKS
from slimpack.bundle.documents import MAX_BLOB, MAX_DOCUMENTS
from slimpack.bundle.model import MAX_MEMBERS, MAX_STATEMENT, FileKind
from slimpack.cli.bundle_create import create_command
from slimpack.oci.archive import write_archive
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.index import Index
from slimpack.oci.layout import write_layout
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from tests.oci.oci_images import need_tool, sample_image
from tests.registry.conftest import random_image
from tests.registry.fake import Fake
from tests.support.channel import ROOT, MiniChannel, Run

TEXT = (ROOT / "docs/bundle.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "docs/bundle-format.md").read_text(encoding="utf-8")
(CREATE,) = re.findall(r"^## Create\n+```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.channel
@pytest.mark.engine
def test_the_commands_work_in_order(
    fake: Fake, registries: Registries, run: Run, mini: MiniChannel, tmp_path: Path
) -> None:
    need_tool("cosign")
    image = sample_image(tmp_path / "made")
    push(image, [Reference.parse(f"{fake.host}/team/serve:1.0")], registries)
    write_archive(random_image(tmp_path / "made", 1000), tmp_path / "serve.tar", ["serve:1.0"])
    write_layout(Index((image,)), tmp_path / "layout", ["layout:1.0"])
    mini.add("tool", {"share/tool.txt": "hello\n"})
    (tmp_path / "environment.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [tool]\n")
    layers = random_image(tmp_path / "base", 10).layers
    write_layout(make_image(layers, ImageConfig()), tmp_path / "base.oci")
    (tmp_path / "slimpack.toml").write_text('[image]\nbase = "base.oci"\n')
    env = {"COSIGN_PASSWORD": "x", "HOME": str(tmp_path)}
    subprocess.run(
        ["cosign", "generate-key-pair"], cwd=tmp_path, env={**os.environ, **env}, check=True
    )
    lines = CREATE.replace("registry.example.com", fake.host).splitlines()
    assert len(lines) == 8
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "slimpack"
        assert run(*arguments, cwd=tmp_path, env=env).stdout


def test_the_commands_that_verify_work(run: Run, tmp_path: Path) -> None:
    need_tool("cosign")
    block = re.findall(r"^## Verify\n+```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[0]
    env = {"COSIGN_PASSWORD": "x", "HOME": str(tmp_path)}
    subprocess.run(
        ["cosign", "generate-key-pair"], cwd=tmp_path, env={**os.environ, **env}, check=True
    )
    write_layout(sample_image(tmp_path / "made"), tmp_path / "layout", ["layout:1.0"])
    for name, created in (("last", "2026-01-01"), ("site", "2026-03-01")):
        run(
            *("bundle", "create", "layout", "--key", "cosign.key", "--created", created),
            *("-o", f"{name}.slimpack.tar"),
            cwd=tmp_path,
            env=env,
        )
    run(
        *("bundle", "create", "layout", "--volume-size", "64 KiB", "-o", "dvd.slimpack.tar"),
        cwd=tmp_path,
    )
    lines = block.splitlines()
    assert len(lines) == 4
    for line in lines[:3]:
        program, *arguments = shlex.split(line)
        assert program == "slimpack"
        assert "members" in run(*arguments, cwd=tmp_path).stdout
    pipe, _, command = lines[3].partition(" | ")
    assert pipe == "ssh depot cat site.slimpack.tar"
    with (tmp_path / "site.slimpack.tar").open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            stdin=stream,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        )
    assert json.loads(done.stdout)["findings"] == []


def test_the_documents_name_what_there_is() -> None:
    options = {
        option
        for parameter in create_command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    text = TEXT.partition("## Create")[2].partition("## What carrying")[0]
    shown = set(re.findall(r"(?<![a-z-])--[a-z][a-z-]+", text))
    assert shown - {"--not-older-than", "--provenance"} <= options
    assert f"At most {MAX_DOCUMENTS} of an image" in TEXT
    assert f"parts of at most {MAX_BLOB >> 20} MiB" in TEXT
    assert f"At most {MAX_STATEMENT >> 20} MiB, {MAX_MEMBERS:,} members" in FORMAT
    assert all(f"`{kind}`" in FORMAT for kind in get_args(FileKind))
    help_text = next(one.help for one in create_command.params if one.name == "links")
    assert ", ".join(DEFAULT_LINKS) in str(help_text)
