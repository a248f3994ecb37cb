"""`slimpack bundle create` of files and folders: what goes in, under which names, and where."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from slimpack.bundle.reader import open_bundle
from slimpack.oci.archive import write_archive
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.index import Index, images_of
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.several import read_all
from tests.oci.oci_images import PLAIN, sample_image, sample_layers
from tests.registry.conftest import random_image
from tests.support.channel import Run


def images_in(path: Path) -> dict[tuple[str, ...], str]:
    return {one.names: one.digest for one in open_bundle(path).statement.images}


def two_platforms(folder: Path) -> Index:
    layers = sample_layers(folder, PLAIN)
    arm = make_image(layers, ImageConfig(architecture="arm64"))
    ppc = make_image(layers[:1], ImageConfig(architecture="ppc64le"))
    return Index((sample_image(folder, PLAIN), arm, ppc))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Two images that share a layer of 300 kB, one of them under two names."""
    path = tmp_path / "layout"
    for number, size in ((1, 1000), (2, 2000)):
        names = ["app:1", "example.com/team/app:1"] if number == 1 else [f"app:{number}"]
        write_layout(random_image(tmp_path / "made", 300_000, size), path, names)
    return path


def test_all_images_of_a_layout(layout: Path, run: Run, tmp_path: Path) -> None:
    done = run("bundle", "create", "layout", "-o", "site.tar", cwd=tmp_path)
    one, two = read_all(layout)
    assert images_in(tmp_path / "site.tar") == {
        ("docker.io/library/app:1", "example.com/team/app:1"): one.target.digest,
        ("docker.io/library/app:2",): two.target.digest,
    }
    # The layer that both have is there once, and the whole is told.
    assert "0.3 MB saved by sharing" in done.stdout
    assert (tmp_path / "site.tar").stat().st_size < 400_000
    assert [read_image(tmp_path / "site.tar", ref=f"app:{n}").digest for n in (1, 2)] == [
        one.target.digest,
        two.target.digest,
    ]


def test_a_choice_by_name(layout: Path, run: Run, tmp_path: Path) -> None:
    create = ("bundle", "create", "layout", "-o", "site.tar")
    run(*create, "--ref", "app:2", cwd=tmp_path)
    assert list(images_in(tmp_path / "site.tar")) == [("docker.io/library/app:2",)]
    told = run(*create, "--ref", "app:2", "--name", "layout=other:9", "-q", cwd=tmp_path).stdout
    assert list(images_in(tmp_path / "site.tar")) == [("docker.io/library/other:9",)]
    assert told.strip() == open_bundle(tmp_path / "site.tar").digest
    done = run(*create, "--ref", "nothing:1", cwd=tmp_path, code=2)
    assert "--ref nothing:1" in done.stderr
    done = run(*create, "--name", "layout=other:9", cwd=tmp_path, code=2)
    assert "it holds 2 images: " in done.stderr
    done = run(*create, "--name", "lay=other:9", cwd=tmp_path, code=2)
    assert "lay is not among the arguments" in done.stderr


def test_every_image_needs_a_name_of_its_own(layout: Path, run: Run, tmp_path: Path) -> None:
    write_layout(random_image(tmp_path / "made", 500), tmp_path / "nameless")
    create = ("bundle", "create", "nameless", "-o", "site.tar")
    done = run(*create, cwd=tmp_path, code=2)
    assert "--name nameless=NAME:TAG" in done.stderr
    done = run(*create, "layout", "--name", "nameless=app:2", cwd=tmp_path, code=2)
    assert "two images under one name, docker.io/library/app:2" in done.stderr
    assert not (tmp_path / "site.tar").exists()
    run(*create, "layout", "--name", "nameless=app:3", cwd=tmp_path)
    assert ("docker.io/library/app:3",) in images_in(tmp_path / "site.tar")


