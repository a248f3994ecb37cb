"""What stays with what was touched: each rule alone, and what holds for all of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.trace import reasons
from slimpack.trace.closure import closure, keeps
from slimpack.trace.record import Trace
from slimpack.trace.walk import walk
from slimpack.tree import Entry, Kind, Tree, bytes_entry, directory_entry, symlink_entry

PREFIX = "/opt/env"
SITE = "lib/python3.11/site-packages"
Content = str | bytes | Entry


def link(target: str) -> Entry:
    return symlink_entry("x", target)


def program(text: str) -> Entry:
    return bytes_entry("x", text.encode(), mode=0o755)


def tree_of(files: Mapping[str, Content], owners: Mapping[str, str] | None = None) -> Tree:
    """Make a tree of paths below the prefix; absolute ones lie outside of it."""
    entries = []
    for name, content in files.items():
        path = name.strip("/") if name.startswith("/") else f"opt/env/{name}"
        if isinstance(content, Entry):
            entry = replace(content, path=path)
        else:
            data = content.encode() if isinstance(content, str) else content
            entry = bytes_entry(path, data)
        entries.append(replace(entry, owner=(owners or {}).get(name, "")))
    return Tree(entries)


def traced(*opened: str, statted: tuple[str, ...] = ()) -> Trace:
    return Trace(
        "sha256:1",
        (("p",),),
        tuple(f"opt/env/{path}" for path in opened),
        tuple(f"opt/env/{path}" for path in statted),
    )


def kept(
    files: Mapping[str, Content], *opened: str, owners: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what stays below the prefix, without directories."""
    found = keeps(tree_of(files, owners), PREFIX, [traced(*opened)])
    return {path.removeprefix("opt/env/"): reason for path, reason in found.items()}


def test_what_nobody_touched_goes_and_what_was_touched_stays() -> None:
    files = {"share/a": "", "share/b": "", "share/c": ""}
    found = keeps(tree_of(files), PREFIX, [traced("share/a", statted=("share/b",))])
    assert found == {"opt/env/share/a": reasons.OPENED, "opt/env/share/b": reasons.STATTED}


def test_several_traces_add_up() -> None:
    files = {"share/a": "", "share/b": "", "share/c": ""}
    found = keeps(tree_of(files), PREFIX, [traced("share/a"), traced("share/b")])
    assert list(found) == ["opt/env/share/a", "opt/env/share/b"]


def test_a_path_that_the_tree_lacks_says_nothing() -> None:
    assert kept({"share/a": ""}, "share/gone") == {}


def test_what_lies_outside_and_the_application_stay() -> None:
    files: dict[str, Content] = {"/etc/passwd": "", "/app/main.py": "", "share/mine": ""}
    tree = tree_of(files, {"share/mine": "application"})
    assert set(keeps(tree, PREFIX, [traced()], owners=("application",)).values()) == {
        reasons.OUTSIDE
    }


def test_an_application_inside_of_the_environment_imports_as_well() -> None:
    files = {"share/app/main.py": "import a\n", f"{SITE}/a.py": "", f"{SITE}/b.py": ""}
    tree = tree_of(files, {"share/app/main.py": "application"})
    found = keeps(tree, PREFIX, [traced()], owners=("application",))
    assert f"opt/env/{SITE}/a.py" in found
    assert f"opt/env/{SITE}/b.py" not in found


def test_links_stay_with_their_ends_and_their_ends_with_them() -> None:
    files: dict[str, Content] = {
        "lib/libz.so": link("libz.so.1"),
        "lib/libz.so.1": link("libz.so.1.2"),
        "lib/libz.so.1.2": "",
        "lib64": link("lib"),
        "lib/other.so": link("gone"),
    }
    assert set(kept(files, "lib/libz.so.1")) == set(files) - {"lib/other.so"}


