"""`slimpack bundle create` of what is no image yet: built as a build does, and its lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimpack.bundle.reader import open_bundle
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from tests.oci.oci_images import PLAIN, files_below, sample_image
from tests.support.channel import MiniChannel, Run

pytestmark = pytest.mark.channel


@pytest.fixture
def spec(mini: MiniChannel, tmp_path: Path) -> Path:
    """An environment.yml, and a base beside it."""
    mini.add("tool", {"share/tool.txt": "hello\n"})
    path = tmp_path / "environment.yml"
    path.write_text(f"channels: ['{mini.url}']\ndependencies: [tool]\n")
    write_layout(sample_image(tmp_path / "made", PLAIN), tmp_path / "base", ["base:1"])
    (tmp_path / "slimpack.toml").write_text(
        '[image]\nbase = "base"\nprefix = "/opt/own"\nname = "team/serve"\ntags = ["1.0"]\n'
    )
    return path


def test_a_specification(spec: Path, run: Run, tmp_path: Path) -> None:
    """The image is that of a build; its documents and its lock go with it."""
    create = ("bundle", "create", "environment.yml", "-o", "site.tar")
    run(*create, cwd=tmp_path)
    run("build", "environment.yml", "-o", "built.tar", cwd=tmp_path)
    bundle = open_bundle(tmp_path / "site.tar")
    (one,) = bundle.statement.images
    assert one.names == ("docker.io/team/serve:1.0",)
    assert one.digest == read_image(tmp_path / "built.tar").digest
    kinds = {str(item.descriptor["artifactType"]) for item in one.attached}
    assert kinds == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
    (lock,) = [file for file in bundle.statement.files if file.kind == "lock"]
    assert lock.path == "locks/team-serve-1.0.pixi.lock"
    assert b"/tool-1.0" in bundle.read(lock.path, 1 << 20)
    # The lock gives the same image, and goes in as it is.
    (tmp_path / "pixi.lock").write_bytes(bundle.read(lock.path, 1 << 20))
    for _ in range(2):
        again = (*create[:2], "pixi.lock", "--no-documents", *create[3:])
        run(*again, cwd=tmp_path)
        other = open_bundle(tmp_path / "site.tar")
        assert other.statement.images[0].digest == one.digest
        assert other.statement.images[0].attached == ()
        assert other.read(lock.path, 1 << 20) == (tmp_path / "pixi.lock").read_bytes()


def test_the_same_bytes_from_another_cache(spec: Path, run: Run, tmp_path: Path) -> None:
    create = ("bundle", "create", "environment.yml", "-o")
    run(*create, "one.tar", cwd=tmp_path)
    run(*create, "two.tar", cwd=tmp_path, env={"SLIMPACK_CACHE_DIR": str(tmp_path / "other")})
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_folder_with_a_configuration(spec: Path, run: Run, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    text = (tmp_path / "slimpack.toml").read_text().replace('"base"', '"../base"')
    (app / "slimpack.toml").write_text(f'{text}\n[env]\nspec = "../environment.yml"\n')
    (app / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    (tmp_path / "slimpack.toml").unlink()
    for given in ("app", "app/slimpack.toml"):
        run("bundle", "create", given, "-o", "app/site.tar", "--no-documents", cwd=tmp_path)
        bundle = open_bundle(app / "site.tar")
        assert [one.names for one in bundle.statement.images] == [("docker.io/team/serve:1.0",)]
        (app / "site.tar").unlink()


def test_nothing_is_built_for_a_name_that_is_missing_or_taken(
    spec: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "second.yml").write_text(spec.read_text())
    create = ("bundle", "create", "environment.yml", "second.yml", "-o", "site.tar")
    done = run(*create, cwd=tmp_path, code=2)
    assert "environment.yml and second.yml are two images under one name" in done.stderr
    assert "solve" not in done.stderr
    (tmp_path / "slimpack.toml").write_text('[image]\nbase = "base"\nprefix = "/opt/own"\n')
    done = run(*create, cwd=tmp_path, code=2)
    assert "--name environment.yml=NAME:TAG" in done.stderr
    names = ("--name", "environment.yml=a:1", "--name", "second.yml=b:1")
    told = run(*create, *names, "--json", "--no-documents", cwd=tmp_path).stdout
    # It is the same image, so it is there once; so is its lock.
    (image,) = json.loads(told)["images"]
    assert image["names"] == ["docker.io/library/a:1", "docker.io/library/b:1"]
    locks = [x.path for x in open_bundle(tmp_path / "site.tar").statement.files if x.kind == "lock"]
    assert locks == ["locks/a-1.pixi.lock", "locks/b-1.pixi.lock"]


def test_a_build_that_fails_leaves_nothing(spec: Path, run: Run, tmp_path: Path) -> None:
    spec.write_text(spec.read_text().replace("[tool]", "[tool, nothing-of-that-name]"))
    before = files_below(tmp_path)
    run("bundle", "create", "environment.yml", "-o", "site.tar", cwd=tmp_path, code=3)
    assert files_below(tmp_path) == before


def test_a_lock_loses_its_credentials(spec: Path, run: Run, tmp_path: Path) -> None:
    """This channel is a folder, so that credentials can only be in a comment."""
    run("lock", "environment.yml", "-o", "pixi.lock", cwd=tmp_path)
    text = (tmp_path / "pixi.lock").read_text()
    (tmp_path / "pixi.lock").write_text(f"{text}# https://me:secret@example.com/channel\n")
    run("bundle", "create", "pixi.lock", "-o", "site.tar", "--no-documents", cwd=tmp_path)
    assert b"secret" not in (tmp_path / "site.tar").read_bytes()
