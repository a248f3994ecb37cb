"""What an earlier build left is damaged, gone, or changes under a build's hands."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.channel import index_channel
from slimpack import imaging, obtaining
from slimpack.cache import Cache
from slimpack.cache.limits import trim
from slimpack.cache.memo import sealed, unsealed
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InstallError
from slimpack.warm import basis, code, compiled, keys, locked, proof, swap, whole
from slimpack.warm.bytes import LayerBytes
from tests.warm.lab import SITE, Lab, blobs_of, memos_of, rewrite

WRONG = (b"", b"{}", b"null", b"[[]]")


@pytest.fixture(scope="module")
def changed(furnished: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, dict[str, Any]]:
    """The project with a changed package and application, and its build from nothing."""
    lab = furnished.copy(tmp_path_factory.mktemp("changed"))
    lab.change("beta", {f"{SITE}/beta/core.py": "import alpha\n"})
    (lab.project / "app/main.py").write_text("import beta\n")
    return lab, lab.cold()


@pytest.fixture
def cold(changed: tuple[Lab, dict[str, Any]], lab: Lab) -> dict[str, Any]:
    """What a build of the changed project from nothing tells; `lab` has the changes, too."""
    made, told = changed
    lab.packages, lab.made = dict(made.packages), dict(made.made)
    shutil.copytree(made.project, lab.project, dirs_exist_ok=True)
    shutil.copytree(made.folder / "cold.oci", lab.folder / "cold.oci")
    return copy.deepcopy(told)


def spoil(cache: Path, change: Callable[[Path], None]) -> None:
    """Change every blob of a cache that a build of the tests' can have made."""
    for path in blobs_of(cache):
        change(path)


def flip(path: Path) -> None:
    """Change a byte, and leave the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x20
    rewrite(path, bytes(data))


@pytest.mark.parametrize(
    "change", [flip, Path.unlink, lambda path: rewrite(path, path.read_bytes()[:-1])],
    ids=["flipped", "gone", "cut"],
)  # fmt: skip
def test_layers(lab: Lab, cold: dict[str, Any], change: Callable[[Path], None]) -> None:
    spoil(lab.cache, change)
    lab.compare(lab.warm(), cold)


def test_layers_of_a_build_that_is_known(lab: Lab) -> None:
    cold = lab.cold()
    spoil(lab.cache, flip)
    lab.compare(lab.warm(), cold)
    spoil(lab.cache, Path.unlink)
    lab.compare(lab.warm(), cold)


@pytest.mark.parametrize("moment", ["recalled", "swapped", "layered"])
def test_everything_is_pruned_meanwhile(
    lab: Lab, cold: dict[str, Any], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `slimpack cache prune --all` in another process does."""

    def prune(*arguments: object, **named: object) -> None:
        trim(Cache(lab.cache), 0)

    if moment == "recalled":
        before(monkeypatch, obtaining, "recall", prune)
    elif moment == "swapped":
        before(monkeypatch, swap, "relocate", prune)
    else:
        before(monkeypatch, LayerBytes, "open", prune)
    lab.compare(lab.warm(), cold)


def before(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, do: Callable[..., None]
) -> None:
    """Let something happen each time before a function is called."""
    original = getattr(where, name)

    def changed(*arguments: Any, **named: Any) -> Any:
        do(*arguments, **named)
        return original(*arguments, **named)

    monkeypatch.setattr(where, name, changed)


@pytest.mark.parametrize("data", WRONG)
def test_memos_of_another_shape(lab: Lab, cold: dict[str, Any], data: bytes) -> None:
    for path in memos_of(lab.cache):
        kind, key = path.parts[-3], path.parts[-2] + path.name
        rewrite(path, sealed(kind, key, data))
    lab.compare(lab.warm(), cold)


def test_memos_that_are_damaged(lab: Lab, cold: dict[str, Any]) -> None:
    for number, path in enumerate(memos_of(lab.cache)):
        data = path.read_bytes()
        rewrite(path, [data[:-1], b"", data[:20], bytes([*data[:-1], data[-1] ^ 1])][number % 4])
    lab.compare(lab.warm(), cold)


