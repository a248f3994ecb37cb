"""Deltas with patches: what they build on has to be there, and is what they are made from."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.bundle.apply import apply, plan_apply
from slimpack.bundle.contents import Contents, Packed, plan
from slimpack.bundle.far import Far
from slimpack.bundle.model import Patch
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.bundle.rebuild import Rebuilder
from slimpack.bundle.to_layout import LayoutFar
from slimpack.bundle.to_registry import Place, RegistryFar
from slimpack.bundle.write import write_bundle
from slimpack.errors import BundleError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import ByteStream, sha256
from slimpack.oci.image import Image
from slimpack.oci.index import images_of
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import pull_all
from slimpack.registry.reference import Reference
from tests.bundle.releases import LIBRARY, delta, release
from tests.bundle.shipping import SERVE, bundle_of, layout_image, packed, read_layers
from tests.registry.fake import Fake

OLD = "docker.io/library/serve:0.9"


@pytest.fixture(params=["layout", "registry"])
def far(
    request: pytest.FixtureRequest, tmp_path: Path, fake: Fake, registries: Registries
) -> Callable[[], Far]:
    """Makes a far side, which is the same each time."""
    if request.param == "layout":
        return lambda: LayoutFar(tmp_path / "out")
    return lambda: RegistryFar(Place(fake.host), registries)


def bring(bundle: Bundle, far: Far) -> None:
    apply(bundle, far, plan_apply(bundle, far), bundle.path.parent)


@pytest.fixture
def images(tmp_path: Path) -> tuple[Image, Image]:
    return release(tmp_path, 1), release(tmp_path, 2)


@pytest.fixture
def old(images: tuple[Image, Image], tmp_path: Path) -> Bundle:
    return bundle_of(tmp_path / "old.tar", packed(images[0], OLD))


@pytest.fixture
def bundle(images: tuple[Image, Image], old: Bundle, tmp_path: Path) -> Bundle:
    """A delta from the first release to the second."""
    return delta(tmp_path, images[1], old.path)


def test_a_base_that_is_not_there(
    far: Callable[[], Far], bundle: Bundle, images: tuple[Image, Image], tmp_path: Path, fake: Fake
) -> None:
    with pytest.raises(BundleError, match="blobs that this delta builds on") as caught:
        bring(bundle, far())
    before, after = images
    base, made = before.layers[1].digest, after.layers[1].digest
    assert f"{base}, from which {made} of {SERVE} is made" in caught.value.details
    assert f"{after.layers[0].digest} ({after.layers[0].size} bytes)" in caught.value.details
    assert not (tmp_path / "out").exists()
    assert not [one for one in fake.seen if one.method in ("POST", "PUT")]


def test_a_blob_is_made_of_its_base(
    far: Callable[[], Far],
    old: Bundle,
    bundle: Bundle,
    images: tuple[Image, Image],
    tmp_path: Path,
    fake: Fake,
    registries: Registries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (patch,) = [one for one in bundle.statement.patches if one.target.size > LIBRARY // 2]
    assert patch.size < LIBRARY // 100
    bring(old, far())
    bring(bundle, far())
    if (tmp_path / "out").exists():
        found = layout_image(tmp_path / "out", SERVE)
    else:
        reference = Reference.parse(f"{fake.host}/serve:1.0")
        found = pull_all(reference, registries, blobs=BlobStore(tmp_path / "pulled"))
        read_layers(images_of(found))
    assert found is not None
    assert found.digest == images[1].digest
    # The next time it is there, and nothing has to be made.
    monkeypatch.setattr(Rebuilder, "rebuild", None)
    bring(bundle, far())


def changed(bundle: Bundle, change: Callable[[bytes], bytes]) -> Bundle:
    """Return the delta with another patch of the library, and a statement that vouches for it."""
    statement = bundle.statement
    (patch,) = [one for one in statement.patches if one.target.size > LIBRARY // 2]
    data = change(bundle.read(patch.path, 1 << 20))
    other = replace(patch, digest=sha256(data), size=len(data))
    rest = [(one, opener(bundle, one)) for one in statement.patches if one is not patch]
    contents = Contents(
        tuple(Packed(one.names, bundle.target(one)) for one in statement.images),
        absent=frozenset(blob.digest for blob in statement.absent),
        patches=(*rest, (other, lambda: io.BytesIO(data))),
        since=statement.since,
    )
    path = bundle.path.with_name("changed.tar")
    write_bundle(plan(contents), path)
    return open_bundle(path)


def opener(bundle: Bundle, patch: Patch) -> Callable[[], ByteStream]:
    return lambda: bundle.open(patch.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "cannot be made of what is there"),
        (lambda data: data[:-10], "cannot be made of what is there|is not the one"),
        (lambda data: data[:3], "cannot be made of what is there"),
        (lambda data: b"", "cannot be made of what is there"),
        (lambda data: data.replace(b'"zstd', b'"zztd', 1), "cannot be made of what is there"),
    ],
)
def test_a_patch_that_is_no_good_moves_no_name(
    far: Callable[[], Far],
    old: Bundle,
    bundle: Bundle,
    tmp_path: Path,
    fake: Fake,
    change: Callable[[bytes], bytes],
    message: str,
) -> None:
    bring(old, far())
    with pytest.raises(BundleError, match=message) as caught:
        bring(changed(bundle, change), far())
    assert caught.value.hint
    assert ("serve", "1.0") not in fake.manifests
    if (tmp_path / "out").exists():
        assert layout_image(tmp_path / "out", SERVE) is None


def test_another_version_of_the_compressor_is_told_before_anything_is_written(
    far: Callable[[], Far], old: Bundle, bundle: Bundle, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(old, far())
    fake.seen.clear()
    monkeypatch.setattr("slimpack.bundle.rebuild.can_rebuild", lambda info: "zstd is another")
    with pytest.raises(BundleError, match="cannot be applied: zstd is another") as caught:
        bring(bundle, far())
    assert "--no-patches" in caught.value.hint
    assert not [one for one in fake.seen if one.method in ("POST", "PUT")]