def pyc(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-311.pyc"


def test_source_and_bytecode_stay_together() -> None:
    module = f"{SITE}/a/b.py"
    files: dict[str, Content] = {module: "", pyc(module): b""}
    assert set(kept(files, module)) == set(kept(files, pyc(module))) == set(files)


def test_late_imports_of_what_ran_stay_and_so_do_theirs() -> None:
    files: dict[str, Content] = {
        f"{SITE}/a/__init__.py": "def f():\n    from . import late\n    import b.c as d, e\n",
        f"{SITE}/a/late.py": "from a.deep import (\n    x,  # y\n    z,\n)\n"
        "from a.more import \\\n  w\n",
        f"{SITE}/a/deep/__init__.py": "",
        f"{SITE}/a/deep/z.cpython-311-x86_64-linux-gnu.so": b"",
        f"{SITE}/a/more/__init__.py": "",
        f"{SITE}/a/more/w.py": "NAME = 'a.string.here:main'\n",
        f"{SITE}/a/string/__init__.py": "",
        f"{SITE}/a/string/here.py": "",
        f"{SITE}/a/never.py": "",
        f"{SITE}/b/__init__.py": "",
        f"{SITE}/b/c.py": "",
        f"{SITE}/b/unused.py": "",
        f"{SITE}/e.py": "",
        f"{SITE}/unused/__init__.py": "",
    }
    found = kept(files, f"{SITE}/a/__init__.py")
    gone = {f"{SITE}/a/never.py", f"{SITE}/b/unused.py", f"{SITE}/unused/__init__.py"}
    assert set(found) == set(files) - gone
    assert set(found.values()) == {reasons.OPENED, reasons.IMPORT}


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "import a.b",
            "from a import b",
            "from .b import x",
            "from . import b",
            "from .import(b)",
        ),
        *("from.b import x", "try: import a.b", "if x: from . import b", "x = 1; import a.b"),
        *("  import c, a.b as d", "from . import (c,\n b)", "from . import c, \\\n  b"),
    ],
)
def test_every_way_to_write_an_import(statement: str) -> None:
    files = {f"{SITE}/a/__init__.py": f"{statement}\n", f"{SITE}/a/b.py": "", f"{SITE}/a/z.py": ""}
    assert set(kept(files, f"{SITE}/a/__init__.py")) == set(files) - {f"{SITE}/a/z.py"}


def test_the_application_imports_too() -> None:
    files = {"/app/main.py": "def f():\n    import a\n", f"{SITE}/a.py": "", f"{SITE}/b.py": ""}
    found = keeps(tree_of(files), PREFIX, [traced()])
    assert found == {"app/main.py": reasons.OUTSIDE, f"opt/env/{SITE}/a.py": reasons.IMPORT}


def test_modules_that_a_package_loads_by_name_stay() -> None:
    text = "NAMES = ['b', 'c.d', 'other']\ndef f(n):\n    import_module(f'.{n}', __name__)\n"
    files = {
        f"{SITE}/a/__init__.py": text,
        f"{SITE}/a/b.py": "",
        f"{SITE}/a/c/__init__.py": "",
        f"{SITE}/a/c/d.py": "",
        f"{SITE}/a/e.py": "",
        f"{SITE}/other.py": "",
    }
    gone = {f"{SITE}/a/e.py", f"{SITE}/other.py"}
    assert set(kept(files, f"{SITE}/a/__init__.py")) == set(files) - gone
    files[f"{SITE}/a/__init__.py"] = text.replace("import_module", "print")
    assert set(kept(files, f"{SITE}/a/__init__.py")) == {f"{SITE}/a/__init__.py"}


def test_modules_that_are_attributes_stay_when_the_application_names_them() -> None:
    lazy = "NAMES = ['b', 'c']\ndef __getattr__(n):\n    return import_module(f'a.{n}')\n"
    files = {f"{SITE}/a/__init__.py": lazy, f"{SITE}/a/b.py": "", f"{SITE}/a/c.py": ""}
    files["/app/main.py"] = "import a\nx = a.b.load()  # not b.a.c\n"
    assert f"{SITE}/a/b.py" in kept(files)
    assert f"{SITE}/a/c.py" not in kept(files)


