"""Deltas with patches: what they build on has to be there, and is what they are made from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from slimpack.bundle.apply import apply, plan_apply
from slimpack.bundle.contents import Contents, plan
from slimpack.bundle.far import Far
from slimpack.bundle.model import Blob, Patch
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.bundle.rebuild import Rebuilder
from slimpack.bundle.to_layout import LayoutFar
from slimpack.bundle.to_registry import Place, RegistryFar
from slimpack.bundle.write import write_bundle
from slimpack.errors import BundleError, ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import ByteStream, sha256
from slimpack.oci.image import Image
from slimpack.oci.index import images_of
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import pull_all
from slimpack.registry.reference import Reference
from tests.bundle.shipping import (
    SERVE,
    bundle_of,
    image_of,
    layout_image,
    packed,
    read_layers,
)
from tests.registry.fake import Fake

OLD = "docker.io/library/serve:0.9"


def delta(folder: Path, old: Image, new: Image) -> Bundle:
    """A bundle whose first layer is a patch of another image's (here: the layer as it is)."""
    with new.layers[0].open() as stream:
        data = stream.read()
    target = Blob(new.layers[0].digest, new.layers[0].size)
    patch = Patch(target, sha256(data), len(data), (old.layers[0].digest,))
    contents = Contents((packed(new),), patches=((patch, lambda: io.BytesIO(data)),))
    write_bundle(plan(contents), folder / "delta.tar")
    return open_bundle(folder / "delta.tar")


@pytest.fixture(params=["layout", "registry"])
def far(
    request: pytest.FixtureRequest, tmp_path: Path, fake: Fake, registries: Registries
) -> Callable[[], Far]:
    """Makes a far side, which is the same each time."""
    if request.param == "layout":
        return lambda: LayoutFar(tmp_path / "out")
    return lambda: RegistryFar(Place(fake.host), registries)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The patch is what it makes; returns the bases that were read."""
    bases: list[bytes] = []

    def rebuild(self: Rebuilder, patch: Patch, open_patch: Callable[[], ByteStream]) -> Path:
        for digest in patch.bases:
            stream = self.bases[digest].open()
            bases.append(stream.read())
            stream.close()
        path = self.scratch / "made"
        stream = open_patch()
        path.write_bytes(stream.read())
        stream.close()
        return path

    monkeypatch.setattr(Rebuilder, "rebuild", rebuild)
    return bases


def bring(bundle: Bundle, far: Far) -> None:
    apply(bundle, far, plan_apply(bundle, far))


def test_a_base_that_is_not_there(far: Callable[[], Far], tmp_path: Path, fake: Fake) -> None:
    old, new = image_of(tmp_path, 1), image_of(tmp_path, 2)
    bundle = delta(tmp_path, old, new)
    with pytest.raises(BundleError, match="lacks 1 blobs that this delta builds on") as caught:
        bring(bundle, far())
    base, made = old.layers[0].digest, new.layers[0].digest
    assert caught.value.details == f"{base}, from which {made} of {SERVE} is made"
    assert not (tmp_path / "out").exists()
    assert not [one for one in fake.seen if one.method in ("POST", "PUT")]


def test_a_blob_is_made_of_its_base(
    far: Callable[[], Far],
    tmp_path: Path,
    fake: Fake,
    registries: Registries,
    pretended: list[bytes],
) -> None:
    old, new = image_of(tmp_path, 1), image_of(tmp_path, 2)
    bring(bundle_of(tmp_path / "old.tar", packed(old, OLD)), far())
    bundle = delta(tmp_path, old, new)
    bring(bundle, far())
    assert [sha256(data) for data in pretended] == [old.layers[0].digest]
    if (tmp_path / "out").exists():
        found = layout_image(tmp_path / "out", SERVE)
    else:
        reference = Reference.parse(f"{fake.host}/serve:1.0")
        found = pull_all(reference, registries, blobs=BlobStore(tmp_path / "pulled"))
        read_layers(images_of(found))
    assert found is not None
    assert found.digest == new.digest
    # The next time it is there, and nothing has to be made.
    bring(bundle, far())
    assert len(pretended) == 1


def test_what_is_made_has_to_be_right(
    far: Callable[[], Far], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake
) -> None:
    old, new = image_of(tmp_path, 1), image_of(tmp_path, 2)
    bring(bundle_of(tmp_path / "old.tar", packed(old, OLD)), far())

    def rebuild(self: Rebuilder, patch: Patch, open_patch: Callable[[], ByteStream]) -> Path:
        path = self.scratch / "made"
        path.write_bytes(b"x" * patch.target.size)
        return path

    monkeypatch.setattr(Rebuilder, "rebuild", rebuild)
    with pytest.raises(ImageError, match="does not match its digest"):
        bring(delta(tmp_path, old, new), far())
    assert ("serve", "1.0") not in fake.manifests
    if (tmp_path / "out").exists():
        assert layout_image(tmp_path / "out", SERVE) is None
