"""Where `slimpack bundle create` writes: whole or not at all, and never over an input."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.running import measure
from slimpack.oci.config import ImageConfig
from slimpack.oci.digest import chunks
from slimpack.oci.image import make_image
from slimpack.oci.layer import TAR, Layer
from slimpack.oci.layout import write_layout
from tests.oci.oci_images import files_below, small_disk
from tests.registry.conftest import random_image
from tests.support.channel import ROOT, Run


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Two images that share a layer of 300 kB, one of them under two names."""
    path = tmp_path / "layout"
    for number, size in ((1, 1000), (2, 2000)):
        names = ["app:1", "example.com/team/app:1"] if number == 1 else [f"app:{number}"]
        write_layout(random_image(tmp_path / "made", 300_000, size), path, names)
    return path


def test_what_it_refuses(layout: Path, run: Run, tmp_path: Path) -> None:
    for given, said in (
        ("missing", "missing is no file or folder, and no reference"),
        ("app:1", "app:1 is no file or folder"),
    ):
        done = run("bundle", "create", given, "-o", "site.tar", cwd=tmp_path, code=2)
        assert said in done.stderr
    (tmp_path / "junk.tar").write_bytes(b"slimpack/bundle.json".ljust(100, b"\0") + b"x" * 5000)
    done = run("bundle", "create", "junk.tar", "-o", "site.tar", cwd=tmp_path, code=14)
    assert "junk.tar" in done.stderr
    done = run("bundle", "create", "layout", "-o", "site.tgz", cwd=tmp_path, code=2)
    assert "expected FILE.tar" in done.stderr
    for size in ("1", "0G", "x", "-1"):
        run(
            "bundle", "create", "layout", "-o", "s.tar", "--volume-size", size, cwd=tmp_path, code=2
        )
    for name in ("layout", "=x:1", "layout="):
        run("bundle", "create", "layout", "-o", "s.tar", "--name", name, cwd=tmp_path, code=2)
    assert not list(tmp_path.glob("s*.tar*"))


def test_an_input_is_never_written_to(layout: Path, run: Run, tmp_path: Path) -> None:
    run("bundle", "create", "layout", "-o", "site.tar", cwd=tmp_path)
    before = (tmp_path / "site.tar").read_bytes()
    for output in ("site.tar", "./site.tar", "layout/x.tar"):
        done = run("bundle", "create", "site.tar", "layout", "-o", output, cwd=tmp_path, code=2)
        assert "which is never written to" in done.stderr
    assert (tmp_path / "site.tar").read_bytes() == before
    run("bundle", "create", "layout", "-o", "cut.tar", "--volume-size", "64KiB", cwd=tmp_path)
    for given in ("cut.tar", "cut.tar.volumes.json"):
        done = run("bundle", "create", given, "-o", "cut.tar", cwd=tmp_path, code=2)
        assert "which is never written to" in done.stderr


def test_an_older_bundle_of_the_name_is_replaced_whole(
    layout: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "site.tar.099").write_bytes(b"somebody's own")
    create = ("bundle", "create", "layout", "-o", "out/site.tar")
    run(*create, "--volume-size", "64KiB", cwd=tmp_path)
    assert len(files_below(out)) > 5
    run(*create, "--volume-size", "200KiB", cwd=tmp_path)
    expected = ["site.tar.001", "site.tar.002", "site.tar.099", "site.tar.volumes.json"]
    assert files_below(out) == expected
    run(*create, cwd=tmp_path)
    assert files_below(out) == ["site.tar", "site.tar.099"]
    run(*create, "--volume-size", "1G", cwd=tmp_path)
    assert files_below(out) == ["site.tar.001", "site.tar.099", "site.tar.volumes.json"]


@pytest.mark.parametrize("volumes", [(), ("--volume-size", "1MiB")])
def test_a_full_disk_leaves_what_was_there(
    run: Run, tmp_path: Path, volumes: tuple[str, ...]
) -> None:
    write_layout(random_image(tmp_path / "made", 1_000_000), tmp_path / "small", ["a:1"])
    write_layout(random_image(tmp_path / "made", 3_000_000), tmp_path / "large", ["a:1"])
    with small_disk(tmp_path / "disk") as disk:
        run("bundle", "create", "small", "-o", "disk/site.tar", *volumes, cwd=tmp_path)
        before = {name: (disk / name).read_bytes() for name in files_below(disk)}
        done = run(
            "bundle", "create", "large", "-o", "disk/site.tar", *volumes, cwd=tmp_path, code=1
        )
        assert "the disk is full" in done.stderr
        assert {name: (disk / name).read_bytes() for name in files_below(disk)} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("volumes", [(), ("--volume-size", "1MiB")])
def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, volumes: tuple[str, ...], number: signal.Signals
) -> None:
    """The last layer does not come, so that the run waits in the middle."""
    image = random_image(tmp_path / "made", 3_000_000, 3_000_000 + 1)
    write_layout(image, tmp_path / "layout", ["a:1"])
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", _SLOW, "bundle", "create", "layout", "-o", "out/site.tar"]
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SLIMPACK_CACHE_DIR": str(tmp_path / "cache"),
        "SLOW": max(image.layers, key=lambda layer: layer.digest).digest,
    }
    process = subprocess.Popen(
        [*command, *volumes], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not ((tmp_path / "waiting").exists() and files_below(out)):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, 143)
    assert "Traceback" not in said
    assert files_below(out) == []
    assert not [name for name in files_below(tmp_path / "cache") if "scratch" in name]


_SLOW = """
import os, pathlib, time
from slimpack.oci.layer import Layer
from slimpack.cli import main
whole = Layer.open
def slow(self):
    if self.digest == os.environ["SLOW"]:
        pathlib.Path("waiting").touch()
        time.sleep(120)
    return whole(self)
Layer.open = slow
main()
"""


def test_a_damaged_layer_is_told_and_nothing_is_written(
    layout: Path, run: Run, tmp_path: Path
) -> None:
    blob = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.write_bytes(data)
    done = run("bundle", "create", "layout", "-o", "site.tar", cwd=tmp_path, code=7)
    assert f"layer sha256:{blob.name} does not match its digest" in done.stderr
    assert not (tmp_path / "site.tar").exists()


def test_memory_does_not_depend_on_sizes(tmp_path: Path) -> None:
    """A layer of 600 MB of zeros, in volumes; the process stays below 400 MB."""
    size = 600_000_000
    source = tmp_path / "zeros"
    with source.open("wb") as stream:
        stream.truncate(size)
    hashed = hashlib.sha256()
    with source.open("rb") as stream:
        for data in chunks(stream):
            hashed.update(data)
    digest = f"sha256:{hashed.hexdigest()}"
    layer = Layer(TAR, digest, size, digest, lambda: source.open("rb"))
    blobs = tmp_path / "layout" / "blobs" / "sha256"
    write_layout(random_image(tmp_path / "made", 10), tmp_path / "layout", ["other:1"])
    (blobs / digest[7:]).hardlink_to(source)
    write_layout(make_image([layer], ImageConfig()), tmp_path / "layout", ["app:1"])
    command = (sys.executable, "-m", "slimpack", "bundle", "create", "layout", "-o", "site.tar")
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SLIMPACK_CACHE_DIR": str(tmp_path / "cache"),
    }
    measured = measure([*command, "-q", "--volume-size", "250MB"], cwd=tmp_path, env=env)
    assert measured.memory < 400e6
    assert len(list(tmp_path.glob("site.tar.0*"))) == 3
