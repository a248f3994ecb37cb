"""Many changes one after another: errors that add up would show."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.channel import PLACEHOLDER, Executable, Symlink
from tests.elf.builder import make_elf
from tests.warm.lab import SITE, Lab

NAMES = ("alpha", "beta", "gamma", "links", "listed", "native", "twin-one", "zones", "zulu")


def walk(lab: Lab, seed: int, steps: int, every: int) -> list[str]:
    """Take steps; compare with a build from nothing every few. Return what was used again."""
    chance = random.Random(seed)
    told = []
    for number in range(1, steps + 1):
        for _ in range(chance.choice((1, 1, 1, 2))):
            chance.choice(STEPS)(lab, chance)
        told.append(lab.same() if number % every == 0 else str(lab.warm()["reused"]))
    return told


def _source(lab: Lab, chance: random.Random) -> None:
    name = chance.choice(("alpha", "beta", "zulu", "listed"))
    text = chance.choice(("x = 1\n", "import alpha\n", "import beta.tests.helpers\n", "x = '\n"))
    lab.change(name, {f"{SITE}/{name}/m{chance.randrange(3)}.py": f"# {chance.random()}\n{text}"})


def _data(lab: Lab, chance: random.Random) -> None:
    name = chance.choice(NAMES)
    texts = ("one\n", f"{PLACEHOLDER}/x\n", "free\n" * 200, "libplugin1.so", "y" * 40_000)
    paths = (f"share/{name}/d.txt", f"include/{name}.h", f"share/{name}/LICENSE")
    lab.change(name, {chance.choice(paths): chance.choice(texts)})


def _tests(lab: Lab, chance: random.Random) -> None:
    name = chance.choice(("alpha", "beta", "zulu"))
    text = chance.choice(("import os\n", "from beta.tests import util\n", ""))
    lab.change(name, {f"{SITE}/{name}/tests/t{chance.randrange(2)}.py": text})


def _gone(lab: Lab, chance: random.Random) -> None:
    name = chance.choice(NAMES)
    files = sorted(lab.made[name][0])
    if len(files) > 1:
        lab.change(name, {}, chance.choice(files))


def _rare(lab: Lab, chance: random.Random) -> None:
    name = chance.choice(("alpha", "zulu", "listed"))
    files = (
        {f"lib/lib{name}.so": make_elf(needed=("libplugin2.so",))},
        {f"share/{name}/link": Symlink("d.txt")},
        {f"bin/{name}": Executable("#!/usr/bin/env python\n")},
        {f"etc/conda/activate.d/{name}.sh": f"export {name.upper()}=1\n"},
        {f"{SITE}/namespace/{name}.py": "x = 1\n"},
        {"share/twins/same.txt": "same\n"},
    )
    lab.change(name, chance.choice(files))


def _application(lab: Lab, chance: random.Random) -> None:
    texts = ("import alpha\n", "import beta.tests.util\n", "x = 1\n", "open('libplugin2.so')\n")
    path = lab.project / "app" / f"a{chance.randrange(3)}.py"
    if path.exists() and chance.random() < 0.3:
        path.unlink()
    else:
        path.write_text(f"# {chance.random()}\n{chance.choice(texts)}")


def _set(lab: Lab, chance: random.Random) -> None:
    if "extra" in lab.packages and chance.random() < 0.7:
        del lab.packages["extra"]
    else:
        lab.put("extra", {"share/extra.txt": "x\n"}, depends=chance.choice(((), ("zulu",))))


STEPS: tuple[Callable[[Lab, random.Random], None], ...] = (
    *(_source, _source, _source, _source, _source, _data, _data, _data, _data),
    *(_application, _application, _application, _tests, _gone, _rare, _set),
)


def test_many_changes(lab: Lab) -> None:
    told = walk(lab, seed=17, steps=12, every=4)
    assert sum(map(bool, told)) > 3