def test_setuptools_keeps_what_it_brings_itself() -> None:
    files = {
        f"{SITE}/setuptools/__init__.py": "import distutils.core\n",
        f"{SITE}/setuptools/_distutils/__init__.py": "",
        f"{SITE}/setuptools/_distutils/core.py": "from .cmd import Command\n",
        f"{SITE}/setuptools/_distutils/cmd.py": "from jaraco.functools import pass_none\n",
        f"{SITE}/setuptools/_distutils/unixccompiler.py": "",
        f"{SITE}/setuptools/_vendor/jaraco/functools/__init__.py": "import more_itertools\n",
        f"{SITE}/setuptools/_vendor/more_itertools/__init__.py": "",
        f"{SITE}/setuptools/_vendor/wheel/__init__.py": "",
        f"{SITE}/other/__init__.py": "import distutils.unixccompiler, wheel\n",
    }
    found = kept(files, f"{SITE}/setuptools/__init__.py", f"{SITE}/other/__init__.py")
    assert set(files) - set(found) == {
        f"{SITE}/setuptools/_distutils/unixccompiler.py",
        f"{SITE}/setuptools/_vendor/wheel/__init__.py",
    }


def test_an_import_of_what_stays_anyway_is_followed() -> None:
    always, late = "lib/python3.11/plistlib.py", "lib/python3.11/xml/__init__.py"
    files = {f"{SITE}/a.py": "import plistlib\n", always: "import xml\n", late: ""}
    assert late not in kept(files)
    assert kept(files, f"{SITE}/a.py")[late] == reasons.IMPORT


def test_what_stays_always_keeps_its_compiled_half() -> None:
    always, half = "lib/python3.11/cProfile.py", "lib/python3.11/lib-dynload/_lsprof.abi3.so"
    files = {always: "import _lsprof\n", half: "", "lib/python3.11/lib-dynload/_other.so": ""}
    assert set(kept(files)) == {always, half}


def test_extension_modules_import_from_c() -> None:
    binary = f"{SITE}/a/_tree.cpython-311-x86_64-linux-gnu.so"
    files: dict[str, Content] = {
        f"{SITE}/a/__init__.py": "",
        binary: b"\x7fELF\0\0a._nodes\0\0a.not\xff._there\0",
        f"{SITE}/a/_nodes.abi3.so": b"",
        f"{SITE}/a/_there.so": b"",
    }
    assert set(kept(files, binary)) == set(files) - {f"{SITE}/a/_there.so"}


def test_data_of_what_is_in_use_stays_and_other_data_goes() -> None:
    files = {
        f"{SITE}/a/__init__.py": "",
        f"{SITE}/a/data/table.csv": "",
        f"{SITE}/a/tests/data/big.npz": "",
        f"{SITE}/a/include/a.h": "",
        f"{SITE}/a_data/words.txt": "",
        "share/a/model.bin": "",
        f"{SITE}/b/data.csv": "",
        "share/b/x": "",
        "lib/python3.11/json/__init__.py": "",
        "lib/python3.11/ensurepip/_bundled/pip.whl": "",
    }
    owners = {path: "a" for path in files if "/a" in path}
    owners |= {path: "python" for path in files if path.startswith("lib/python3.11/")}
    owners = {**owners, **{path: "a" for path in files if f"{SITE}/a" in path}}
    found = kept(files, f"{SITE}/a/__init__.py", "lib/python3.11/json/__init__.py", owners=owners)
    assert [path for path, reason in found.items() if reason == reasons.DATA] == [
        f"{SITE}/a/data/table.csv",
        f"{SITE}/a_data/words.txt",
        "share/a/model.bin",
    ]
    assert f"{SITE}/b/data.csv" not in found
    assert "lib/python3.11/ensurepip/_bundled/pip.whl" not in found


def test_data_of_a_package_that_no_conda_package_owns() -> None:
    files = {f"{SITE}/a/__init__.py": "", f"{SITE}/a/x.json": "", f"{SITE}/b/x.json": ""}
    assert f"{SITE}/a/x.json" in kept(files, f"{SITE}/a/__init__.py")
    assert f"{SITE}/b/x.json" not in kept(files, f"{SITE}/a/__init__.py")


