"""Why a file stays, and the lists that say which ones do whatever a trace saw."""

from __future__ import annotations

import re
from typing import Final

from slimpack.slim.kinds import kind_of

OPENED: Final = "opened"
STATTED: Final = "asked-for"
OUTSIDE: Final = "not-of-the-environment"
ALWAYS: Final = "always"
NAMED: Final = "another-name"
BYTECODE: Final = "source-and-bytecode"
IMPORT: Final = "import"
ENTRY: Final = "entry-point"
NEEDED: Final = "needed-library"
FAMILY: Final = "library-family"
PLUGINS: Final = "plugins"
SCRIPT: Final = "interpreter"
METADATA: Final = "metadata"
DATA: Final = "package-data"

REASONS: Final = {
    OPENED: "the workload opened or executed it, or it is a link on the way to what it did",
    STATTED: "the workload asked for it",
    OUTSIDE: "the base, the application and what else lies outside of the environment",
    ALWAYS: "certificates, encodings, settings and records: needed by what no trace shows",
    NAMED: "a link that leads to a file that stays, or to a folder of one",
    BYTECODE: "source and bytecode of a module stay together",
    IMPORT: "a module that stays imports it, if only inside of a function",
    ENTRY: "a distribution in use names it in its entry points",
    NEEDED: "an ELF file that stays names it in DT_NEEDED",
    FAMILY: "a sibling of a library in use: which one is opened depends on the machine",
    PLUGINS: "lies in the plug-in folder from which another one was opened",
    SCRIPT: "the first line of a program that stays names it",
    METADATA: "the record of a distribution of which something stays",
    DATA: "data of a package in use",
}
"""Name of a rule -> what it says."""

USE: Final = frozenset({OPENED, IMPORT, ENTRY, NEEDED, FAMILY, PLUGINS, SCRIPT})
"""A file kept for one of these shows that its package is in use; the other reasons do not."""

RUNS: Final = frozenset({OPENED, IMPORT, ENTRY, OUTSIDE})
"""A Python module kept for one of these may run."""


def strength(reason: str) -> int:
    """Return how much a reason says of the use of a file: 2 it may run, 1 it is used, 0 nothing."""
    return 2 if reason in RUNS else int(reason in USE)


# Below the prefix.
ALWAYS_KEPT: Final = (
    "conda-meta",
    "etc",
    "ssl",
    "share/slimpack",
    "share/ca-certificates",
    "**/cacert.pem",
    "lib/python*/site-packages/certifi",
    # Imported by name, from C or from a string that is put together.
    "lib/python*/encodings",
    "lib/python*/lib-dynload/_codecs_*",
    "lib/python*/lib-dynload/_multibytecodec.*",
    "lib/python*/_sysconfigdata*",
    "lib/python*/__pycache__/_sysconfigdata*",
    # The interpreter and its extension modules import single modules by name (_strptime,
    # _compat_pickle, linecache, locale): 4 MB keep all that are no package.
    "lib/python*/*.py",
    # What the terminals of containers are called.
    *(f"share/terminfo/{name}" for name in ("d/dumb", "l/linux", "v/vt100", "a/ansi")),
    *(f"share/terminfo/{name}" for name in ("x/xterm", "x/xterm-color", "x/xterm-256color")),
    *(f"share/terminfo/{name}" for name in ("s/screen", "s/screen-256color", "t/tmux")),
    "share/terminfo/t/tmux-256color",
)

# Folders from which programs open whatever lies there: Qt, GStreamer, OpenSSL, iconv, SASL,
# gdk-pixbuf, GIO, Kerberos, GDAL, ONNX, HDF5.
PLUGIN_FOLDER: Final = re.compile(
    r"plugins?|engines-[\d.]+|ossl-modules|gconv|sasl2|loaders|gdalplugins|modules|backends",
    re.IGNORECASE,
)

# libcudnn.so.9 and libcudnn_ops.so.9; libmkl_core.so.2 and libmkl_avx2.so.2; libnvrtc.so.12
# and libnvrtc-builtins.so.12.4; libtorch.so and libtorch_cpu.so.
_LIBRARY = re.compile(r"(?P<stem>lib[\w+]*?[A-Za-z0-9+])(?:[_.-][^/]*)?\.so(?:\.[\w.]+)?\Z")
_SHORTEST_STEM = 6  # "libx_a" and "libx_b" need not belong together

# Kinds of files that are no data of a running program (`slimpack.slim.kinds`).
_NOT_DATA = frozenset(
    {
        *("library", "static library", "program", "Python source", "bytecode", "headers"),
        *("tests", "type stubs", "metadata"),
    }
)


def family(name: str) -> str:
    """Return the stem that the parts of one library have in common, "" for no library."""
    match = _LIBRARY.match(name)
    return match["stem"] if match and len(match["stem"]) >= _SHORTEST_STEM else ""


def is_part(name: str) -> bool:
    """Whether a library is a part of its family, not the one that opens the parts."""
    stem = family(name)
    return bool(stem) and name[len(stem)] in "_-"


def is_data(path: str) -> bool:
    """Whether a file, by its path below the prefix, is what running code may read."""
    return kind_of(path) not in _NOT_DATA
