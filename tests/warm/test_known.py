"""The application, the configuration or the set of packages changes."""

from __future__ import annotations

import shutil

import pytest

from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.warm.keys import package_identities
from tests.elf.builder import make_elf
from tests.warm.lab import SITE, Lab, write_base


def test_an_application_of_all_kinds(lab: Lab) -> None:
    app = lab.project / "app"
    (app / "main.py").write_text("import alpha  # more\n")
    (app / "new.py").write_text("import beta\n")
    (app / "tool.py").unlink()
    (app / "data.bin").write_bytes(bytes(range(256)) * 20_000)
    (app / "link").symlink_to("data.bin")
    script = app / "run"
    script.write_text("#!/usr/bin/env python\nprint()\n")
    script.chmod(0o755)
    lab.known()


@pytest.mark.parametrize(
    "text",
    [
        "import alpha.tests.test_alpha\n",
        "import tkinter.tests\n",
        "open('libplugin1.so')\n",
    ],
)
def test_an_application_that_asks_for_what_went(lab: Lab, text: str) -> None:
    (lab.project / "app/new.py").write_text(text)
    assert lab.right() in ("", "the environment")


def test_an_application_with_a_library(lab: Lab) -> None:
    (lab.project / "app/lib.so").write_bytes(make_elf(needed=("libplugin1.so",)))
    lab.right()


def test_a_script_that_asks_for_a_dead_link(lab: Lab) -> None:
    script = lab.project / "app/run"
    script.write_text("#!/usr/bin/env nothing\n")
    script.chmod(0o755)
    lab.known()


def test_an_application_in_the_place_of_what_went(lab: Lab) -> None:
    lab.config += '[[app.copy]]\nfrom = "alpha.h"\nto = "/opt/env/include/alpha.h"\n'
    (lab.project / "alpha.h").write_text("int other;\n")
    caches = (lab.cache, lab.folder / "cold")
    errors = [lab.run(cache, code=2).stderr.partition("error: ")[2] for cache in caches]
    assert errors[0] == errors[1]
    assert "is a file of the environment too" in errors[0]


@pytest.mark.parametrize(
    ("change", "reused"),
    [
        pytest.param(('profile = "serve"', 'profile = "none"'), "", id="none"),
        pytest.param(('profile = "serve"', 'profile = "safe"'), "", id="safe"),
        pytest.param(('profile = "serve"', 'profile = "tight"'), "", id="tight"),
        pytest.param(("rules = ", 'drop = ["share/zulu"]\nrules = '), "", id="drop"),
        pytest.param(("rules = ", 'keep = ["include"]\nrules = '), "", id="keep"),
        pytest.param(("rules = ", 'disable = ["headers"]\nrules = '), "", id="disable"),
        pytest.param(("[image]", '[image]\nprefix = "/opt/other"'), "", id="prefix"),
        pytest.param(
            ("[image]", '[image]\nallow_build_paths = ["/opt/env/share/*"]'), "", id="allow"
        ),
        pytest.param(("[image]", "[image]\nlayers = 1"), "the environment", id="one-layer"),
        pytest.param(
            ("[image]", '[image]\ncompression = "gzip"'), "the environment", id="compression"
        ),
        pytest.param(
            ("[slim]", 'user = "7"\n[image.env]\nA = "1"\n[slim]'),
            "the environment",
            id="variables",
        ),
    ],
)
def test_configuration(lab: Lab, change: tuple[str, str], reused: str) -> None:
    lab.config = lab.config.replace(*change)
    assert lab.right() == reused


def test_rules_whose_file_changed(lab: Lab) -> None:
    rules = lab.project / "rules.toml"
    rules.write_text(rules.read_text().replace("share/data", "share/zulu"))
    assert lab.right() == ""


def test_another_epoch(lab: Lab) -> None:
    assert lab.same(SOURCE_DATE_EPOCH="86400") == "the environment"


def test_another_base(lab: Lab) -> None:
    shutil.rmtree(lab.folder / "base")
    write_base(lab.folder / "base", "root:x:0:0::/:/nologin\n")
    assert lab.right() == ""


def test_packages_come_and_go(lab: Lab) -> None:
    lab.put("omega", {f"{SITE}/omega.py": "x = 1\n"})
    assert lab.right() == ""
    del lab.packages["zulu"]
    assert lab.right() == ""
    lab.packages = dict(reversed(lab.packages.items()))
    lab.known()


def test_needs_that_spare_others(lab: Lab) -> None:
    """What depends on a package that compiles at run time keeps its headers."""
    lab.put("pyopencl", {"share/pyopencl.txt": "x\n"})
    lab.change("alpha", {f"{SITE}/alpha/alpha.h": "int a;\n"}, depends=("zulu",))
    lab.warm()
    lab.change("zulu", {}, depends=("pyopencl",))
    assert lab.right() == ""


def test_the_first_package_of_a_lock_is_known_as_any_other() -> None:
    """rattler sorts by URL: a package from another channel changes who comes first."""
    packages = tuple(
        LockedPackage(name, "1", "0", "noarch", f"https://h/noarch/{name}-1-0.conda", sha256=name)
        for name in ("a", "b")
    )
    blocks = [f"- conda: {one.url}\n  sha256: {one.sha256}\n" for one in packages]
    one, other = (
        package_identities(Lock("linux-64", packages, "\npackages:\n" + "".join(order)))
        for order in (blocks, blocks[::-1])
    )
    assert one == other
    assert one is not None
    assert len(set(one.values())) == 2
