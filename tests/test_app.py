from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from slimpack.app import OWNER, collect, prepare
from slimpack.config import AppConfig, CopyRule
from slimpack.errors import InputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    for name in ("main.py", "pkg/mod.py", "pkg/data.csv", "notes.ipynb", ".git/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/main.cpython-311.pyc").write_text("stale")
    (folder / "link").symlink_to("pkg/mod.py")
    return folder


def paths(*rules: CopyRule) -> list[str]:
    return [entry.path for entry in collect(AppConfig(copy=rules))]


def test_copies_a_folder_without_what_is_ignored(source: Path) -> None:
    rule = CopyRule(source, "/app", ("*.ipynb", "pkg/*.csv"))
    assert paths(rule) == ["app/link", "app/main.py", "app/pkg/mod.py"]
    tree = collect(AppConfig(copy=(rule,)))
    assert {entry.owner for entry in tree} == {OWNER}
    assert tree["app/link"].link == "pkg/mod.py"


def test_ignore_patterns_are_git_s(source: Path) -> None:
    assert paths(CopyRule(source, "/app", ("*", "!main.py"))) == ["app/main.py"]
    assert paths(CopyRule(source, "/app", ("/pkg/", "link", "*.ipynb"))) == ["app/main.py"]


def test_copies_a_file_to_a_name_or_into_a_folder(source: Path) -> None:
    assert paths(CopyRule(source / "main.py", "/app/run.py")) == ["app/run.py"]
    assert paths(CopyRule(source / "main.py", "/app/")) == ["app/main.py"]


def test_what_is_wrong_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        paths(CopyRule(tmp_path / "none", "/app"))
    with pytest.raises(InputError, match=r"/app/main\.py is copied twice"):
        paths(CopyRule(source, "/app"), CopyRule(source / "main.py", "/app/"))
    with pytest.raises(InputError, match="lies below app"):
        paths(CopyRule(source / "main.py", "/app"), CopyRule(source, "/app"))
    (source / "escape").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="leads out of"):
        paths(CopyRule(source, "/app"))
    (source / "escape").unlink()
    os.mkfifo(source / "fifo")
    with pytest.raises(InputError, match="neither a file"):
        paths(CopyRule(source, "/app"))


def test_links_lead_to_the_same_file_in_the_image(source: Path) -> None:
    (source / "absolute").symlink_to(source / "pkg/data.csv")
    (source / "loop").symlink_to("loop")
    rule = CopyRule(source, "/app", ("loop",))
    assert collect(AppConfig(copy=(rule,)))["app/absolute"].link == "pkg/data.csv"
    with pytest.raises(InputError, match="or nowhere"):
        paths(CopyRule(source, "/app"))
    (source / "loop").unlink()
    latest = collect(AppConfig(copy=(CopyRule(source / "link", "/srv/model"),)))["srv/model"]
    assert latest.read() == b"pkg/mod.py"


def test_a_folder_that_cannot_be_read_is_an_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("pkg"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="pkg: Permission denied"):
        paths(CopyRule(source, "/app"))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to(sys.executable)
    return tmp_path / "env"


def prepared(source: Path, prefix: Path, tmp_path: Path, code: str) -> AppConfig:
    (source / "make.py").write_text(code)
    rule = CopyRule(source, "/app", ("make.py", "pkg", "*.ipynb", "link"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    config = AppConfig(prepare=("python", "make.py"), copy=(rule,))
    return prepare(config, prefix=prefix, env=[("GIVEN", "yes")], scratch=scratch)


def test_prepare_adds_files_and_leaves_the_source_alone(
    source: Path, prefix: Path, tmp_path: Path
) -> None:
    code = (
        "import os, pathlib\n"
        "text = pathlib.Path('pkg/data.csv').read_text() + os.environ['GIVEN']\n"
        "pathlib.Path('model').write_text(text)\n"
        "pathlib.Path('main.py').write_text('changed')\n"
        "assert 'HOST_SECRET' not in os.environ\n"
    )
    os.environ["HOST_SECRET"] = "1"
    try:
        config = prepared(source, prefix, tmp_path, code)
    finally:
        del os.environ["HOST_SECRET"]
    tree = collect(config)
    assert [entry.path for entry in tree] == ["app/main.py", "app/model"]
    assert tree["app/model"].read() == b"pkg/data.csvyes"
    assert (source / "main.py").read_text() == "main.py"
    assert not (source / "model").exists()


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/app/shared.py", True),
        ("/app/", True),
        ("app", True),
        ("/lib", False),
        ("/lib/x.py", False),
    ],
)
def test_prepare_finds_modules_that_will_lie_beside_it(
    source: Path, prefix: Path, tmp_path: Path, target: str, found: bool
) -> None:
    shared = tmp_path / "other/shared.py"
    shared.parent.mkdir()
    shared.write_text("VALUE = 'shared'\n")
    (source / "make.py").write_text("import given, shared; print(open('made', 'w').write('x'))")
    given = tmp_path / "given"
    given.mkdir()
    (given / "given.py").touch()
    other = shared if target.endswith(("/", ".py")) else shared.parent
    rules = (CopyRule(source, "/app/", ("link",)), CopyRule(other, target))
    config = AppConfig(prepare=("python", "make.py"), copy=rules)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def made() -> AppConfig:
        env = [("PYTHONPATH", str(given))]
        return prepare(config, prefix=prefix, env=env, scratch=scratch)

    if found:
        assert {"app/made", "app/shared.py"} <= {entry.path for entry in collect(made())}
    else:
        with pytest.raises(InputError) as caught:
            made()
        assert "No module named 'shared'" in caught.value.details


def test_prepare_that_fails_shows_its_output(source: Path, prefix: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="failed with exit code 7") as caught:
        prepared(source, prefix, tmp_path, "print('no data'); raise SystemExit(7)")
    assert caught.value.details == "no data"


def test_prepare_needs_its_program(source: Path, prefix: Path, tmp_path: Path) -> None:
    config = AppConfig(prepare=("rustc",), copy=(CopyRule(source, "/app"),))
    with pytest.raises(InputError, match="no program 'rustc' in the environment"):
        prepare(config, prefix=prefix, env=[], scratch=tmp_path)
