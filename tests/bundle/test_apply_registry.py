"""Bundles brought to a registry: what travels, what is called how, what a fault leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.bundle.apply import Planned, apply, plan_apply
from slimpack.bundle.choosing import Pattern, Rename
from slimpack.bundle.far import Sent
from slimpack.bundle.model import Attached
from slimpack.bundle.reader import Bundle
from slimpack.bundle.to_registry import Place, RegistryFar
from slimpack.errors import BundleError, InputError, RegistryError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.index import Deliverable, images_of
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import pull_all
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from tests.bundle.shipping import (
    SERVE,
    bundle_of,
    damage,
    document,
    image_of,
    index_of,
    packed,
    read_layers,
    signature,
)
from tests.registry.fake import Fake, cut_upload, status
from tests.support.channel import Run


def go(
    bundle: Bundle, place: str, registries: Registries, *renames: str, images: tuple[str, ...] = ()
) -> tuple[Planned, list[Sent]]:
    far = RegistryFar(Place.parse(place), registries)
    planned = plan_apply(
        bundle,
        far,
        images=list(map(Pattern.parse, images)),
        renames=list(map(Rename.parse, renames)),
    )
    return planned, apply(bundle, far, planned, bundle.path.parent)


def pulled(reference: str, registries: Registries, folder: Path) -> Deliverable:
    found = pull_all(Reference.parse(reference), registries, blobs=BlobStore(folder / "pulled"))
    read_layers(images_of(found))
    return found


def tags(fake: Fake) -> set[tuple[str, str]]:
    return {(repository, name) for repository, name in fake.manifests if ":" not in name}


def test_images_and_documents_arrive(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    index, image = index_of(tmp_path, 1), image_of(tmp_path, 2)
    told = [document(index), signature(index), document(index.images[0], b"of amd64")]
    bundle = bundle_of(
        tmp_path / "b.tar",
        packed(index, SERVE, "docker.io/library/serve:latest", documents=told),
        packed(image, "ghcr.io/team/app:2"),
    )
    _, sent = go(bundle, f"{fake.host}/site", registries)
    wanted: dict[str, Deliverable] = {
        "site/serve:1.0": index,
        "site/serve:latest": index,
        "site/team/app:2": image,
    }
    for name, target in wanted.items():
        assert pulled(f"{fake.host}/{name}", registries, tmp_path).digest == target.digest
    registry = registries.of(fake.host)
    (found,) = registry.referrers("site/serve", index.digest)
    assert found["digest"] == told[0].attached.descriptor["digest"]
    (found,) = registry.referrers("site/serve", index.images[0].digest)
    assert found["digest"] == told[2].attached.descriptor["digest"]
    signed = registry.get_manifest("site/serve", f"sha256-{index.digest[7:]}.sig")
    assert signed.digest == told[1].attached.descriptor["digest"]
    # Every blob once for each repository, and the second run sends nothing.
    assert sum(one.sent + one.mounted for one in sent) == sum(
        len(data) for blobs in fake.blobs.values() for data in blobs.values()
    )
    planned, again = go(bundle, f"{fake.host}/site", registries)
    assert [one.sent for one in again] == [0, 0]
    assert all(move.before == move.after for parcel in planned.parcels for move in parcel.moves)


def test_blobs_of_other_repositories_are_mounted_at_the_first_try(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = image_of(tmp_path, 1)
    names = [f"docker.io/library/{name}:1" for name in ("a", "b", "c", "d", "e")]
    _, sent = go(bundle_of(tmp_path / "b.tar", packed(image, *names)), fake.host, registries)
    size = sum(len(data) for data in fake.blobs["a"].values())
    assert [(one.sent, one.mounted) for one in sent] == [(size, 0), *[(0, size)] * 4]
    assert len(fake.asked("POST")) == 5 * 4


def test_a_registry_without_referrers_lists_them_under_a_tag(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    fake.referrers = False
    image = image_of(tmp_path, 1)
    bundle = bundle_of(tmp_path / "b.tar", packed(image, documents=[document(image)]))
    for _ in range(2):
        go(bundle, fake.host, registries)
        found = registries.of(fake.host).referrers("serve", image.digest)
        assert len(found) == 1


def test_names_move_last(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    index = index_of(tmp_path, 1)
    told = [document(index), signature(index)]
    bundle = bundle_of(tmp_path / "b.tar", packed(index, documents=told))
    go(bundle, fake.host, registries)
    puts = [one.path for one in fake.seen if one.method == "PUT"]
    kinds = ["blob" if "/blobs/" in path else path.rpartition("/")[2] for path in puts]
    assert kinds[-1] == "1.0"
    assert kinds[: kinds.count("blob")] == ["blob"] * kinds.count("blob")
    manifests = kinds[kinds.count("blob") : -1]
    assert manifests[:3] == [image.digest for image in index.images] + [index.digest]
    assert manifests[3] == told[0].attached.descriptor["digest"]
    assert manifests[-1] == told[1].attached.tag


@pytest.mark.parametrize(
    ("method", "pattern", "skip"),
    [
        ("POST", "uploads", 0),
        ("POST", "uploads", 2),
        ("PUT", "uploads", 1),
        ("PUT", "manifests/sha256:", 0),
        ("PUT", "manifests/sha256:", 3),
        ("PUT", "manifests/sha256-", 0),
    ],
)
def test_a_fault_moves_no_name(
    fake: Fake, registries: Registries, tmp_path: Path, method: str, pattern: str, skip: int
) -> None:
    old, new = image_of(tmp_path, 1), index_of(tmp_path, 2)
    push(old, [Reference.parse(f"{fake.host}/serve:1.0")], registries)
    there = {digest for blobs in fake.blobs.values() for digest in blobs}
    bundle = bundle_of(tmp_path / "b.tar", packed(new, documents=[document(new), signature(new)]))
    fake.on(method, pattern, status(403, "DENIED"), skip=skip)
    with pytest.raises(RegistryError, match="403"):
        go(bundle, fake.host, registries)
    assert tags(fake) == {("serve", "1.0")}
    with Registries() as others:
        assert pulled(f"{fake.host}/serve:1.0", others, tmp_path).digest == old.digest
        # What has arrived is not sent again.
        arrived = {digest for blobs in fake.blobs.values() for digest in blobs} - there
        before = len(fake.asked("POST"))
        go(bundle, fake.host, others)
        assert len(fake.asked("POST")) - before == 10 - len(arrived)
        assert pulled(f"{fake.host}/serve:1.0", others, tmp_path).digest == new.digest


def test_faults_that_pass_are_tried_again(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = image_of(tmp_path, 1)
    fake.on("PUT", "uploads", cut_upload(1000), times=2)
    fake.on("POST", "uploads", status(503), times=2)
    fake.on("PUT", "manifests", status(500))
    go(bundle_of(tmp_path / "b.tar", packed(image)), fake.host, registries)
    assert pulled(f"{fake.host}/serve:1.0", registries, tmp_path).digest == image.digest


def test_a_read_only_registry(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    fake.on("POST", "", status(405, "UNSUPPORTED"), times=99)
    with pytest.raises(RegistryError, match="405") as caught:
        go(bundle_of(tmp_path / "b.tar", packed(image_of(tmp_path, 1))), fake.host, registries)
    assert "read-only" in caught.value.hint
    assert not fake.manifests


def test_of_two_images_the_first_has_moved(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    bundle = bundle_of(
        tmp_path / "b.tar",
        packed(image_of(tmp_path, 1), "docker.io/library/one:1"),
        packed(image_of(tmp_path, 2), "docker.io/library/two:1"),
    )
    fake.on("PUT", "/v2/two/blobs", status(400, "BAD"))
    with pytest.raises(RegistryError, match="400"):
        go(bundle, fake.host, registries)
    assert tags(fake) == {("one", "1")}


def test_a_damaged_layer(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    image = image_of(tmp_path, 1)
    bundle = bundle_of(tmp_path / "b.tar", packed(image))
    damage(bundle, image.layers[0].digest)
    with pytest.raises(BundleError, match="does not match its digest") as caught:
        go(bundle, fake.host, registries)
    assert f"slimpack bundle verify {bundle.path}" in caught.value.hint
    assert image.layers[0].digest not in fake.blobs["serve"]
    assert not fake.manifests


def test_a_damaged_manifest_is_found_before_anything_is_sent(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = image_of(tmp_path, 1)
    for digest in (image.digest, image.config_digest):
        bundle = bundle_of(tmp_path / "b.tar", packed(image))
        damage(bundle, digest)
        with pytest.raises(BundleError, match="does not match its digest"):
            go(bundle, fake.host, registries)
    assert not [one for one in fake.seen if one.method in ("POST", "PUT")]


def test_a_document_may_not_have_the_tag_of_an_image(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = image_of(tmp_path, 1)
    told = signature(image)
    wrong = Attached(told.attached.descriptor, image.digest, "latest")
    bundle = bundle_of(tmp_path / "b.tar", packed(image, documents=[replace(told, attached=wrong)]))
    with pytest.raises(BundleError, match="has the tag 'latest' of an image"):
        go(bundle, fake.host, registries)
    assert not fake.seen


def test_a_blob_that_the_registry_has_damaged(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = image_of(tmp_path, 1)
    fake.blobs["serve"][image.layers[0].digest] = b"short"
    with pytest.raises(RegistryError, match="with 5 bytes instead of"):
        go(bundle_of(tmp_path / "b.tar", packed(image)), fake.host, registries)


# Names


def test_two_images_with_one_name(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    one, two = image_of(tmp_path, 1), image_of(tmp_path, 2)
    bundle = bundle_of(
        tmp_path / "b.tar", packed(one, "docker.io/team/app:1"), packed(two, "ghcr.io/team/app:1")
    )
    with pytest.raises(InputError, match=r"two images would be .*/team/app:1") as caught:
        go(bundle, fake.host, registries)
    assert "--rename" in caught.value.hint
    assert not fake.seen
    go(bundle, fake.host, registries, "ghcr.io/team/app=other/app")
    assert tags(fake) == {("team/app", "1"), ("other/app", "1")}


def test_only_some_images(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    one, two = image_of(tmp_path, 1), image_of(tmp_path, 2)
    bundle = bundle_of(
        tmp_path / "b.tar",
        packed(one, SERVE, "docker.io/library/serve:latest"),
        packed(two, "ghcr.io/team/app:1"),
    )
    go(bundle, fake.host, registries, images=("serve:latest",))
    assert tags(fake) == {("serve", "latest")}
    go(bundle, fake.host, registries, images=("serve",))
    assert tags(fake) == {("serve", "latest"), ("serve", "1.0")}
    go(bundle, fake.host, registries, f"{two.digest}=x/y:7", images=(two.digest,))
    assert ("x/y", "7") in tags(fake)
    with pytest.raises(InputError, match="has no image absent:1") as caught:
        go(bundle, fake.host, registries, images=("absent:1",))
    assert SERVE in caught.value.hint


# Deltas


def test_a_delta_needs_what_it_leaves_out(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = image_of(tmp_path, 1)
    absent = image.layers[0].digest
    bundle = bundle_of(tmp_path / "b.tar", packed(image), absent=[absent])
    with pytest.raises(BundleError, match="lacks 1 blobs that this delta builds on") as caught:
        go(bundle, fake.host, registries)
    assert f"{absent} ({image.layers[0].size} bytes), a part of {SERVE}" in caught.value.details
    assert not [one for one in fake.seen if one.method in ("POST", "PUT")]
    with image.layers[0].open() as stream:
        fake.add("serve", stream.read())
    go(bundle, fake.host, registries)
    assert pulled(f"{fake.host}/serve:1.0", registries, tmp_path).digest == image.digest


@pytest.mark.parametrize("mounts", [True, False])
def test_a_blob_of_another_repository(
    fake: Fake, registries: Registries, tmp_path: Path, mounts: bool
) -> None:
    image = image_of(tmp_path, 1)
    absent = image.layers[0].digest
    with image.layers[0].open() as stream:
        fake.add("old/app", stream.read())
    if not mounts:  # then it is read from there and sent
        fake.on("POST", "mount=", status(404, "NAME_UNKNOWN"), times=99)
    bundle = bundle_of(tmp_path / "b.tar", packed(image), absent=[absent])
    far = RegistryFar(Place.parse(fake.host), registries, [Reference(fake.host, "old/app")])
    (sent,) = apply(bundle, far, plan_apply(bundle, far), tmp_path)
    assert (sent.mounted >= image.layers[0].size) is mounts
    assert pulled(f"{fake.host}/serve:1.0", registries, tmp_path).digest == image.digest


# The command


def test_the_command(fake: Fake, run: Run, registries: Registries, tmp_path: Path) -> None:
    old, new = image_of(tmp_path, 1), image_of(tmp_path, 2)
    push(old, [Reference.parse(f"{fake.host}/site/serve:1.0")], registries)
    bundle_of(tmp_path / "b.tar", packed(new, documents=[document(new)]), created=7)
    command = ("bundle", "apply", "b.tar", "--to", f"registry={fake.host}/site")
    before = len(fake.asked("PUT")) + len(fake.asked("POST"))
    dry = json.loads(run(*command, "--dry-run", "--json", cwd=tmp_path).stdout)
    assert "would move from " + old.digest in run(*command, "--dry-run", cwd=tmp_path).stdout
    assert len(fake.asked("PUT")) + len(fake.asked("POST")) == before
    wet = json.loads(run(*command, "--json", "--inventory", "i.json", cwd=tmp_path).stdout)
    assert dry.pop("dry_run") is True
    assert wet.pop("dry_run") is False
    assert dry == wet
    (image,) = wet["images"]
    name = f"{fake.host}/site/serve:1.0"
    assert image["names"] == [{"name": name, "before": old.digest, "after": new.digest}]
    assert len(image["documents"]) == 1
    found = json.loads((tmp_path / "i.json").read_text())
    assert found["created"] == 7
    assert [one["names"] for one in found["images"]] == [[name]]
    assert run(*command, "-q", cwd=tmp_path).stdout == f"{name}\n"
    assert f"{name}: was there" in run(*command, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("registry", "is no target"),
        ("registry=", "is no target"),
        ("registry=harbor", "does not begin with the host"),
        ("registry=127.0.0.1:1/a:b", "is not a name"),
        ("docker=x", "is no target"),
        ("nowhere", "is no target"),
    ],
)
def test_targets_that_are_none(run: Run, tmp_path: Path, target: str, message: str) -> None:
    bundle_of(tmp_path / "b.tar", packed(image_of(tmp_path, 1)))
    done = run("bundle", "apply", "b.tar", "--to", target, cwd=tmp_path, code=2)
    assert message in done.stderr


@pytest.mark.parametrize("text", ["a", "=b", "a=", "a=b:1", "sha256:1=b", f"a=sha256:{'0' * 64}"])
def test_renames_that_are_none(run: Run, tmp_path: Path, text: str) -> None:
    bundle_of(tmp_path / "b.tar", packed(image_of(tmp_path, 1)))
    command = ("bundle", "apply", "b.tar", "--to", "layout=out", "--rename", text)
    run(*command, cwd=tmp_path, code=2)
    assert not (tmp_path / "out").exists()
