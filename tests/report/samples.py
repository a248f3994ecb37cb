"""Images with conda, pip and Debian records and a slimming record, made in code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import Layer, build_layer
from slimpack.slim.record import RECORD, Applied, RuleNote, SlimRecord, Usage
from slimpack.tree import Entry, bytes_entry
from tests.oci.oci_images import MTIME, ZSTD

PREFIX = "opt/env"
SITE = f"{PREFIX}/lib/python3.11/site-packages"

Files = Mapping[str, bytes]


def conda(name: str, files: Files, *, version: str = "1.0", license_: str = "MIT") -> Files:
    """The files of a conda package, below the prefix, with its record."""
    record = {
        "name": name,
        "version": version,
        "build": "0",
        "license": license_,
        "files": sorted(files),
    }
    below = {f"{PREFIX}/{path}": data for path, data in files.items()}
    meta = f"{PREFIX}/conda-meta/{name.encode().hex()[:40]}-{version}-0.json"
    return {**below, meta: json.dumps(record).encode()}


def pypi(name: str, files: Files, *, version: str = "2.0") -> Files:
    """The files of a wheel, below site-packages, with METADATA and RECORD."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: BSD\n".encode()
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/METADATA", f"{info}/RECORD"])
    own = {**files, f"{info}/METADATA": metadata, f"{info}/RECORD": record.encode()}
    return {f"{SITE}/{path}": data for path, data in own.items()}


def layer(folder: Path, name: str, files: Files, *, mode: int = 0o644) -> Layer:
    """One layer of regular files."""
    entries: Sequence[Entry] = [bytes_entry(path, data, mode=mode) for path, data in files.items()]
    store = BlobStore(folder / "blobs", durable=False)
    return build_layer(name, entries, blobs=store, mtime=MTIME, compression=ZSTD)


def image(*layers: Layer, **config: object) -> Image:
    """An image of layers, bottom up."""
    return make_image(layers, ImageConfig(created=MTIME, **config), comment="slimpack")  # type: ignore[arg-type]


def record() -> SlimRecord:
    """What slimming is said to have done to `sample`."""
    return SlimRecord(
        profile="serve",
        prefix=PREFIX,
        rules=(
            RuleNote("tests", "serve", "only needed to test the packages themselves", "drop"),
            RuleNote("strip", "safe", "debug symbols are for debuggers", "strip-debug"),
        ),
        applied=(
            Applied("strip", "numpy", "library", 1, 30_000),
            Applied("tests", "pypi:my-wheel", "tests", 0, 0),
            Applied("tests", "numpy", "tests", 12, 90_000),
            Applied("tests", "tk", "tests", 3, 5_000),
        ),
        before=(
            Usage("numpy", "library", 1, 80_000),
            Usage("numpy", "tests", 12, 90_000),
            Usage("pypi:my-wheel", "Python source", 1, 4_000),
            Usage("tk", "tests", 3, 5_000),
        ),
        modules=("tkinter",),
        packages=("tk",),
    )


def layers(folder: Path, *, slimmed: bool = True, version: str = "1.0") -> list[Layer]:
    """A base, numpy, and the rest with a wheel and the slimming record."""
    base = {
        "usr/lib/x86_64-linux-gnu/libc.so.6": b"\x7fELF" + bytes(9_996),
        "var/lib/dpkg/status.d/libc6": b"Package: libc6\nVersion: 2.36\n",
        "var/lib/dpkg/status.d/libc6.md5sums": b"0" * 32
        + b"  usr/lib/x86_64-linux-gnu/libc.so.6\n",
    }
    numpy = conda(
        "numpy",
        {
            "lib/libnumpy.so": bytes(range(250)) * 200,
            "lib/python3.11/site-packages/numpy/__init__.py": b"VERSION = 1\n" * 100,
        },
        version=version,
    )
    bytecode = f"{SITE}/numpy/__pycache__/__init__.cpython-311.pyc"
    rest = {
        **pypi("My-Wheel", {"my_wheel.py": b"x" * 4_000}),
        "app/main.py": b"print('hello')\n",
    }
    if slimmed:
        rest[f"{PREFIX}/{RECORD}"] = record().to_json()
    return [
        layer(folder, "base", base),
        layer(folder, "numpy", {**numpy, bytecode: b"c" * 2_000}),
        layer(folder, "rest", rest),
    ]


def sample(folder: Path, *, slimmed: bool = True) -> Image:
    """The image of `layers`."""
    return image(*layers(folder, slimmed=slimmed), env=(("PATH", "/opt/env/bin"),))


IMPORT_TIMES = """\
a line of something else
import time: self [us] | cumulative | imported package
import time:       100 |        100 |   _io
import time:        50 |        150 |     abc
import time:       200 |        350 |   io
import time:       300 |        750 | site
import time:        40 |         40 | numpy
"""

CHECKS = {
    "subject": "serve.tar",
    "kind": "image",
    "checks": [
        {
            "name": "needed-libraries",
            "severity": "error",
            "explanation": "every library that a file needs is there",
            "passed": True,
            "skipped": "",
            "findings": [],
        },
        {
            "name": "imports",
            "severity": "error",
            "explanation": "modules can be imported",
            "passed": False,
            "skipped": "",
            "findings": [
                {
                    "path": "opt/env/lib/x.py",
                    "severity": "error",
                    "message": "No module named 'y'",
                    "fix": "keep it",
                }
            ],
        },
        {
            "name": "cuda",
            "severity": "warning",
            "explanation": "the driver fits",
            "passed": False,
            "skipped": "no CUDA in it",
            "findings": [],
        },
    ],
}
