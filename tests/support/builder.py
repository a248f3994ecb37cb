"""A builder image for Dockerfiles, made offline: Debian, conda-pack, a stand-in for micromamba.

No machine of ours has micromamba. What stands in takes the command lines that are on record
(tests/data/micromamba) and refuses others, and installs with py-rattler from a channel that lies
in the image, at the path that the lock names. conda-pack is the real one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slimpack.cache import Cache
from slimpack.debian import assemble_base, find_mirrors
from slimpack.env.locks.lock import read_explicit
from slimpack.oci.archive import write_archive
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.runtimes import Runtime, load_runtime
from slimpack.tree import Entry, bytes_entry, file_entry
from tests.support.channel import ROOT

_COMPRESSION = Compression(kind="gzip", level=1)
_RUNTIME = """
description = "What a Dockerfile's first stages need: a shell, GNU's tools, Python"
user = "1000"
[env]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
[debian]
suites = ["bookworm", "bookworm-updates", "bookworm-security"]
packages = [
  "base-files", "ca-certificates", "libc6", "libc-bin",
  "dash", "coreutils", "findutils", "sed", "grep", "diffutils",
  "libacl1", "libattr1", "libgmp10", "libselinux1", "libpcre2-8-0", "libgcc-s1",
  "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1", "zlib1g",
  "libssl3", "libbz2-1.0", "liblzma5", "libffi8", "libcrypt1", "libuuid1",
]
exclude = ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/local", "var/lock", "var/run"]
"""
_STAND_IN = """\
#!/usr/bin/python3.11
import os, sys
sys.path[:0] = ["/standin", "/standin/site-packages"]
TOOLS = "create --yes --no-rc --prefix /opt/tools --channel conda-forge conda-pack=0.9.2 pip"
if sys.argv[1:] == TOOLS.split():
    os.makedirs("/opt/tools/bin")
    with open("/opt/tools/bin/conda-pack", "w") as script:
        script.write("#!/usr/bin/python3.11\\nimport sys\\n")
        script.write("sys.path[:0] = ['/standin/site-packages']\\n")
        script.write("from conda_pack.cli import main\\nmain()\\n")
    with open("/opt/tools/bin/python", "w") as script:
        script.write("#!/usr/bin/python3.11 -I\\nimport runpy, sys\\n")
        script.write("sys.path[:0] = ['/standin/site-packages']\\n")
        script.write("assert sys.argv[1:3] == ['-m', 'pip']\\ndel sys.argv[1:3]\\n")
        script.write("runpy.run_module('pip', run_name='__main__', alter_sys=True)\\n")
    for name in os.listdir("/opt/tools/bin"):
        os.chmod("/opt/tools/bin/" + name, 0o755)
else:
    from tests.support.micromamba import main
    main()
"""
_LIBRARIES = ("rattler", "yaml", "packaging", "conda_pack", "setuptools", "pkg_resources", "pip")
_OURS = ("slimpack", "tests/support", "tests/data/micromamba")


def builder_image(folder: Path, cache: Cache, lock: Path, tag: str) -> Path:
    """Write the image, with the packages of `lock` (of a ``file:`` channel), as an archive."""
    runtime = folder / "builder.toml"
    runtime.write_text(_RUNTIME)
    files = [*_programs(), *_channel(lock)]
    return _image(load_runtime(runtime), folder / "builder.tar", cache, tag, files)


def final_image(folder: Path, cache: Cache, tag: str) -> Path:
    """Write slimpack's own distroless base as an archive."""
    return _image(load_runtime("distroless"), folder / "base.tar", cache, tag)


def _image(
    runtime: Runtime, path: Path, cache: Cache, tag: str, files: Sequence[Entry] = ()
) -> Path:
    assert runtime.debian is not None
    mirrors = find_mirrors(runtime.debian.suites[0])
    base = assemble_base(runtime, "linux/amd64", cache_dir=cache.root, mirrors=mirrors)
    blobs = BlobStore(path.with_suffix(".blobs"), durable=False)
    layers = [
        build_layer(runtime.name, entries, blobs=blobs, mtime=0, compression=_COMPRESSION)
        for entries in (base.tree, files)
        if entries
    ]
    run = ImageConfig(env=tuple(runtime.env.items()), user=runtime.user, workdir=runtime.workdir)
    write_archive(make_image(layers, run), path, (tag,))
    return path


def _programs() -> Iterator[Entry]:
    yield bytes_entry("usr/bin/micromamba", _STAND_IN.encode(), mode=0o755)
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            yield from _tree(Path(spec.origin).parent, f"standin/site-packages/{name}")
    # Its version is read from there.
    site = Path(str(importlib.metadata.distribution("conda-pack").locate_file("")))
    (metadata,) = site.glob("conda_pack-*.dist-info")
    yield from _tree(metadata, f"standin/site-packages/{metadata.name}")
    for name in _OURS:
        yield from _tree(ROOT / name, f"standin/{name}")


def _tree(folder: Path, target: str) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield file_entry(f"{target}/{path.relative_to(folder)}", path)


def _channel(lock: Path) -> Iterator[Entry]:
    """Yield the packages of a lock, and the indexes beside them, where they lie here."""
    files = [Path(unquote(urlsplit(entry.url).path)) for entry in read_explicit(lock)]
    indexes = {file.with_name("repodata.json") for file in files}
    for path in sorted({*files, *indexes}):
        yield file_entry(str(path).strip("/"), path)