INFO = f"{SITE}/a-1.0.dist-info"
DISTRIBUTION: dict[str, Content] = {
    f"{SITE}/a/__init__.py": "",
    f"{SITE}/a/plugin.py": "",
    f"{SITE}/a/cli.py": "",
    f"{INFO}/METADATA": "Name: a\n",
    f"{INFO}/licenses/LICENSE": "",
    f"{INFO}/RECORD": "a/__init__.py,,\na/plugin.py,,\n../../../bin/a,,\n/etc/passwd,,\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\na = a.cli:main\n[x.y]\nP = a.plugin [more]\n",
    "bin/a": program("#!/opt/env/bin/python\n"),
    "bin/python": program("\x7fELF"),
    "bin/other": program("#!/opt/env/bin/python\n"),
}


def test_a_distribution_in_use_keeps_its_metadata_and_entry_points() -> None:
    found = kept(DISTRIBUTION, f"{SITE}/a/__init__.py")
    assert set(found) == set(DISTRIBUTION) - {"bin/other"}
    assert found[f"{INFO}/licenses/LICENSE"] == reasons.METADATA
    assert found[f"{SITE}/a/plugin.py"] == reasons.ENTRY
    assert found["bin/python"] == reasons.SCRIPT


def test_metadata_that_was_read_stays_whole_and_brings_no_code() -> None:
    found = kept(DISTRIBUTION, f"{INFO}/entry_points.txt")
    assert set(found) == {path for path in DISTRIBUTION if path.startswith(INFO)}


def test_metadata_of_what_is_unused_goes() -> None:
    assert kept(DISTRIBUTION, "bin/python") == {"bin/python": reasons.OPENED}


@pytest.mark.parametrize("name", ["RECORD", "entry_points.txt"])
@pytest.mark.parametrize("data", [b"\xff\0\n[", b'"' * 200_000, b"[a\n=\n", b"../" * 5000 + b",,"])
def test_damaged_metadata_is_no_obstacle(name: str, data: bytes) -> None:
    files = {**DISTRIBUTION, f"{INFO}/{name}": data}
    assert f"{SITE}/a/__init__.py" in kept(files, f"{SITE}/a/__init__.py")


@pytest.mark.parametrize(
    "path",
    [
        "conda-meta/a-1.json",
        "ssl/cacert.pem",
        "ssl/openssl.cnf",
        f"{SITE}/certifi/cacert.pem",
        f"{SITE}/pip/_vendor/certifi/cacert.pem",
        "lib/python3.11/encodings/idna.py",
        "lib/python3.11/lib-dynload/_codecs_jp.cpython-311-x86_64-linux-gnu.so",
        "lib/python3.11/_strptime.py",
        "share/terminfo/x/xterm-256color",
        "etc/fonts/fonts.conf",
    ],
)
def test_what_no_trace_shows_stays_always(path: str) -> None:
    assert path in kept({path: "", "share/other": ""})


@pytest.mark.parametrize(
    ("opened", "sibling", "together"),
    [
        ("libcudnn.so.9", "libcudnn_ops.so.9", True),
        ("libcudnn_graph.so.9", "libcudnn_engines_precompiled.so.9", True),
        ("libmkl_core.so.2", "libmkl_avx512.so.2", True),
        ("libnvrtc.so.12", "libnvrtc-builtins.so.12.4", True),
        ("libtorch.so", "libtorch_cuda.so", True),
        # The whole opens its parts; a part does not open the whole.
        ("libonnxruntime_providers_shared.so", "libonnxruntime.so.1", False),
        ("libopenblas64_p-r0-1.so", "libopenblas.so.0", False),
        ("libxml2.so.2", "libxslt.so.1", False),
        ("libx_a.so", "libx_b.so", False),
    ],
)
def test_families_of_libraries(opened: str, sibling: str, together: bool) -> None:
    files = {f"lib/{opened}": b"", f"lib/{sibling}": b"", f"lib/elsewhere/{sibling}": b""}
    found = kept(files, f"lib/{opened}")
    assert (f"lib/{sibling}" in found) is together
    assert f"lib/elsewhere/{sibling}" not in found