def test_a_bare_tag_is_no_name(run: Run, tmp_path: Path) -> None:
    write_layout(random_image(tmp_path / "made", 500), tmp_path / "lay", ["x:1"])
    index = tmp_path / "lay" / "index.json"
    told = json.loads(index.read_text())
    told["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "1.0"}
    index.write_text(json.dumps(told))
    done = run("bundle", "create", "lay", "-o", "site.tar", cwd=tmp_path, code=2)
    assert "(1.0) has no name" in done.stderr
    choice = ("--ref", "1.0", "--name", "lay=x:1.0")
    run("bundle", "create", "lay", *choice, "-o", "site.tar", cwd=tmp_path)
    assert list(images_in(tmp_path / "site.tar")) == [("docker.io/library/x:1.0",)]


def test_platforms(run: Run, tmp_path: Path) -> None:
    index = two_platforms(tmp_path / "made")
    write_archive(index, tmp_path / "in.tar", ["app:1"])
    create = ("bundle", "create", "in.tar", "-o", "site.tar")
    run(*create, cwd=tmp_path)
    assert list(images_in(tmp_path / "site.tar").values()) == [index.digest]
    told = run("inspect", "site.tar", "--json", "--platform", "linux/arm64", cwd=tmp_path)
    assert index.images[1].digest in told.stdout
    run(*create, "--platform", "linux/arm64", cwd=tmp_path)
    assert list(images_in(tmp_path / "site.tar").values()) == [index.images[1].digest]
    done = run(*create, "--platform", "linux/arm64,linux/amd64", cwd=tmp_path)
    assert "an index of 2 of its 3 images" in done.stderr
    bundle = open_bundle(tmp_path / "site.tar")
    found = bundle.target(bundle.statement.images[0])
    assert isinstance(found, Index)
    assert [image.digest for image in found.images] == [x.digest for x in index.images[:2]]


def test_a_docker_archive(run: Run, tmp_path: Path) -> None:
    """As Docker before 25 writes it: no OCI layout, manifest.json last."""
    image = sample_image(tmp_path / "made", PLAIN)
    write_archive(image, tmp_path / "whole.tar", ["app:1", "app:2"])
    members = ("blobs", "manifest.json")
    subprocess.run(["tar", "-xf", "whole.tar", *members], cwd=tmp_path, check=True)
    subprocess.run(["tar", "-cf", "in.tar", *members], cwd=tmp_path, check=True)
    run("bundle", "create", "in.tar", "-o", "site.tar", cwd=tmp_path)
    ((names, _),) = images_in(tmp_path / "site.tar").items()
    assert names == ("docker.io/library/app:1", "docker.io/library/app:2")
    assert read_image(tmp_path / "site.tar", ref="app:2").config_digest == image.config_digest


def test_another_bundle(layout: Path, run: Run, tmp_path: Path) -> None:
    run("bundle", "create", "layout", "-o", "one.tar", "--volume-size", "64KiB", cwd=tmp_path)
    write_layout(random_image(tmp_path / "made", 700), tmp_path / "more", ["more:1"])
    for given in ("one.tar", "one.tar.volumes.json"):
        run("bundle", "create", given, "more", "-o", "two.tar", cwd=tmp_path)
        assert list(images_in(tmp_path / "two.tar")) == [
            ("docker.io/library/app:1", "example.com/team/app:1"),
            ("docker.io/library/app:2",),
            ("docker.io/library/more:1",),
        ]


def test_the_same_contents_give_the_same_bytes(layout: Path, run: Run, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(layout, elsewhere / "renamed")
    index = json.loads((elsewhere / "renamed" / "index.json").read_text())
    (elsewhere / "renamed" / "index.json").write_text(json.dumps(index, indent=1))
    run("bundle", "create", "layout", "-o", "site.tar", cwd=tmp_path)
    env = {"SLIMPACK_CACHE_DIR": str(elsewhere / "cache"), "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    run("bundle", "create", "renamed", "-o", "other.tar", cwd=elsewhere, env=env)
    whole = (tmp_path / "site.tar").read_bytes()
    assert (elsewhere / "other.tar").read_bytes() == whole
    run("bundle", "create", "renamed", "-o", "cut.tar", "--volume-size", "100KiB", cwd=elsewhere)
    volumes = sorted(elsewhere.glob("cut.tar.0*"))
    assert len(volumes) == 4
    assert b"".join(path.read_bytes() for path in volumes) == whole


def test_a_date_is_told_on_request(layout: Path, run: Run, tmp_path: Path) -> None:
    create = ("bundle", "create", "layout", "-o", "site.tar")

    def created(*more: str, env: dict[str, str] | None = None) -> int | None:
        run(*create, *more, cwd=tmp_path, env=env)
        return open_bundle(tmp_path / "site.tar").statement.created

    assert created() is None
    assert created("--created", "2026-03-01") == 1_772_323_200
    assert created("--created", "2026-03-01T01:00:00+01:00") == 1_772_323_200
    assert created("--created", "1772323200") == 1_772_323_200
    assert created(env={"SOURCE_DATE_EPOCH": "1000"}) == 1000
    assert created("--created", "2026-03-01T00:00:00Z", env={"SOURCE_DATE_EPOCH": "1"}) == (
        1_772_323_200
    )
    before = int(time.time())
    now = created("--created", "now")
    assert now is not None
    assert before <= now <= time.time()
    for wrong in ("yesterday", "2026-13-01", "1969-12-31", "99999999999"):
        done = run(*create, "--created", wrong, cwd=tmp_path, code=2)
        assert "expected a date" in done.stderr


def test_machines_are_told_everything(layout: Path, run: Run, tmp_path: Path) -> None:
    done = run(
        *("bundle", "create", "layout", "-o", "site.tar", "--json", "--link", "1MB/s"),
        cwd=tmp_path,
    )
    told = json.loads(done.stdout)
    bundle = open_bundle(tmp_path / "site.tar")
    size = (tmp_path / "site.tar").stat().st_size
    assert told["digest"] == bundle.digest
    assert told["size"] == size
    assert told["outputs"] == ["site.tar"]
    assert [image["names"] for image in told["images"]] == [
        list(one.names) for one in bundle.statement.images
    ]
    traffic = told["traffic"]
    assert traffic["deduplicated"] == traffic["bundle"] == size
    shared = max(
        layer.size
        for one in read_all(layout)
        for image in images_of(one.target)
        for layer in image.layers
    )
    assert shared <= traffic["saved_by_sharing"] < shared + 2000
    (link,) = traffic["links"]
    assert link["bits_per_second"] == 8e6
    assert link["seconds"]["bundle"] == pytest.approx(size / 1e6, abs=0.001)
    again = json.loads(
        run("bundle", "report", "site.tar", "--json", "--link", "1MB/s", cwd=tmp_path).stdout
    )
    assert again["traffic"] == traffic
    assert again["images"] == told["images"]


def test_links_are_read(layout: Path, run: Run, tmp_path: Path) -> None:
    run("bundle", "create", "layout", "-o", "site.tar", "-q", cwd=tmp_path)
    done = run(
        "bundle", "report", "site.tar", "--link", "9.6kbit/s", "--link", "1 Gbit/s", cwd=tmp_path
    )
    assert "9.6kbit/s" in done.stdout
    assert " min " in done.stdout
    for wrong in ("10", "10 Mb/s", "10mbit/s", "0Mbit/s", "-1Mbit/s", "fast"):
        done = run("bundle", "report", "site.tar", "--link", wrong, cwd=tmp_path, code=2)
        assert "expected the speed of a link" in done.stderr
    done = run("bundle", "report", "layout/index.json", cwd=tmp_path, code=14)
    assert "layout/index.json" in done.stderr
