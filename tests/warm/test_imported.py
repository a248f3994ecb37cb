"""Modules that are imported again after packages have changed, and those that are not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slimpack.cache.memo import Memo, sealed
from slimpack.config import VerifyConfig
from slimpack.tree import Entry, Kind, Tree, bytes_entry, symlink_entry
from slimpack.verify.context import Context, Watched
from slimpack.warm.imported import Files, files_of, import_key, keep_imported, recall_imported
from slimpack.warm.pure import pure_owners
from tests.verify.subjects import Mode, check, on_host, subject

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
LIBRARY = f"lib/python{VERSION}"
SITE = f"{LIBRARY}/site-packages"
Packages = dict[str, dict[str, Any]]
NOTE = "import os\nwith open(os.environ['NOTES'], 'a') as out:\n    out.write(__name__ + '\\n')\n"
"""What a module begins with whose import is to be seen."""


@dataclass
class World:
    """An environment of made-up packages below `folder`, whose Python is the one of the tests.

    packages: name -> path below site-packages -> content.
    """

    folder: Path
    packages: Packages
    tied: frozenset[str] = frozenset()
    kept: str = ""
    failed: list[str] = field(default_factory=list)

    def verify(self) -> list[str]:
        """Import what has to be imported; return which modules were, but for those at the start."""
        root, notes = self.folder / "root", self.folder / "notes"
        shutil.rmtree(root, ignore_errors=True)
        notes.write_text("")
        program = (
            f'#!/bin/sh\nPYTHONPATH="{root / SITE}" NOTES="{notes}" exec {sys.executable} -S "$@"\n'
        )
        on = subject(
            self.folder,
            {
                f"bin/python{VERSION}": Mode(0o755, program),
                **{path: content for path, (_, content) in self.files().items()},
                **{f"conda-meta/{name}-1-0.json": self.record(name) for name in self.packages},
            },
            kind="prefix",
        )
        files, memos = self.known(), Memo(self.folder / "memos")
        key = import_key(["world"], files)
        before = recall_imported(key, files, memos)
        watched = Watched(known=before.known if before else frozenset(), record=True)
        plain = on_host(on, VerifyConfig())
        context = Context(config=plain.config, runner=plain.runner, watched=watched)
        self.failed = [finding.message for finding in check("imports").run(on, context)]
        keep_imported(key, files, watched, on.lookup, before, memos)
        asked, total = watched.counts
        self.kept = f"{asked} of {total}" if before else "nothing"
        return notes.read_text().split()

    def files(self) -> dict[str, tuple[str, Any]]:
        """Return path -> (package, content)."""
        return {
            f"{SITE}/{path}": (name, content)
            for name, contents in self.packages.items()
            for path, content in contents.items()
        }

    def known(self) -> Files:
        """Return the files as a build knows them."""
        entries = [
            bytes_entry(path, content.encode(), owner=owner)
            for path, (owner, content) in self.files().items()
        ]
        records = [
            bytes_entry(f"conda-meta/{name}-1-0.json", b"{}", owner=name) for name in self.packages
        ]
        return files_of(Tree([*entries, *records]), "", lambda: self.tied)

    def record(self, name: str) -> Mapping[str, Any]:
        """Return a package's record of conda's."""
        paths = [f"{SITE}/{path}" for path in self.packages[name]]
        return {"name": name, "version": "1", "build": "0", "build_number": 0, "files": paths}


def module(text: str = "") -> str:
    return NOTE + text


LIBRARIES: Packages = {
    "below": {"below/__init__.py": module(), "below/data.txt": "1", "below/more.py": "x = 1\n"},
    "uses": {"uses/__init__.py": module("import below\n")},
    "above": {"above/__init__.py": module("from uses import below\n")},
    "alone": {"alone.py": module()},
}


def world(folder: Path, packages: Packages | None = None) -> World:
    """A world that was verified once, in which everything was imported."""
    made = World(folder, {name: dict(files) for name, files in (packages or LIBRARIES).items()})
    assert sorted(made.verify()) == sorted(
        {path.split("/")[0].removesuffix(".py") for files in made.packages.values()
         for path, content in files.items() if NOTE in content}
    )  # fmt: skip
    assert (made.kept, made.failed) == ("nothing", [])
    return made


def test_importers_of_what_changed(tmp_path: Path) -> None:
    on = world(tmp_path)
    assert on.verify() == []
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert sorted(on.verify()) == ["above", "below", "uses"]
    assert on.kept == "3 of 4"
    on.packages["alone"]["alone.py"] = module("1 / 0\n")
    assert on.verify() == ["alone", "alone"]  # the second time alone
    assert "division by zero" in on.failed[0]
    on.packages["alone"]["alone.py"] = module()
    assert on.verify() == ["alone"]
    assert on.failed == []


def test_an_importer_that_breaks(tmp_path: Path) -> None:
    on = world(
        tmp_path,
        {**LIBRARIES, "uses": {"uses.py": module("import below\nfrom below import more\n")}},
    )
    del on.packages["below"]["below/more.py"]
    on.verify()
    assert any("import uses fails: ImportError: cannot import name 'more'" in one
               for one in on.failed)  # fmt: skip
    on.verify()  # what failed is asked each time
    assert len(on.failed) == 2


def test_what_was_loaded_already_counts(tmp_path: Path) -> None:
    # Each of these finds `below` in sys.modules, as "a_first" has imported it.
    packages = {
        "below": LIBRARIES["below"],
        "alone": LIBRARIES["alone"],
        "a-first": {"a_first.py": module("import below\n")},
        "statement": {"statement.py": module("import below\n")},
        "inner": {"inner.py": module("from below.more import x\n")},
        "function": {"function.py": module("import importlib\nimportlib.import_module('below')\n")},
        "finder": {
            "finder.py": module("from importlib.util import find_spec\nfind_spec('below')\n")
        },
        "native": {
            # As compiled code does it: past builtins.__import__ and importlib.
            "native.py": module(
                "import ctypes\n"
                "load = ctypes.pythonapi.PyImport_ImportModuleLevel\n"
                "load.restype = ctypes.py_object\n"
                "load.argtypes = [ctypes.c_char_p, *[ctypes.py_object] * 3, ctypes.c_int]\n"
                "load(b'below', {}, {}, [], 0)\n"
            )
        },
    }
    on = world(tmp_path, packages)
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert sorted(on.verify()) == sorted(
        ["a_first", "below", "finder", "function", "inner", "native", "statement"]
    )


def test_what_a_function_loads_for_the_first_who_calls(tmp_path: Path) -> None:
    lazy = (
        "state = []\n"
        "def value():\n"
        "    if not state:\n"
        "        import below\n"
        "        state.append(below)\n"
        "    return state[0]\n"
    )
    on = world(
        tmp_path,
        {
            "below": LIBRARIES["below"],
            "lazy": {"lazy.py": module(lazy)},
            "a-first": {"a_first.py": module("import lazy\nlazy.value()\n")},
            "second": {"second.py": module("import lazy\nlazy.value()\n")},
        },
    )
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert sorted(on.verify()) == ["a_first", "below", "lazy", "second"]


@pytest.mark.parametrize(
    ("reads", "change", "message"),
    [
        ("open(place).read()", {"below/data.txt": "2"}, "1"),
        ("open(place).read()", {"below/data.txt": None}, "No such file"),
        ("os.path.exists(place)", {"below/data.txt": None}, "FAILED"),
        ("not os.path.exists(place + '2')", {"below/data.txt2": ""}, "FAILED"),
        ("len(os.listdir(folder)) == 3", {"below/data.txt2": ""}, "FAILED"),
        ("len([*pathlib.Path(folder).glob('*')]) == 3", {"below/sub/x.txt": ""}, "FAILED"),
        ("len([*os.walk(folder)]) == 1", {"below/sub/x.txt": ""}, "FAILED"),
    ],
)
def test_readers_of_files(
    tmp_path: Path, reads: str, change: dict[str, str | None], message: str
) -> None:
    text = (
        "import pathlib\n"
        "folder = os.path.join(os.path.dirname(__file__), 'below')\n"
        "place = os.path.join(folder, 'data.txt')\n"
        f"found = {reads}\n"
        "assert found in ('1', True), 'FAILED 1'\n"
    )
    on = world(tmp_path, {**LIBRARIES, "reads": {"reads.py": module(text)}})
    for path, content in change.items():
        if content is None:
            del on.packages["below"][path]
        else:
            on.packages["below"][path] = content
    assert set(on.verify()) == {"above", "below", "uses", "reads"}
    assert [message in one for one in on.failed] == [True]


ASKS = ("exists", "lexists", "isfile", "not isdir", "not islink", "realpath")


@pytest.mark.parametrize("ask", ASKS)
def test_who_asks_what_is_there_does_not_see_what_is_in_it(tmp_path: Path, ask: str) -> None:
    """As inspect asks of the files of all modules, when PyTorch wants to know who called it."""
    text = f"from os.path import *\nassert {ask}(join(dirname(__file__), 'below', 'data.txt'))\n"
    on = world(tmp_path, {**LIBRARIES, "asks": {"asks.py": module(text)}})
    on.packages["below"]["below/data.txt"] = "2"
    assert set(on.verify()) == {"above", "below", "uses"}
    del on.packages["below"]["below/data.txt"]
    on.packages["below"]["below/data.txt/now_a_folder.txt"] = ""
    assert set(on.verify()) == {"above", "below", "uses", "asks"}


@pytest.mark.parametrize("ask", ["stat", "lstat", "path.getsize", "path.getmtime"])
def test_who_asks_how_large_it_is_does(tmp_path: Path, ask: str) -> None:
    text = f"os.{ask}(os.path.join(os.path.dirname(__file__), 'below', 'data.txt'))\n"
    on = world(tmp_path, {**LIBRARIES, "asks": {"asks.py": module(text)}})
    on.packages["below"]["below/data.txt"] = "22"
    assert "asks" in on.verify()


@pytest.mark.parametrize("ask", ["version('below')", "entry_points(group='x')"])
def test_readers_of_metadata(tmp_path: Path, ask: str) -> None:
    # The first one who asks has the names of the folder read, and importlib.metadata keeps them.
    first = module("from importlib.metadata import version\nversion('uses')\n")
    asks = module(
        "from importlib.metadata import entry_points, version\n"
        f"try:\n    told = {ask}\nexcept Exception:\n    told = ''\n"
        "assert not told or told == '1', told\n"
    )
    packages: Packages = {
        "below": {**LIBRARIES["below"], "below-1.dist-info/METADATA": "Name: below\nVersion: 1\n"},
        "uses": {**LIBRARIES["uses"], "uses-1.dist-info/METADATA": "Name: uses\nVersion: 1\n"},
        "a-first": {"a_first.py": first},
        "asks": {"asks.py": asks},
        "alone": LIBRARIES["alone"],
    }
    on = world(tmp_path, packages)
    del on.packages["below"]["below-1.dist-info/METADATA"]
    on.packages["below"] |= {
        "below-2.dist-info/METADATA": "Name: below\nVersion: 2\n",
        "below-2.dist-info/entry_points.txt": "[x]\ny = below:z\n",
    }
    assert set(on.verify()) == {"a_first", "asks", "below"}
    assert len(on.failed) == 1
    assert "alone" not in on.verify()


def test_an_optional_import_that_appears(tmp_path: Path) -> None:
    text = "try:\n    import below.extra\nexcept ImportError:\n    pass\n"
    on = world(tmp_path, {**LIBRARIES, "asks": {"asks.py": module(text)}})
    on.packages["below"]["below/extra.py"] = "1 / 0\n"
    assert "asks" in on.verify()
    assert "import asks fails: ZeroDivisionError" in "".join(on.failed)
    on.packages["below"]["below/extra.py"] = ""
    on.verify()
    text = "try:\n    import appears\nexcept ImportError:\n    pass\n"
    on.packages["asks"]["asks.py"] = module(text)
    assert on.verify() == ["asks"]
    on.packages["below"]["appears.py"] = "1 / 0\n"
    assert set(on.verify()) == {"asks", "below"}
    assert "import asks fails: ZeroDivisionError" in "".join(on.failed)


def test_a_module_in_front_of_another(tmp_path: Path) -> None:
    on = world(tmp_path, {**LIBRARIES, "asks": {"asks.py": module("import alone\nalone.os\n")}})
    on.packages["below"]["alone/__init__.py"] = "x = 1\n"  # a folder comes before alone.py
    on.verify()
    assert on.kept == "3 of 5"
    assert "has no attribute 'os'" in "".join(on.failed)


def test_a_module_in_front_of_the_standard_library(tmp_path: Path) -> None:
    on = world(tmp_path, {**LIBRARIES, "asks": {"asks.py": module("import colorsys\n")}})
    on.packages["below"]["colorsys.py"] = "1 / 0\n"  # PYTHONPATH comes first
    assert "asks" in on.verify()
    assert "import asks fails: ZeroDivisionError" in "".join(on.failed)


def test_a_folder_of_two_packages(tmp_path: Path) -> None:
    on = world(tmp_path)
    on.packages["alone"]["below/plugin.py"] = ""
    assert len(on.verify()) == 4


def test_programs_that_are_started(tmp_path: Path) -> None:
    text = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)\n"
    on = world(tmp_path, {**LIBRARIES, "starts": {"starts.py": module(text)}})
    on.packages["alone"]["alone.py"] += "x = 1\n"
    assert set(on.verify()) == {"alone", "starts"}


def test_modules_without_a_spec(tmp_path: Path) -> None:
    # Whoever imports `made`, nobody sees it, nor that `below` decides what it is.
    makes = "import below, sys, types\nsys.modules['made'] = types.ModuleType('made')\n"
    packages = {**LIBRARIES, "makes": {"makes.py": module(makes)}}
    on = world(tmp_path, {**packages, "zz": {"zz.py": module("import made\n")}})
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert "zz" in on.verify()


OWN = """
import below, sys, types
class Own(types.ModuleType):
    def __getattr__(self, name):
        raise AttributeError(name)
{}
sys.modules['made'] = Own('made')
"""


def test_modules_of_a_class_of_their_own_get_a_spec(tmp_path: Path) -> None:
    """As PyTorch has them: who imports one is seen, and others need not be imported again."""
    packages = {**LIBRARIES, "makes": {"makes.py": module(OWN.format(""))}}
    on = world(tmp_path, {**packages, "zz": {"zz.py": module("import made\n")}})
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert set(on.verify()) == {"above", "below", "makes", "uses", "zz"}


@pytest.mark.parametrize(
    "own",
    [
        "    __spec__ = None",
        "    def __getattribute__(self, name):\n        return super().__getattribute__(name)",
        "    def __setattr__(self, name, value):\n        self.__dict__[name] = value",
    ],
)
def test_whatever_depends_on_those_that_may_hide_it(tmp_path: Path, own: str) -> None:
    packages = {**LIBRARIES, "makes": {"makes.py": module(OWN.format(own))}}
    on = world(tmp_path, {**packages, "zz": {"zz.py": module("import made\n")}})
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert {"alone", "zz"} <= set(on.verify())


def test_modules_that_are_said_not_to_be_there(tmp_path: Path) -> None:
    # All of these depend on what said so; others do not.
    says = "import below, sys\nsys.modules['nothing'] = None\n"
    asks = "try:\n    import nothing\nexcept ImportError:\n    pass\n"
    packages = {**LIBRARIES, "says": {"says.py": module(says)}}
    on = world(tmp_path, {**packages, "zz": {"zz.py": module(asks)}})
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert set(on.verify()) == {"above", "below", "says", "uses", "zz"}


def test_what_dies_is_not_known(tmp_path: Path) -> None:
    packages: Packages = {**LIBRARIES, "dies": {"dies.py": "import alone, os\nos._exit(3)\n"}}
    on = World(tmp_path, {name: dict(files) for name, files in packages.items()})
    on.verify()
    assert len(on.failed) == 1
    on.packages["below"]["below/more.py"] = "x = 2\n"
    on.verify()
    assert on.kept == "4 of 5"
    assert len(on.failed) == 1


@pytest.mark.parametrize("data", [b"null", b"{}", b'{"files": {}, "loaded": {}, "dependence": 1}'])
def test_what_is_remembered_may_be_anything(tmp_path: Path, data: bytes) -> None:
    on = world(tmp_path)
    (path,) = (tmp_path / "memos/imported").glob("*/*")
    path.write_bytes(sealed("imported", path.parent.name + path.name, data))
    assert len(on.verify()) == 4


def test_other_files_than_of_modules_alone(tmp_path: Path) -> None:
    on = world(tmp_path)
    on.tied = frozenset({"below"})  # with a library, say
    assert len(on.verify()) == 4
    on.packages["below"]["below/more.py"] = "x = 2\n"
    assert len(on.verify()) == 4


def entry(path: str, owner: str = "p", **fields: Any) -> Entry:
    made = bytes_entry(path, b"x", owner=owner)
    return Entry(**{**{name: getattr(made, name) for name in made.__dataclass_fields__}, **fields})


INIT = f"{SITE}/p/__init__.py"


@pytest.mark.parametrize(
    "more",
    [
        f"{SITE}/p/x.cpython-311-x86_64-linux-gnu.so",
        f"{SITE}/p.pth",
        f"{SITE}/sitecustomize.py",
        f"{SITE}/usercustomize/__init__.py",
        f"{SITE}/__pycache__/sitecustomize.cpython-311.pyc",
        f"{SITE}/p.egg/p.py",
        f"{SITE}/space/inner/__init__.py",
        f"{LIBRARY}/x.py",
        "share/p/x.txt",
        "etc/conda/activate.d/p.sh",
        "conda-meta/pinned",
        "bin/folder/x",
    ],
)
def test_packages_that_are_more_than_modules(more: str) -> None:
    assert pure_owners([entry(INIT), entry(more)], "", frozenset()) == frozenset()


def test_packages_of_modules() -> None:
    names = (
        *(INIT, f"{SITE}/p/data/x.bin", f"{SITE}/p-1.dist-info/METADATA", f"{SITE}/q.py"),
        *(f"{SITE}/__pycache__/q.cpython-311.pyc", "conda-meta/p-1-0.json", "bin/p"),
    )
    inside = [entry(f"opt/env/{name}") for name in names]
    others = [entry(f"opt/env/{SITE}/{name}", "r") for name in ("r.py", "__pycache__/r.pyc")]
    records = [entry("opt/env/conda-meta/s-1-0.json", "s")]
    found = pure_owners([*inside, *others, *records], "/opt/env", frozenset())
    assert found == {"p", "r"}
    assert pure_owners(inside, "/opt/env", frozenset({"p"})) == frozenset()
    shared = [*inside, entry(f"opt/env/{SITE}/p/more.py", "r"), *others]
    assert pure_owners(shared, "/opt/env", frozenset()) == frozenset()
    link = symlink_entry(f"opt/env/{SITE}/p/link", "x", owner="p")
    assert link.kind is Kind.SYMLINK
    assert pure_owners([*inside, link], "/opt/env", frozenset()) == frozenset()
    assert pure_owners([entry(INIT, "cuda-python")], "", frozenset()) == frozenset()


def test_what_records_are_kept_by() -> None:
    base = [entry(INIT), entry("lib/libx.so", "native")]

    def key(*entries: Entry) -> str:
        return import_key(["x"], files_of(Tree(entries), "", lambda: frozenset()))

    assert key(*base) == key(entry(INIT, identity="other"), base[1])
    assert key(*base) != key(base[0], entry("lib/libx.so", "native", identity="other"))
    assert key(*base) != key(base[0], entry("lib/libx.so", "native", mode=0o755))
    assert key(base[0], entry("lib/libx.so", "native", identity="")) == ""
    assert import_key(["x"], files_of(Tree(base), "", None)) == ""


def test_records_hold_no_more_than_they_should(tmp_path: Path) -> None:
    world(tmp_path)
    (path,) = (tmp_path / "memos/imported").glob("*/*")
    value = json.loads(path.read_bytes().partition(b"{")[2].join((b"{", b"")))
    assert value["failed"] == {}
    assert value["loaded"] == {"above": "above", "alone": "alone", "below": "below", "uses": "uses"}
    assert value["dependence"]["edge"]["uses"].count("below") == 1
    assert str(tmp_path) not in json.dumps(value)