def test_plugin_folders_stay_whole() -> None:
    files = {
        "lib/ossl-modules/legacy.so": b"",
        "lib/ossl-modules/fips.so": b"",
        "lib/qt6/plugins/a.so": b"",
        "lib/other/b.so": b"",
        "lib/other/c.so": b"",
    }
    found = kept(files, "lib/ossl-modules/fips.so", "lib/other/b.so")
    assert found["lib/ossl-modules/legacy.so"] == reasons.PLUGINS
    assert "lib/qt6/plugins/a.so" not in found
    assert "lib/other/c.so" not in found


def test_libraries_that_are_needed_stay(tmp_path: Path) -> None:
    for name, needs in (("libfirst.so.1", ()), ("libsecond.so.1", ("libfirst.so.1",))):
        source = tmp_path / "x.c"
        source.write_text(f"int f_{name.partition('.')[0]};\n")
        command = [
            "gcc",
            "-shared",
            "-fPIC",
            "-nostdlib",
            "-Wl,--no-as-needed",
            f"-Wl,-soname,{name}",
        ]
        libraries = [str(tmp_path / need) for need in needs]
        subprocess.run([*command, "-o", str(tmp_path / name), str(source), *libraries], check=True)
    files: dict[str, Content] = {
        f"{SITE}/a.cpython-311-x86_64-linux-gnu.so": (tmp_path / "libsecond.so.1").read_bytes(),
        "lib/libfirst.so.1": link("libfirst.so.1.0"),
        "lib/libfirst.so.1.0": (tmp_path / "libfirst.so.1").read_bytes(),
        "lib/libthird.so.1": b"\x7fELF damaged",
    }
    found = kept(files, f"{SITE}/a.cpython-311-x86_64-linux-gnu.so", "lib/libthird.so.1")
    assert found["lib/libfirst.so.1"] == found["lib/libfirst.so.1.0"] == reasons.NEEDED


def test_the_root_may_be_the_prefix() -> None:
    tree = Tree([bytes_entry("lib/a", b""), bytes_entry("ssl/x", b""), directory_entry("empty")])
    assert keeps(tree, "/", [Trace("i", (), ("lib/a",))]) == {
        "lib/a": reasons.OPENED,
        "ssl/x": reasons.ALWAYS,
    }


PATHS = [
    *("bin/python", "lib/libaaaa.so.1", "lib/libaaaa_b.so.1", "share/x", "lib/plugins/p.so"),
    *(f"{SITE}/a/__init__.py", f"{SITE}/a/b.py", pyc(f"{SITE}/a/b.py"), f"{SITE}/c.py"),
    *(f"{SITE}/a/t.txt", f"{SITE}/a-1.dist-info/METADATA", f"{SITE}/a-1.dist-info/RECORD"),
    *("lib/x.so", "/app/m.py", "conda-meta/a.json"),
]
CONTENTS = st.one_of(
    st.sampled_from(
        [
            *("import a.b\n", "from a import b\n", "import c\n", "a/b.py,,\nc.py,,\n"),
            *("#!/opt/env/bin/python\n", "x = 'a.b:m'\n", ""),
        ]
    ),
    st.sampled_from(["../x", "lib/x.so", "/opt/env/share/x", "x", "nothing"]).map(link),
)


@given(
    st.dictionaries(st.sampled_from(PATHS), CONTENTS),
    st.lists(st.sampled_from(PATHS), max_size=4),
    st.dictionaries(st.sampled_from(PATHS), st.sampled_from(["p", "q"])),
)
def test_what_holds_for_every_closure(
    files: dict[str, Content], opened: list[str], owners: dict[str, str]
) -> None:
    tree = tree_of(files, owners)
    trace = traced(*(path for path in opened if not path.startswith("/")))
    stays = closure(tree, PREFIX, trace)
    assert {path for path in trace.opened if path in tree} <= stays
    smaller = tree.filter(lambda entry: entry.path in stays)
    assert closure(smaller, PREFIX, trace) == stays
    links = {entry.path: entry.link for entry in tree if entry.kind is Kind.SYMLINK}
    for path in links:
        passed, end = walk(links, path)
        if path in stays and end in tree:
            assert {*passed, end} <= stays
