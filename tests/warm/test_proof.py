"""What an earlier build proved counts as long as it must come out the same, and no longer."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import pytest

from slimpack.cache import memory
from slimpack.cache.memo import sealed
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import SlimpackError
from slimpack.oci.layer import Layer
from slimpack.oci.rootfs import layer_members
from slimpack.oci.untar import Member
from slimpack.verify import opening
from slimpack.warm import members, proof
from tests.support.channel import MiniChannel
from tests.support.command import call, variables
from tests.warm.lab import Lab, fresh
from tests.warm.test_real import furnish

pytestmark = pytest.mark.channel

SITE = "lib/python3.11/site-packages"
READER = """
import os

if os.path.exists("/app/limits.txt"):
    with open("/app/limits.txt") as stream:
        int(stream.read())
"""
SMOKE = """
[image]
workdir = "/app"
[[verify.smoke]]
command = ["python", "-c", "import sys; sys.path.insert(0, '/app'); import main"]
"""
ALL, REST = "everything", "all but files of the application"


class ProvenLab(Lab):
    """A project whose images are verified on the runtime that users have."""

    def command(self, output: Path) -> tuple[str, ...]:
        where = ("--sandbox", "auto", "-o", f"{output}/")
        return ("build", self.input, *where, "--json", *self.options)

    def kept(self, *arguments: object) -> str:
        """Build with the warm cache; return what had been proven before."""
        return str(self.warm(*arguments)["verified"]["kept"])

    def text(self) -> str:
        """Build; return the summary that people see."""
        arguments = ("build", self.input, "-o", "again.tar", *self.options)
        return call(arguments, self.project, variables(self.cache)).stdout

    def fails(self, text: str, *arguments: object) -> None:
        """Check that a build is refused."""
        assert text in self.run(self.cache, *arguments, code=11).stderr

    def write(self, name: str, text: str) -> None:
        """Write a file of the application."""
        (self.project / "app" / name).write_text(text)


@pytest.fixture(scope="module")
def proven(
    channel: str,
    engine: RattlerEngine,
    cache_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> ProvenLab:
    """A project that was proven once. Nobody may change it."""
    folder = tmp_path_factory.mktemp("proven")
    options = ("--level", "1")
    lab = ProvenLab(folder, MiniChannel(folder / "channel"), options=options)
    furnish(lab, engine, channel, "python 3.11.*", "click")
    lab.put("reader", {f"{SITE}/reader.py": READER}, depends=("python",))
    lab.write("main.py", "import click\n")
    fresh(cache_dir, lab.cache)
    assert lab.kept() == ""
    return lab


@pytest.fixture
def lab(proven: ProvenLab, tmp_path: Path) -> ProvenLab:
    """The project with a cache of the test's own."""
    copied = proven.copy(tmp_path)
    return ProvenLab(
        copied.folder, copied.channel, copied.config, copied.options, copied.packages, copied.made
    )


def checks(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**one, "seconds": 0} for one in told["verified"]["checks"]]


