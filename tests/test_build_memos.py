"""What is remembered of builds may be anything: others write into caches that registries keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from slimpack.cache.layers import LayerCache
from slimpack.cache.memo import MALFORMED, sealed, unsealed
from slimpack.errors import DaemonError
from slimpack.part import Part
from slimpack.slim.decisions import application_answers
from slimpack.tree import bytes_entry
from slimpack.verify import verifying
from slimpack.verify.model import Finding, Result, Verification
from slimpack.warm.remembered import Remembered
from tests.support.channel import MiniChannel
from tests.warm.lab import SITE, Lab

pytestmark = pytest.mark.channel


JUNK: tuple[Any, ...] = (None, 1, -1.5, True, "x", [], {}, [1], ["x"], [["x"]], {"x": 1}, {"": []})


DEEP = b"[" * 100_000


KINDS = ("part", "family", "bytecode", "sharing", "duplicates", "lock")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A project with some packages that was built once. Nobody may change it."""
    folder = tmp_path_factory.mktemp("memos")
    lab = Lab(folder, MiniChannel(folder / "channel"))
    lab.python()
    lab.put("alpha", {f"{SITE}/alpha/__init__.py": "", f"{SITE}/alpha/tests/test_a.py": "\n"})
    lab.put("twins", {"share/one.txt": "same\n" * 3000, "share/two.txt": "same\n" * 3000})
    lab.config = "[slim]\nprofile = 'serve'\n[[app.copy]]\nfrom = 'app'\nto = '/app'\n"
    (lab.project / "app").mkdir()
    (lab.project / "app/main.py").write_text("import alpha\n")
    lab.warm()
    return lab


def memos(cache: Path, kind: str) -> list[Path]:
    return sorted(path for path in (cache / "memos" / kind).rglob("*") if path.is_file())


def content(path: Path) -> bytes:
    kind, head, rest = path.parts[-3:]
    data = unsealed(kind, head + rest, path.read_bytes())
    assert data is not None
    return data


def places(value: Any, depth: int = 3) -> Iterator[tuple[str | int, ...]]:
    """Yield the ways to whatever is in a JSON value; of lists and large objects, to a few."""
    if depth and isinstance(value, dict | list):
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys if len(keys) < 40 else keys[:2]:
            yield (key,)
            yield from ((key, *more) for more in places(value[key], depth - 1))


def test_a_part_of_any_shape_is_a_part_or_is_told(built: Lab) -> None:
    (path,) = memos(built.cache, "part")
    text = content(path)
    texts = text.split(b"\n")
    application = [bytes_entry("app/main.py", b"import alpha\nload('libx.so')\n")]
    assert json.loads(texts[0])["part"]["source"] == ""  # where it was built is nobody's business
    assert str(built.folder) not in text.decode()
    told = 0
    for number, way in [(n, way) for n in (0, 1) for way in places(json.loads(texts[n]))]:
        for junk in JUNK:
            value = json.loads(texts[number])
            place = value
            for key in way[:-1]:
                place = place[key]
            place[way[-1]] = junk
            changed = [*texts[:number], json.dumps(value).encode(), *texts[number + 1 :]]
            try:
                found = Remembered.from_json(b"\n".join(changed))
                part = found.to_part(lambda layer, path: pytest.fail("nobody reads"))
                if found.questions:
                    application_answers(found.questions, application, "/opt/env")
                assert found.decisions is None or found.decisions.questions is found.questions
                assert isinstance(found.fixed, frozenset)
                assert all(isinstance(one, str) for one in (*found.paths, *found.links.values()))
            except MALFORMED:
                told += 1
            else:
                check(part)
    assert told > 500
    for data in (DEEP, texts[0] + b"\n" + DEEP, texts[0]):
        with pytest.raises(MALFORMED):
            _ = Remembered.from_json(data).decisions


def check(part: Part) -> None:
    """Look at what a build will use without another look."""
    texts = (
        part.cuda,
        part.engine,
        part.source,
        *part.notes,
        *part.placeholders,
        *part.titles.values(),
    )
    pairs = [text for pair in part.activation.env for text in pair]
    assert all(isinstance(text, str) for text in (*texts, *pairs, *part.activation.path))
    assert all(type(number) is int for number in (part.packages, part.pypi, *part.devices))
    assert part.bytecode + part.bytecode


@pytest.mark.parametrize(
    "data", [b"null", b"[]", b'{"x": 1}', b"7", b'{"files": 1}', b"\xff", DEEP]
)
def test_memos_of_any_shape_do_no_harm(built: Lab, tmp_path: Path, data: bytes) -> None:
    lab = built.copy(tmp_path)
    for kind in KINDS:
        found = memos(lab.cache, kind)
        assert found, kind
        for path in found:
            folder = path.parent
            path.unlink()  # a link to that of the project that nobody may change
            path.write_bytes(sealed(kind, folder.name + path.name, data))
    (lab.project / "app/main.py").write_text("import alpha\nx = 1\n")
    lab.same()


@pytest.mark.parametrize(("check", "made", "kept"), [("imports", 2, 0), ("smoke", 1, 1)])
def test_what_is_not_proven_is_not_remembered(
    built: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, made: int, kept: int
) -> None:
    """A warm build cannot tell what failed in the environment, too; one from nothing can."""
    lab = built.copy(tmp_path)
    finding = Finding("", "does not work")
    wrong = Verification(
        "x", "image", "linux/amd64", "x", (Result(check, "error", "", "", (finding,)),)
    )
    calls = []

    def verify(*_: object, **options: object) -> Verification:
        calls.append(options["before"])
        return wrong

    monkeypatch.setattr(verifying, "verify", verify)
    (lab.project / "app/main.py").write_text("import alpha\nx = 2\n")
    assert "does not work" in lab.run(lab.cache, "--verify", code=11).stderr
    assert [bool(before) for before in calls] == [False, True][:made]
    fresh = tmp_path / "fresh"
    lab.run(fresh, "--verify", code=11)
    assert len(memos(fresh, "part")) == kept


def test_an_error_of_a_build_that_started_over_is_told_as_it_is(
    built: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = built.copy(tmp_path)
    monkeypatch.setattr(LayerCache, "recheck", lambda self: True)
    monkeypatch.setattr("slimpack.build.deliver", no_engine)
    assert "no engine answers" in lab.run(lab.cache, code=DaemonError.exit_code).stderr


def no_engine(*_: object, **__: object) -> NoReturn:
    raise DaemonError("no engine answers")


@pytest.mark.parametrize(
    ("place", "junk"),
    [
        (("questions", "modules"), {}),
        (("questions", "ignored"), {"x": 1}),
        (("decisions", "changes"), [[1, 2, 3, 4, 5]]),
        (("decisions", "account"), "{}"),
        (("links",), {"": "share"}),
        (("rows",), [["..", "file", 1, "twins", 1, "", 0, 0, "", 0]]),
    ],
)
def test_other_packages_in_a_part_of_any_shape(
    built: Lab, tmp_path: Path, place: tuple[str, ...], junk: Any
) -> None:
    lab = built.copy(tmp_path)
    (path,) = memos(lab.cache, "part")
    values = [json.loads(line) for line in content(path).split(b"\n")]
    inner = next(value for value in values if place[0] in value)
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    key = path.parent.name + path.name
    path.unlink()
    path.write_bytes(sealed("part", key, b"\n".join(json.dumps(one).encode() for one in values)))
    lab.change("alpha", {f"{SITE}/alpha/more.py": "import os\n"})
    lab.run(lab.cache)