def test_memos_with_a_value_of_another_type(lab: Lab, cold: dict[str, Any]) -> None:
    """Whatever stands in them, a build gives the image that it gives from nothing."""
    chance = random.Random(4)
    kept = {path: path.read_bytes() for path in memos_of(lab.cache)}
    kinds: dict[str, list[Path]] = {}
    for path in kept:
        kinds.setdefault(path.parts[-3], []).append(path)
    for kind, paths in kinds.items():
        for _ in range(7 if kind == "part" else 1):
            path = chance.choice(paths)
            key = path.parts[-2] + path.name
            content = unsealed(kind, key, kept[path]) or b""
            if content.startswith((b"{", b"[")):
                lines = content.split(b"\n")  # a part has two
                number = chance.randrange(len(lines))
                value = mutated(json.loads(lines[number]), chance)
                lines[number] = json.dumps(value).encode()
                rewrite(path, sealed(kind, key, b"\n".join(lines)))
                assert lab.warm()["digest"] == cold["digest"], kind
                for other in memos_of(lab.cache):
                    rewrite(other, kept[other]) if other in kept else other.unlink()


def mutated(value: Any, chance: random.Random) -> Any:
    """Return JSON with one value, at any depth, of another type."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.97:
        copied = value.copy()
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        copied[key] = mutated(value[key], chance)
        return copied
    others: list[Any] = [None, 7, "text", [], {}, [["x"]], True, 0.5, {"a": 1}]
    return chance.choice([one for one in others if type(one) is not type(value)])


def test_the_interpreter_cannot_be_installed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.project / "app/main.py").write_text("import beta\n")
    install = RattlerEngine.install

    def failing(*arguments: Any, only: object = None, **named: Any) -> None:
        if only is not None:
            raise InstallError("no")
        install(*arguments, **named)

    monkeypatch.setattr(RattlerEngine, "install", failing)
    assert lab.same() == ""


def test_the_interpreter_does_not_run(lab: Lab) -> None:
    (lab.project / "app/main.py").write_text("import beta\n")
    lab.known()
    for path in (lab.cache / "python").glob("*/bin/*"):
        path.unlink()
    (lab.project / "app/main.py").write_text("import beta, alpha\n")
    assert lab.same() == ""


def test_part_of_another_code(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (code, basis, compiled, keys, locked, proof, whole):
        monkeypatch.setattr(module, "own_code", lambda: "other")
    assert lab.warm()["reused"] == ""
    assert lab.warm()["reused"] == "the environment"


def test_the_application_changes_while_it_is_built(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = lab.project / "app/main.py"
    main.write_text("import alpha # one\n")
    texts = iter(["import alpha # two\n", "import alpha # three\n", "import alpha # four\n"])

    def change(*arguments: object, **named: object) -> None:
        main.write_text(next(texts, "import alpha # five\n"))

    with monkeypatch.context() as patch:
        before(patch, imaging, "joined", change)
        assert "changed while it was packed" in lab.run(lab.cache, code=2).stderr
    lab.known()


def test_the_lock_changes_when_it_has_been_read(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is not remembered for what is there now."""
    lab.change("zulu", {"share/zulu/a.txt": "first\n"})
    first = dict(lab.packages)
    lab.change("zulu", {"share/zulu/a.txt": "second\n"})
    second, lab.packages = lab.packages, first
    read = RattlerEngine.read_lock

    def reading(*arguments: Any, **named: Any) -> Any:
        found = read(*arguments, **named)
        lab.packages = second
        lab.lock()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(RattlerEngine, "read_lock", reading)
        lab.warm()
    lab.swapped("zulu")


def test_a_channel_completes_a_list(lab: Lab) -> None:
    """A list of packages leaves out what its channels say, today and tomorrow."""
    del lab.packages["python"], lab.packages["gamma"]
    lines = [
        f"{path.as_uri()}#sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in lab.packages.values()
    ]
    (lab.project / "list.txt").write_text("\n".join(["@EXPLICIT", *lines, ""]))
    lab.config = lab.config.replace('entrypoint = ["python", "/app/main.py"]', "")
    lab.input = "list.txt"
    index_channel(lab.channel.folder)
    lab.warm()
    for path in lab.channel.folder.glob("*/repodata.json"):
        path.write_text(path.read_text().replace('"license":""', '"license":"MIT"'))
    lab.right()


def test_nothing_is_left(lab: Lab, cold: dict[str, Any]) -> None:
    lab.warm()
    assert list((lab.cache / "tmp").iterdir()) == []
    assert not list(lab.cache.rglob("*.tmp"))