def test_the_same_image_is_proven_once(lab: ProvenLab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lab.warm("--verify-again")
    assert first["verified"]["kept"] == ""
    second = lab.warm("--tag", "other:1")  # another build, which comes to the same
    assert second["reused"] == "the environment"
    assert (second["digest"], checks(second)) == (first["digest"], checks(first))
    assert (second["verified"]["kept"], second["verified"]["subject"]) == (ALL, "other:1")
    assert lab.kept() == ALL  # and one of which nothing was looked at
    assert "proven before: everything" in lab.text()
    monkeypatch.setattr(proof, "machine_identity", lambda platform: ["another kernel"])
    assert lab.kept("--tag", "other:2") == ""


def test_an_application_with_another_content(lab: ProvenLab) -> None:
    lab.write("main.py", "import click  # more\n")
    told = lab.warm()
    assert told["verified"]["kept"] == REST
    assert lab.kept("--tag", "other:1") == ALL
    again = lab.warm("--verify-again", "--tag", "other:2")
    assert checks(again) == checks(told)
    lab.write("main.py", f"KEY = 'AKIA{'Q' * 16}'\n")
    lab.fails("holds a AWS access key")


def test_where_memory_fills_up_meanwhile_the_disk_is_used(
    lab: ProvenLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def full_at_first(image: object, folder: Path, *names: str, **named: Any) -> object:
        folders.append(folder)
        if len(folders) == 1:
            raise SlimpackError("cannot write") from OSError(errno.ENOSPC, "no space left")
        return open_image(image, folder, *names, **named)

    open_image: Any = opening.open_image
    monkeypatch.setattr(memory, "_is_fit", lambda *room: True)
    monkeypatch.setattr(opening, "open_image", full_at_first)
    assert lab.kept("--verify-again") == ""
    in_memory, on_disk = folders
    assert in_memory.is_relative_to(memory.PLACE)
    assert not on_disk.is_relative_to(memory.PLACE)
    assert not in_memory.parent.exists()


def test_smoke_tests_see_every_image(lab: ProvenLab) -> None:
    lab.config += SMOKE
    lab.warm()
    lab.write("main.py", "import click  # more\n")
    assert lab.kept() == "all but smoke"
    lab.write("main.py", "import nothing\n")
    lab.fails("No module named 'nothing'")


def test_what_a_module_reads_when_it_is_imported(lab: ProvenLab) -> None:
    lab.write("limits.txt", "1\n")
    assert lab.kept() == ""  # another file
    lab.write("limits.txt", "2\n")
    assert lab.kept() == ""
    lab.write("limits.txt", "none\n")
    lab.fails("import reader fails")


def test_an_application_in_front_of_a_package(lab: ProvenLab) -> None:
    lab.config += '[image.env]\nPYTHONPATH = "/app"\n'
    lab.write("click.py", "x = 1\n")
    lab.warm()
    lab.write("main.py", "import click  # more\n")
    assert lab.kept() == ""
    lab.write("click.py", "raise OSError('not this one')\n")
    lab.fails("not this one")


def test_a_package_of_modules_that_changes(lab: ProvenLab) -> None:
    lab.change("reader", {f"{SITE}/reader.py": "x = 1\n"})
    told = lab.warm()
    kept = "files of all packages but reader, imports of all but "
    assert re.fullmatch(rf"{kept}\d of \d{{3}} modules", told["verified"]["kept"])
    assert checks(lab.warm("--verify-again", "--tag", "other:1")) == checks(told)
    # Another package is not there when the first look is taken.
    lab.change("reader", {f"{SITE}/reader.py": "import click\n"})
    assert re.fullmatch(r"imports of all but \d of \d{3} modules", lab.kept())


def test_a_package_that_does_not_import_any_more(lab: ProvenLab) -> None:
    lab.change("reader", {f"{SITE}/reader.py": "raise OSError('broken')\n"})
    told = lab.warm()  # from nothing, as only that environment tells whose fault it is
    (imports,) = (one for one in told["verified"]["checks"] if one["name"] == "imports")
    assert "broken" in imports["findings"][0]["message"]
    assert told["verified"]["kept"] == ""


@pytest.mark.parametrize("change", ['workdir = "/"', 'env = { A = "1" }', 'cmd = ["python", "-V"]'])
def test_another_configuration(lab: ProvenLab, change: str) -> None:
    lab.config += f"[image]\n{change}\n"
    assert lab.kept() in ("", "imports")


@pytest.mark.parametrize("data", [b"null", b"[]", b'{"results": 1}', b'{"verification": {}}'])
def test_what_is_remembered_may_be_anything(lab: ProvenLab, data: bytes) -> None:
    for kind in ("proof", "imported"):
        for path in sorted((lab.cache / "memos" / kind).glob("*/*")):
            path.unlink()
            path.write_bytes(sealed(kind, path.parent.name + path.name, data))
    assert lab.kept("--tag", "other:1") == ""


def test_contradicting_options(lab: ProvenLab) -> None:
    done = lab.run(lab.cache, "--verify-again", "--no-verify", code=2)
    assert "contradict" in done.stderr


def test_layers_are_read_for_their_names_once_and_new_ones_never(
    lab: ProvenLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = []

    def list_them(layer: Layer) -> list[Member]:
        listed.append(layer.name)
        return layer_members(layer)

    monkeypatch.setattr(members, "layer_members", list_them)
    lab.warm("--verify-again")
    assert listed == []
    lab.change("reader", {f"{SITE}/reader.py": "x = 2\n"})
    lab.warm()
    assert listed == []
