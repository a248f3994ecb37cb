"""Two builds of the same thing: one that starts from earlier ones, one from an empty cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from benchmarks.channel import Executable
from benchmarks.channel.container import read_info
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view
from slimpack.tree import bytes_entry
from tests.support.channel import MiniChannel
from tests.support.command import Done, call, variables

Files = Mapping[str, Any]
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/python{VERSION}/site-packages"
ALL_BUT = "the environment but for "
# Notes on the way that was taken, and on the base, whose path is the test's own.
OTHERWISE = re.compile(r"built from nothing, as|has no glibc that")


@dataclass
class Lab:
    """A channel, a project and a cache that stays warm.

    packages: name -> the package that the project's lock has. made: its files and fields.
    config: slimpack.toml. options: of every build.
    """

    folder: Path
    channel: MiniChannel
    config: str = ""
    options: tuple[str, ...] = ()
    packages: dict[str, Path] = field(default_factory=dict)
    made: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    input: str = "pixi.lock"

    def __post_init__(self) -> None:
        self.project = self.folder / "project"
        self.cache = self.folder / "warm"
        self.project.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "base").exists():
            write_base(self.folder / "base")

    def copy(self, folder: Path) -> Lab:
        """Return the same elsewhere, with a cache of its own that is as warm."""
        shutil.copytree(self.project, folder / "project")
        shutil.copytree(self.folder / "base", folder / "base")
        shutil.copytree(self.cache, folder / "warm", symlinks=True, copy_function=_linked)
        kept = dict(self.packages), dict(self.made)
        return Lab(folder, self.channel, self.config, self.options, *kept)

    def put(self, name: str, files: Files, **fields: Any) -> None:
        """Make another build of a package, and take it into the lock."""
        build = f"b{len(list(self.channel.folder.glob('*/*.conda')))}"
        self.made[name] = dict(files), fields
        options = {"build": build, "subdir": "linux-64", **fields}
        self.packages[name] = self.channel.add(name, files, **options)

    def change(self, name: str, files: Files, *gone: str, **fields: Any) -> None:
        """Make another build of a package, with these files beside its own, and without some."""
        old, before = self.made[name]
        left = {path: data for path, data in old.items() if path not in gone}
        self.put(name, {**left, **files}, **{**before, **fields})

    def python(self) -> None:
        """Take in a Python of a few files, which runs the one that runs the tests."""
        program = Executable(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.put(
            "python",
            {
                f"bin/python{VERSION}": program,
                "bin/python": program,
                f"lib/python{VERSION}/os.py": "sep = '/'\n",
                f"lib/python{VERSION}/_sysconfigdata__linux_.py": (
                    "build_time_vars = {'TZPATH': '/opt/env/share/zoneinfo'}\n"
                ),
                f"lib/python{VERSION}/test/test_os.py": "import os\n",
            },
            version=f"{VERSION}.1",
        )

    def lock(self) -> None:
        """Write the lock, as `slimpack lock` does, and the configuration."""
        (self.project / "pixi.lock").write_text(locked(self.packages.values()))
        (self.project / "slimpack.toml").write_text(self.config)

    def command(self, output: Path) -> tuple[str, ...]:
        """Return the arguments of a build."""
        where = ("--base", str(self.folder / "base"), "-o", f"{output}/")
        return ("build", self.input, *where, "--no-verify", "--json", *self.options)

    def run(
        self, cache: Path, *arguments: object, code: int = 0, env: Mapping[str, str] | None = None
    ) -> Done:
        """Build what is there now into ``<cache>.oci``."""
        self.lock()
        output = cache.with_name(f"{cache.name}.oci")
        shutil.rmtree(output, ignore_errors=True)
        command = (*self.command(output), *arguments)
        done = call(command, self.project, variables(cache, env))
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def warm(self, *arguments: object, **env: str) -> dict[str, Any]:
        """Build with the warm cache; return what --json tells."""
        told: dict[str, Any] = json.loads(self.run(self.cache, *arguments, env=env).stdout)
        return told

    def cold(self, *arguments: object, **env: str) -> dict[str, Any]:
        """Build with a cache that has packages alone."""
        cache = fresh(self.cache, self.folder / "cold")
        told: dict[str, Any] = json.loads(self.run(cache, *arguments, env=env).stdout)
        assert told["images" if "images" in told else "reused"] == ""
        return told

    def same(self, *arguments: object, **env: str) -> str:
        """Build both ways, compare all there is; return what the warm one used again."""
        warm, cold = self.warm(*arguments, **env), self.cold(*arguments, **env)
        self.compare(warm, cold)
        return str(warm["reused"])

    def right(self) -> str:
        """Compare, unless the warm build started from nothing; return what it used again."""
        warm = self.warm()
        if warm["reused"]:
            self.compare(warm, self.cold())
        return str(warm["reused"])

    def compare(self, warm: dict[str, Any], cold: dict[str, Any]) -> None:
        """Compare two builds: first their files, as that tells most."""
        images = [read_image(self.folder / f"{name}.oci") for name in ("warm", "cold")]
        equal("file", *map(digests, images))
        equal("configuration", *({"": image.config_json} for image in images))
        keys = ("digest", "packages", "slimmed", "files", "layers", "notes")
        for told in (warm, cold):  # sizes of records depend on where an environment was installed
            told["slimmed"].pop("before_bytes", None)
            told["notes"] = [one for one in told["notes"] if not OTHERWISE.search(one)]
        equal("result", *({key: told[key] for key in keys} for told in (warm, cold)))

    def known(self) -> None:
        """Check that nothing was made anew, and nothing differs."""
        assert self.same() == "the environment"

    def swapped(self, *names: str) -> None:
        """Check that only these packages were made anew, and nothing differs."""
        assert self.same() == ALL_BUT + ", ".join(sorted(names))


def equal(what: str, warm: Mapping[str, Any], cold: Mapping[str, Any]) -> None:
    """Raise AssertionError that tells what is not the same in both."""
    lines = [
        f"{what} {key}:\n  warm: {warm.get(key)!r}\n  cold: {cold.get(key)!r}"
        for key in sorted({*warm, *cold})
        if warm.get(key) != cold.get(key)
    ]
    if lines:
        raise AssertionError("\n".join(lines))


def fresh(warm: Path, cold: Path) -> Path:
    """Return a cache with the packages of `warm`, as hard links, and nothing else."""
    shutil.rmtree(cold, ignore_errors=True)
    cold.mkdir()
    for name in ("pkgs", "debian", "repodata"):
        if (warm / name).is_dir():
            shutil.copytree(warm / name, cold / name, symlinks=True, copy_function=_linked)
    return cold


def _linked(source: str, target: str) -> None:
    os.link(source, target, follow_symlinks=False)


def digests(image: Image) -> dict[str, tuple[int, str]]:
    """Return path -> (mode, SHA-256 of the content, or what it is), as a container sees it."""
    found: dict[str, tuple[int, str]] = {}
    view = merged_view(image)
    contents = contents_of(image)
    for path, placed in sorted(view.items()):
        member = placed.member
        told = contents[placed.layer].get(path) if member.kind in ("file", "hardlink") else None
        found[path] = (member.mode, told or f"{member.kind} {member.link}")
    return found


def contents_of(image: Image) -> list[dict[str, str]]:
    """Return path -> SHA-256 for the files of each layer."""
    found: list[dict[str, str]] = []
    for layer in image.layers:
        names: dict[str, str] = {}
        with layer.open_tar() as stream, tarfile.open(fileobj=cast(Any, stream), mode="r|") as tar:
            for member in tar:
                if member.isfile():
                    file = tar.extractfile(member)
                    assert file is not None
                    names[member.name] = hashlib.sha256(file.read()).hexdigest()
                elif member.islnk():
                    names[member.name] = names[member.linkname]
        found.append(names)
    return found


def memos_of(cache: Path) -> list[Path]:
    """Return the files of all memos and records, in order."""
    kinds = [cache / "memos", cache / "records"]
    return sorted(path for kind in kinds for path in kind.rglob("*") if path.is_file())


def blobs_of(cache: Path) -> list[Path]:
    """Return the blobs of a cache, in order."""
    return sorted(path for path in (cache / "blobs").rglob("*") if path.is_file())


def rewrite(path: Path, data: bytes) -> None:
    """Replace a file, which may be a hard link to another cache's."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def write_base(folder: Path, users: str = "nobody:x:65534:65534::/:/nologin\n") -> None:
    """Write an image with next to nothing in it."""
    blobs = BlobStore(folder.with_name("base.blobs"), durable=False)
    entries = [bytes_entry("etc/passwd", users.encode())]
    layer = build_layer("base", entries, blobs=blobs, mtime=0, compression=Compression("none", 0))
    write_layout(make_image([layer], ImageConfig(user="65534")), folder)


def locked(packages: Iterable[Path]) -> str:
    """Return a lock of rattler's (version 7) with these packages of one channel."""
    urls, blocks = [], []
    for path in packages:
        index = json.loads(read_info(path)["info/index.json"])
        url = path.as_uri()
        lines = [f"- conda: {url}", f"  subdir: {index['subdir']}"]
        if index.get("noarch"):
            lines.append(f"  noarch: {index['noarch']}")
        lines.append(f"  sha256: {hashlib.sha256(path.read_bytes()).hexdigest()}")
        if index["depends"]:
            lines += ["  depends:", *(f"  - {spec}" for spec in index["depends"])]
        lines += [f"  channel: {path.parent.parent.as_uri()}", f"  size: {path.stat().st_size}"]
        urls.append(f"      - conda: {url}")
        blocks.append("\n".join(lines))
    return "\n".join(
        (
            *("version: 7", "platforms:", "- name: linux-64", "environments:", "  default:"),
            *("    channels: []", "    packages:", "      linux-64:", *urls),
            *("packages:", *blocks, ""),
        )
    )
