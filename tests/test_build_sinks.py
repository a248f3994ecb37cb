"""Where builds go: registries with documents, and caches in registries that other machines use."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.channel.renew import renew
from benchmarks.setup.registry import docker_registry
from slimpack.daemon import AUTO as ENGINE_AUTO
from slimpack.daemon import ENGINES as DAEMON_ENGINES
from slimpack.oci.layer import Layer
from slimpack.oci.read import read_image
from slimpack.outputs import AUTO, ENGINES
from slimpack.trace.record import Trace
from tests.oci.oci_images import need_tool
from tests.support.channel import MiniChannel, Run

pytestmark = [pytest.mark.network, pytest.mark.channel]

GLIBC = ("--glibc", "2.36")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    need_tool("docker-registry")
    with docker_registry(tmp_path / "registry") as host:
        yield host


@pytest.fixture
def project(mini: MiniChannel, tmp_path: Path, run: Run) -> Path:
    """A folder with a lock of two small packages, and an application."""
    mini.add("data", {"share/data.txt": "data\n" * 2000})
    mini.add("tool", {"share/tool.txt": "tool\n" * 2000}, depends=["data"])
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app/main.txt").write_text("hello\n")
    (folder / "slimpack.toml").write_text(
        f"[env]\nchannels = ['{mini.url}']\n[image]\nlayers = 20\n"
        "[[app.copy]]\nfrom = 'app'\nto = '/app'\n"
    )
    run("lock", "tool", "-o", "pixi.lock", *GLIBC, "-q", cwd=folder)
    # What is in the lock needs no channel beside it.
    text = (folder / "slimpack.toml").read_text()
    (folder / "slimpack.toml").write_text(text.replace(f"channels = ['{mini.url}']\n", ""))
    return folder


def on_machine(folder: Path, cache_dir: Path) -> dict[str, str]:
    """Return the variables of another machine: it has packages, and nothing that was built."""
    folder.mkdir()
    shutil.copytree(cache_dir / "debian", folder / "debian", copy_function=shutil.copy2)
    return {"SLIMPACK_CACHE_DIR": str(folder)}


def build(
    run: Run, project: Path, *arguments: str, source: str = "pixi.lock", **env: str
) -> dict[str, Any]:
    done = run("build", source, "--no-verify", "--json", *arguments, cwd=project, env=env)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def layers_of(folder: Path) -> list[Layer]:
    return list(read_image(folder).layers)


def names_in(layer: Layer) -> list[str]:
    with layer.open_tar() as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as tar:
        return tar.getnames()


@pytest.mark.parametrize("compression", ["estargz", "zstd:chunked"])
def test_layers_for_lazy_starts_keep_what_their_readers_need_on_every_way(
    run: Run, project: Path, registry: str, tmp_path: Path, compression: str
) -> None:
    trace = Trace("sha256:" + "0" * 64, (("run",),), ("app/main.txt", "etc/passwd"))
    (project / "trace.json").write_bytes(trace.to_json())
    image = f"{registry}/team/lazy:1"
    lazy = ("--compression", compression, "--trace", "trace.json")
    built = build(run, project, *lazy, "--output", "built/", "--push", image)
    made = layers_of(project / "built")
    assert len(made) > 2
    assert all(layer.annotations for layer in made)
    (base, *_, top) = map(names_in, made)
    # The base has files of the start as well.
    assert base.index("etc/passwd") < base.index("etc/group")
    assert "app/main.txt" in top
    marked = [layer for layer in made if ".prefetch.landmark" in names_in(layer)]
    assert marked == ([made[0], made[-1]] if compression == "estargz" else [])

    run("pull", image, "-o", "pulled/", "-q", cwd=project)
    assert [one.annotations for one in layers_of(project / "pulled")] == [
        one.annotations for one in made
    ]
    again = build(run, project, *lazy, "--output", "again/")
    assert again["digest"] == built["digest"]
    unordered = build(run, project, "--compression", compression, "--output", "unordered/")
    kept = {one.digest for one in layers_of(project / "unordered")} & {one.digest for one in made}
    assert unordered["digest"] != built["digest"]
    # Of what the start opens nothing stays as it is; a file alone has no order, but a landmark.
    assert len(kept) == len(made) - (2 if compression == "estargz" else 1)
    diffs = json.loads(run("diff", "built", "unordered", "--json", cwd=project).stdout)
    assert diffs["files"] == []


def test_engines_are_those_of_the_room_that_knows_them() -> None:
    assert (AUTO, ENGINES) == (ENGINE_AUTO, DAEMON_ENGINES)


def test_a_build_is_pushed_with_documents_and_sent_once(
    run: Run, project: Path, registry: str
) -> None:
    one, two = f"{registry}/team/app:1", f"{registry}/team/app:latest"
    wanted = ("--push", one, "--push", two, "--sbom", "cyclonedx,spdx", "--provenance")
    first = build(run, project, *wanted)
    assert first["pushed"] == [one, two]
    assert first["sent"] > 0
    inspected = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{two}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(inspected.stdout)["Digest"] == first["digest"]
    referrers = subprocess.run(
        ["oras", "discover", "--plain-http", "--format", "json", one],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(referrers.stdout)
    listed = found.get("referrers") or found.get("manifests")
    assert sorted(item["artifactType"] for item in listed) == [
        "application/spdx+json",
        "application/vnd.cyclonedx+json",
        "application/vnd.in-toto+json",
    ]
    again = build(run, project, "--push", one)
    assert (again["digest"], again["sent"], again["reused"]) == (first["digest"], 0, "everything")


def test_documents_lie_beside_a_file(run: Run, project: Path) -> None:
    told = build(run, project, "-o", "app.tar", "--sbom", "cyclonedx", "--provenance")
    assert told["outputs"] == ["app.tar", "app.cdx.json", "app.provenance.json"]
    statement = json.loads((project / "app.provenance.json").read_text())
    assert statement["subject"][0]["digest"]["sha256"] == told["digest"].partition(":")[2]


def test_a_fresh_machine_builds_only_what_nobody_built_before(
    run: Run, project: Path, registry: str, cache_dir: Path, tmp_path: Path
) -> None:
    cache = f"{registry}/team/cache"
    build(run, project, "-o", "base.tar")  # the runtime's packages are in the cache now
    here = on_machine(tmp_path / "one", cache_dir)
    first = build(run, project, "--push", f"{registry}/a/app:1", "--cache-to", cache, **here)
    assert not first["reused"]

    (project / "app/main.txt").write_text("hello, world\n")
    fresh = on_machine(tmp_path / "two", cache_dir)
    there = build(run, project, "--push", f"{registry}/b/app:2", "--cache-from", cache, **fresh)
    assert there["reused"] == "the environment"
    known = {layer["digest"] for layer in first["layers"][1:]}  # the base is assembled anywhere
    new = [layer for layer in there["layers"][1:] if layer["digest"] not in known]
    assert [layer["name"] for layer in new] == ["application"]
    # Config, manifest and the one layer; all others are mounted, and their bytes were never here.
    assert there["sent"] < 8192 + new[0]["compressed"]
    blobs = {path.name for path in (tmp_path / "two/blobs/sha256").glob("*")}
    assert not {digest.partition(":")[2] for digest in known} & blobs

    alone = on_machine(tmp_path / "three", cache_dir)
    told = build(run, project, "-o", "alone.tar", **alone)
    assert told["digest"] == there["digest"]


def test_no_cache_uses_nothing_and_gives_the_same(run: Run, project: Path) -> None:
    first = build(run, project, "-o", "out.tar")
    second = build(run, project, "-o", "out.tar")
    third = build(run, project, "-o", "out.tar", "--no-cache")
    assert [one["reused"] for one in (second, third)] == ["everything", ""]
    assert first["digest"] == second["digest"] == third["digest"]
    run(
        "build",
        "pixi.lock",
        "-o",
        "x.tar",
        "--no-cache",
        "--cache-from",
        "h.io/c",
        cwd=project,
        code=2,
    )


def test_another_build_of_a_package_is_put_into_the_last_image(
    run: Run, project: Path, mini: MiniChannel, tmp_path: Path, cache_dir: Path
) -> None:
    build(run, project, "-o", "out.tar")
    package = next((mini.folder / "linux-64").glob("data-*.conda"))
    renew(package, mini.folder, lambda files: {**files, "share/data.txt": b"new\n"})
    run("lock", "tool", "-c", mini.url, "-o", "next.lock", *GLIBC, "-q", cwd=project)
    (project / "next.lock").replace(project / "pixi.lock")
    told = build(run, project, "-o", "out.tar")
    assert told["reused"] == "the environment but for data"
    cold = build(run, project, "-o", "cold.tar", "--no-cache")
    assert told["digest"] == cold["digest"]


def test_a_lock_beside_a_project_counts(run: Run, project: Path, mini: MiniChannel) -> None:
    (project / "pixi.toml").write_text(
        f"[workspace]\nname = 'x'\nchannels = ['{mini.url}']\nplatforms = ['linux-64']\n"
        "[dependencies]\ntool = '*'\n"
    )
    first = build(run, project, "-o", "out.tar", source="pixi.toml")
    (project / "pixi.lock").unlink()
    run("lock", "data", "-c", mini.url, "-o", "pixi.lock", *GLIBC, "-q", cwd=project)
    second = build(run, project, "-o", "out.tar", source="pixi.toml")
    assert (first["packages"], second["packages"]) == (2, 1)


def test_a_file_that_changes_meanwhile_is_not_remembered_as_it_was(run: Run, project: Path) -> None:
    with (project / "slimpack.toml").open("a") as stream:
        command = f"echo changed > {project}/app/main.txt; echo changed > main.txt"
        stream.write(f"[app]\nprepare = ['sh', '-c', '{command}']\n")
    build(run, project, "-o", "out.tar")
    (project / "app/main.txt").write_text("hello\n")
    assert not build(run, project, "-o", "out.tar")["reused"]


def test_what_is_known_is_shared(run: Run, project: Path, registry: str, tmp_path: Path) -> None:
    cache = f"{registry}/team/cache"
    build(run, project, "-o", "out.tar")
    assert build(run, project, "-o", "out.tar")["reused"] == "everything"
    build(run, project, "-o", "out.tar", "--cache-to", cache)
    tags = subprocess.run(
        ["skopeo", "list-tags", "--tls-verify=false", f"docker://{cache}"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = json.loads(tags.stdout)["Tags"]
    assert any(name.startswith("layer-") for name in names)
    assert any(name.startswith("memo-part-") for name in names)


@pytest.mark.parametrize("layer", [0, -1])  # the base's, and the application's
def test_damaged_layers_of_a_known_image_are_made_again(
    run: Run, project: Path, cache_dir: Path, layer: int
) -> None:
    first = build(run, project, "-o", "out.tar")
    blob = cache_dir / "blobs/sha256" / first["layers"][layer]["digest"].partition(":")[2]
    data = blob.read_bytes()
    blob.write_bytes(data[:-20] + bytes(20))
    again = build(run, project, "-o", "again.tar")
    assert again["digest"] == first["digest"]
    assert any("built from nothing" in note for note in again["notes"])
    assert (project / "again.tar").read_bytes() == (project / "out.tar").read_bytes()
    assert blob.read_bytes() == data
    assert build(run, project, "-o", "out.tar")["reused"] == "everything"


@pytest.mark.sandbox
def test_what_was_proven_is_told_again(run: Run, project: Path) -> None:
    first, second = (build(run, project, "-o", "out.tar", "--verify") for _ in range(2))
    assert second["reused"] == "everything"
    assert first["verified"]["sandbox"]
    assert second["verified"] == {**first["verified"], "kept": "everything"}
    assert second["notes"] == first["notes"]


def test_nowhere_to_go(run: Run, project: Path) -> None:
    done = run("build", "pixi.lock", cwd=project, code=2)
    assert "nowhere to put the image" in done.stderr


def test_a_registry_that_cannot_be_had_is_told_before_the_build(run: Run, project: Path) -> None:
    (project / "pixi.lock").write_text("version: 7\n")  # which the build would not get past
    done = run(
        *("build", "pixi.lock", "--push", "127.0.0.1:9/team/app:1"),
        cwd=project,
        code=12,
    )
    assert "127.0.0.1:9" in done.stderr
