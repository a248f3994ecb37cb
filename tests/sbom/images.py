"""Images whose every record is made up in code, so that tests know what an SBOM must say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.slim.record import Applied, RuleNote, SlimRecord, Usage
from slimpack.tree import Tree, bytes_entry
from tests.oci.oci_images import MTIME, ZSTD

PREFIX = "opt/env"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
SECRET = "s3cr3t-t0k3n"
Files = Mapping[str, bytes | str]

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
LIBC = """Package: libc6
Source: glibc (2.36-9)
Version: 2.36-9+deb12u14
Architecture: amd64
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10) | base-files
Homepage: https://www.gnu.org/software/libc/libc.html
Description: GNU C Library: Shared libraries
 More of it.
"""
BASE_FILES = """Package: base-files
Version: 12.4+deb12u15
Architecture: amd64
Maintainer: Santiago Vila <sanvila@debian.org>
Description: Debian base system miscellaneous files
"""
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: glibc

Files: *
License: LGPL-2.1+

Files: timezone/*
License: GPL-2+ or Expat

License: LGPL-2.1+
 long text
"""


def conda(name: str, version: str, **fields: Any) -> dict[str, str]:
    """Return a record of conda-meta, by its path. More fields replace the usual ones."""
    build = fields.pop("build", "h0_0")
    file = f"{name}-{version}-{build}"
    record = {
        "name": name,
        "version": version,
        "build": build,
        "subdir": "linux-64",
        "url": f"https://conda.anaconda.org/conda-forge/linux-64/{file}.conda",
        "sha256": "ab" * 32,
        "md5": "cd" * 16,
        "license": "MIT",
        "depends": [],
        "files": [],
        **fields,
    }
    return {f"{PREFIX}/conda-meta/{file}.json": json.dumps(record)}


def dist(name: str, version: str, metadata: str = "", site: str = SITE) -> dict[str, str]:
    """Return METADATA and RECORD of a distribution, by path."""
    folder = f"{site}/{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    return {
        f"{folder}/METADATA": f"{head}{metadata}",
        f"{folder}/RECORD": f"{Path(folder).name}/METADATA,,\n{name}/__init__.py,,\n",
        f"{site}/{name}/__init__.py": "",
    }


SLIMMING = SlimRecord(
    profile="safe",
    prefix=PREFIX,
    rules=(RuleNote("package-tests", "safe", "test suites of packages", "drop"),),
    applied=(
        Applied("package-tests", "numpy", "test", 10, 1000),
        Applied("package-tests", "pypi:requests", "test", 2, 20),
        Applied("package-tests", "tk", "library", 3, 300),
    ),
    before=(Usage("numpy", "test", 10, 1000),),
)

BASE: Files = {
    "etc/os-release": OS_RELEASE,
    "etc/passwd": "root:x:0:0::/root:/sbin/nologin\n",
    "var/lib/dpkg/status.d/libc6": LIBC,
    "var/lib/dpkg/status.d/libc6.md5sums": f"{'0' * 32}  usr/share/doc/libc6/copyright\n",
    "var/lib/dpkg/status.d/base-files": BASE_FILES,
    "usr/share/doc/libc6/copyright": COPYRIGHT,
}
ENVIRONMENT: Files = {
    **conda("python", "3.11.2", license="Python-2.0", depends=["openssl >=3.0", "__glibc >=2.17"]),
    **conda(
        "openssl",
        "3.0.20",
        license="Apache-2.0",
        url=f"https://user:{SECRET}@conda.example.com/t/{SECRET}/team/linux-64/"
        f"openssl-3.0.20-h0_0.conda?token={SECRET}",
    ),
    **conda(
        "numpy",
        "2.4.6",
        license="BSD-3-Clause AND 0BSD",
        depends=["python >=3.11,<3.12.0a0", "conda-forge::openssl", "not-here"],
        files=[
            f"lib/python3.11/site-packages/numpy-2.4.6.dist-info/{name}"
            for name in ("METADATA", "RECORD", "licenses/LICENSE.txt")
        ],
        url="file:///linux-64/numpy-2.4.6-h0_0.conda",
    ),
    **dist("numpy", "2.4.6", "License-Expression: BSD-3-Clause AND 0BSD\n"),
    f"{SITE}/numpy-2.4.6.dist-info/licenses/LICENSE.txt": "Copyright",
    **conda(
        "setuptools",
        "84.2.1",
        subdir="noarch",
        url="https://repo.anaconda.com/pkgs/main/noarch/setuptools-84.2.1-h0_0.tar.bz2",
        sha256=None,
        files=[
            f"lib/python3.11/site-packages/setuptools/_vendor/tomli-2.4.0.dist-info/{name}"
            for name in ("METADATA", "RECORD")
        ],
    ),
    **dist("tomli", "2.4.0", site=f"{SITE}/setuptools/_vendor"),
    **dist(
        "Requests",
        "2.32.0",
        "Summary: HTTP for people\nAuthor: Kenneth\nLicense: Apache 2.0\n"
        "Home-page: https://requests.example.org\nRequires-Dist: NumPy>=1\n"
        "Requires-Dist: missing\nRequires-Dist: tomli; extra == 'x'\n",
    ),
    **dist("mine", "0.1", "License: Our own\nRequires-Dist: requests\n"),
    f"{SITE}/mine-0.1.dist-info/direct_url.json": json.dumps(
        {"url": "file:///home/somebody/secret-project", "dir_info": {}}
    ),
    f"{PREFIX}/conda-meta/history": "",
    f"{PREFIX}/share/slimpack/slimming.json": SLIMMING.to_json(),
}
APPLICATION: Files = {"app/main.py": "print('hello')\n", "app/empty": b""}
LAYERS: tuple[Files, ...] = (BASE, ENVIRONMENT, APPLICATION)


def image_of(folder: Path, *layers: Files, created: int = MTIME) -> Image:
    """Return an image of these files, one layer each, from the bottom up."""
    store = BlobStore(folder / "blobs", durable=False)
    made = [
        build_layer(
            f"layer {number}",
            Tree(
                bytes_entry(path, text.encode() if isinstance(text, str) else text)
                for path, text in files.items()
            ),
            blobs=store,
            mtime=MTIME,
            compression=ZSTD,
        )
        for number, files in enumerate(layers)
    ]
    return make_image(made, ImageConfig(created=created, labels={"a": "b"}))


def sample(folder: Path) -> Image:
    """Return the image that most tests ask about."""
    return image_of(folder, *LAYERS)
