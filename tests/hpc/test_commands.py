"""``slimpack build -o FILE.sqsh`` and ``slimpack rootfs``, as they are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.oci.layout import write_layout
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from tests.hpc.images import shell_image
from tests.registry.conftest import reference
from tests.registry.fake import Fake, serving
from tests.support.channel import MiniChannel, Run


@pytest.fixture
def folder(mini: MiniChannel, tmp_path: Path) -> Path:
    mini.add("tool", {"share/tool.txt": "tool\n" * 2000})
    (tmp_path / "environment.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [tool]\n")
    return tmp_path


@pytest.mark.network
@pytest.mark.channel
def test_a_build_writes_them_warm_as_cold(run: Run, folder: Path) -> None:
    words = ("build", "environment.yml", "--glibc", "2.36", "--json")
    first = json.loads(run(*words, "-o", "a.sqsh", "-o", "a.sif", "-o", "a.tar", cwd=folder).stdout)
    assert first["outputs"] == ["a.tar", "a.sqsh", "a.sif"]
    for told in first["root_file_systems"]:
        data = (folder / told["path"]).read_bytes()
        assert (told["size"], told["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert first["verified"]
    assert any("no /bin/sh" in note for note in first["notes"])
    warm = json.loads(run(*words, "-o", "b.bin", "--format", "squashfs", cwd=folder).stdout)
    assert warm["reused"]
    assert (folder / "b.bin").read_bytes() == (folder / "a.sqsh").read_bytes()
    done = run("rootfs", "a.tar", "-o", "c.sif", "-q", cwd=folder)
    assert done.stdout.strip() == first["root_file_systems"][1]["sha256"]
    told = json.loads(
        run(*words, "-o", "d.sqsh", "-o", "d.sif", "--sbom", "spdx", cwd=folder).stdout
    )
    assert told["outputs"] == ["d.sqsh", "d.sif", "d.sqsh.spdx.json", "d.sif.spdx.json"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("-o", "x.tar", "--format", "sif"), 2, "is named like an image, but sif was asked for"),
        (("-o", "x/", "--format", "squashfs"), 2, "is named like an image"),
        (("-o", "x.sif", "--format", "squashfs"), 2, "is named like sif"),
        (("-o", "x.sqsh", "--format", "oci"), 2, "expected FILE.tar"),
        (("-o", "x.foo"), 2, "expected FILE.tar"),
        (("-o", "x.sqsh", "--format", "squashfs", "--load"), 2, "engines and registries"),
        (("-o", "x.sqsh", "--format", "squashfs", "--push", "h.io/x:1"), 2, "engines and"),
        (("--format", "sif"), 2, "nowhere to put the image"),
        (("-o", "x.sqsh", "--compression", "none"), 2, "always compressed"),
        (("-o", "x.sif", "--platform", "linux/amd64,linux/arm64"), 2, "of one platform"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_build(
    run: Run, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "environment.yml").write_text("dependencies: [nothing-of-that-name]\n")
    done = run("build", "environment.yml", *words, cwd=tmp_path, code=code)
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["environment.yml"]


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


def test_an_image_in_a_registry(fake: Fake, run: Run, tmp_path: Path) -> None:
    image = shell_image(tmp_path / "made")
    with Registries() as registries:
        push(image, [reference(fake, "team/app:1")], registries)
    write_layout(image, tmp_path / "layout", ["app:1"])
    own = {"SLIMPACK_CACHE_DIR": str(tmp_path / "cache")}
    remote = run(
        "rootfs", f"{fake.host}/team/app:1", "-o", "a.sqsh", "--json", cwd=tmp_path, env=own
    )
    local = run("rootfs", "layout", "-o", "b.sqsh", "--json", cwd=tmp_path, env=own)
    one, two = json.loads(remote.stdout), json.loads(local.stdout)
    assert one["sha256"] == two["sha256"]
    assert one["digest"] == image.digest
    shown = run("rootfs", "layout", "-o", "folder/", cwd=tmp_path, env=own).stdout
    assert "written   folder/ (folder," in shown
    assert "left out, as no shell can set them: A.B" in shown
    assert (tmp_path / "folder/old/new").exists()
    for output, message in (
        ("x.tar", "holds an image"),
        ("x.foo", "FILE.sqsh"),
        ("-", "standard output"),
    ):
        done = run("rootfs", "layout", "-o", output, cwd=tmp_path, env=own, code=2)
        assert message in done.stderr, output
