"""``python -m benchmarks.patch``: patches of the layers of workload W1, beside zstd's.

The workload is built with two versions of scikit-learn, and with two builds of a pure
package, or two images are given: ``python -m benchmarks.patch OLD NEW`` (anything that
`read_image` reads). For each layer that changed it prints bytes and seconds, and for
all of them those of ``zstd -19 --patch-from`` on their tars.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.building.project import Project
from benchmarks.catalogue import workloads
from benchmarks.channel.build import default_cache
from benchmarks.demo import ROOT, say
from slimpack.cli.table import table
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import chunks
from slimpack.oci.layer import Layer
from slimpack.oci.read import read_image
from slimpack.patch.apply import Patcher
from slimpack.patch.make import PatchMaker

WORK = ROOT / "build" / "bench-patch"
_WHEELS = ("--no-deps", "--only-binary", ":all:", "--python-version", "311")
_TAGS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
_HEAD = ("layer", "bytes", "patch", "%", "make, s", "apply, s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.patch")
    parser.add_argument("images", nargs="*", metavar="OLD NEW", help="instead of the workload")
    parser.add_argument(
        "--versions", nargs=2, default=("1.8.0", "1.9.1"), help="of scikit-learn [1.8.0 1.9.1]"
    )
    options = parser.parse_args(arguments)
    if options.images:
        old, new = map(Path, options.images)
        print(compared(old, new))
        return 0
    for old, new in (pure_pair(), scikit_learn_pair(*options.versions)):
        print(compared(old, new), end="\n\n")
    return 0


def pure_pair() -> tuple[Path, Path]:
    """Build the workload, and again with a next build of a pure package."""
    project = _project()
    project.make()
    images = WORK / "pure-old", WORK / "pure-new"
    for image in images:
        say(f"building {image.name}")
        project.slimpack("build", "--no-verify", "--output", f"{image}/", *project.options)
        project.change_package(project.workload.pure)
    return images


def scikit_learn_pair(old: str, new: str) -> tuple[Path, Path]:
    """Build the workload with two versions of scikit-learn; return the images."""
    project = _project()
    images = WORK / f"scikit-learn-{old}", WORK / f"scikit-learn-{new}"
    for version, image in zip((old, new), images, strict=True):
        say(f"building {image.name}")
        options = ("--channel", channel_with(version).as_uri(), "--json", "--progress", "none")
        project.slimpack("build", "--no-verify", "--output", f"{image}/", *options)
    return images


def _project() -> Project:
    return Project(workloads(("w1",))["w1"], WORK / "project")


def channel_with(version: str) -> Path:
    """Make the local channel with a version of scikit-learn, in a copy of its recipes."""
    folder = WORK / f"channel-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "benchmarks" / "channel", folder / "benchmarks" / "channel")
    (folder / "benchmarks" / "__init__.py").touch()
    tags = [option for tag in _TAGS for option in ("--platform", tag)]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", *_WHEELS, *tags)
    subprocess.run([*pip, "--dest", str(folder), f"scikit-learn=={version}"], check=True)
    (wheel,) = folder.glob("*.whl")
    lock = folder / "benchmarks" / "channel" / "channel.lock"
    pins = json.loads(lock.read_text("utf-8"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pin = {"path": wheel.name, "sha256": digest, "version": version}
    pins["linux-64"]["wheels"]["scikit-learn"] = pin
    lock.write_text(json.dumps(pins, indent=1), "utf-8")
    command = (sys.executable, "-m", "benchmarks.channel", "build", "--group", "workloads")
    environment = {"SLIMPACK_CHANNEL_CACHE": str(default_cache()), "PYTHONPATH": str(folder)}
    subprocess.run(
        [*command, "--out", str(folder / "channel")], check=True, cwd=folder, env=environment
    )
    return folder / "channel"


def compared(old: Path, new: Path) -> str:
    """Return a table of the layers of `new` that `old` lacks."""
    before, after = read_image(old).layers, read_image(new).layers
    there, kept = {layer.digest for layer in before}, {layer.digest for layer in after}
    gone = [layer for layer in before if layer.digest not in kept]
    changed = [layer for layer in after if layer.digest not in there]
    rows = list(_patched(gone, changed))
    size, seconds = _zstd(gone, changed)
    rows += [
        ("zstd -19 --patch-from", "", f"{size:,}", "", f"{seconds:.1f}", ""),
        ("whole image", f"{sum(layer.size for layer in after):,}", "", "", "", ""),
    ]
    return f"{old.name} -> {new.name}\n\n{table(_HEAD, rows, right=(1, 2, 3, 4, 5))}"


def _patched(gone: Sequence[Layer], changed: Sequence[Layer]) -> Iterator[tuple[str, ...]]:
    by_digest = {layer.digest: layer for layer in gone}
    with tempfile.TemporaryDirectory(dir=WORK.parent) as name:
        folder = Path(name)
        with (
            PatchMaker(gone, scratch=folder) as maker,
            Patcher(by_digest.get, scratch=folder) as patcher,
        ):
            for layer in changed:
                path, start = folder / layer.digest[7:], time.monotonic()
                with path.open("wb") as out:
                    info = maker.make(layer, out)
                made = time.monotonic()
                patch = layer.size if info is None else info.patch_size
                if info is not None:
                    with path.open("rb") as stream:
                        patcher.apply(stream, BlobStore(folder / "blobs"))
                applied = time.monotonic() - made
                numbers = (f"{layer.size:,}", f"{patch:,}", f"{100 * patch / layer.size:.1f}")
                yield (layer.name, *numbers, f"{made - start:.1f}", f"{applied:.1f}")


def _zstd(gone: Sequence[Layer], changed: Sequence[Layer]) -> tuple[int, float]:
    """Return the bytes of one patch of all the tars, joined, by zstd, and its seconds."""
    with tempfile.TemporaryDirectory(dir=WORK.parent) as name:
        files = Path(name) / "old", Path(name) / "new"
        for path, layers in zip(files, (gone, changed), strict=True):
            with path.open("wb") as out:
                for layer in layers:
                    with layer.open_tar() as tar:
                        out.writelines(chunks(tar))
        start = time.monotonic()
        result = Path(name) / "patch"
        command = ("zstd", "-19", "--long=30", "--quiet", f"--patch-from={files[0]}")
        subprocess.run([*command, str(files[1]), "-o", str(result)], check=True)
        return result.stat().st_size, time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main())
