"""Images that were made to do harm, pulled from a registry: each is refused in words."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimpack.errors import ImageError, RegistryError, SlimpackError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import MANIFEST_TYPE, MAX_LAYERS, Image
from slimpack.oci.layer import TAR
from slimpack.oci.rootfs import merged_view
from slimpack.oci.validate import validate
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch, pull
from slimpack.rootfs import unpack_image
from tests.registry.conftest import reference
from tests.registry.fake import INDEX, Fake, digest_of
from tests.support.channel import Run
from tests.support.command import Done

Data = dict[str, Any]


class Hostile:
    """An image in the registry that a test bends before it is stored."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self.layers: list[Data] = []
        self.config: Data = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        self.manifest: Data = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}

    def layer(self, data: bytes, *, diff_id: str = "", kind: str = TAR) -> Data:
        item = {"mediaType": kind, "digest": self.fake.add("app", data), "size": len(data)}
        self.layers.append(item)
        self.config["rootfs"]["diff_ids"].append(diff_id or digest_of(data))
        return item

    def store(self, **changes: object) -> None:
        config = json.dumps(self.config).encode()
        self.manifest["config"] = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": self.fake.add("app", config),
            "size": len(config),
        }
        self.manifest["layers"] = self.layers
        self.manifest.update(changes)
        self.fake.put("app", "1", json.dumps(self.manifest).encode(), MANIFEST_TYPE)


@pytest.fixture
def hostile(fake: Fake) -> Hostile:
    return Hostile(fake)


@pytest.fixture
def pulled(
    fake: Fake, hostile: Hostile, registries: Registries, tmp_path: Path
) -> Callable[[], Image]:
    """Store the image and pull it."""

    def call() -> Image:
        hostile.store()
        return pull(reference(fake), registries, blobs=BlobStore(tmp_path / "blobs"))

    return call


def tar(*members: tuple[str, bytes | None, dict[str, object]]) -> bytes:
    """Return a tar of (name, content, fields of the header)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            info.size = len(content or b"")
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


FILE: tuple[str, bytes, dict[str, object]] = ("etc/passwd", b"root:x:0:0\n", {})


@pytest.mark.parametrize(
    "members",
    [
        [("../outside", b"x", {})],
        [("a/../../outside", b"x", {})],
        [("link", None, {"type": tarfile.SYMTYPE, "linkname": "/"}), ("link/x", b"x", {})],
        [("link", None, {"type": tarfile.SYMTYPE, "linkname": ".."}), ("link/x", b"x", {})],
        [FILE, ("hard", None, {"type": tarfile.LNKTYPE, "linkname": "../outside"})],
        [("hard", None, {"type": tarfile.LNKTYPE, "linkname": "/etc/shadow"})],
        [FILE, ("etc/passwd/x", b"x", {})],
    ],
)
def test_nothing_leads_out_of_an_image(
    hostile: Hostile, pulled: Callable[[], Image], tmp_path: Path, members: list[Any]
) -> None:
    hostile.layer(tar(*members))
    image = pulled()
    (tmp_path / "outside").write_text("before")
    with pytest.raises(ImageError):
        unpack_image(image, tmp_path / "root")
    assert (tmp_path / "outside").read_text() == "before"


def test_links_between_layers(
    hostile: Hostile, pulled: Callable[[], Image], tmp_path: Path
) -> None:
    """A link in one layer, a file through it in the next."""
    (tmp_path / "outside").mkdir()
    link: dict[str, object] = {"type": tarfile.SYMTYPE, "linkname": str(tmp_path / "outside")}
    hostile.layer(tar(("etc", None, link)))
    hostile.layer(tar(("etc/passwd", b"x", {})))
    with pytest.raises(ImageError):
        unpack_image(pulled(), tmp_path / "root")
    assert list((tmp_path / "outside").iterdir()) == []


def test_whiteouts_take_nothing_outside(
    hostile: Hostile, pulled: Callable[[], Image], tmp_path: Path
) -> None:
    hostile.layer(tar(FILE, ("a/b", b"x", {}), ("a/c", b"x", {})))
    hostile.layer(tar(("a/.wh.b", b"", {}), (".wh.etc", b"", {})))
    image = pulled()
    assert sorted(merged_view(image)) == ["a/c"]
    unpack_image(image, tmp_path / "root")
    assert sorted(path.name for path in (tmp_path / "root").rglob("*")) == ["a", "c"]


@pytest.mark.parametrize("name", [".wh...", "a/.wh...", ".wh..", ".wh."])
def test_whiteouts_of_parents(
    hostile: Hostile, pulled: Callable[[], Image], tmp_path: Path, name: str
) -> None:
    (tmp_path / "root.keep").write_text("x")
    hostile.layer(tar(FILE))
    hostile.layer(tar((name, b"", {})))
    image = pulled()
    try:
        unpack_image(image, tmp_path / "root")
    except ImageError:
        return
    assert (tmp_path / "root/etc/passwd").is_file()
    assert (tmp_path / "root.keep").is_file()


def test_a_wrong_diff_id(hostile: Hostile, pulled: Callable[[], Image]) -> None:
    data = gzip.compress(tar(FILE))
    hostile.layer(data, diff_id="sha256:" + "0" * 64, kind=f"{TAR}+gzip")
    image = pulled()
    with pytest.raises(ImageError, match=r"the tar of layer .* does not match its digest"):
        validate(image, blobs=True)
    with pytest.raises(ImageError, match="does not match its digest"):
        merged_view(image)


def test_a_layer_that_unpacks_to_too_much(hostile: Hostile, pulled: Callable[[], Image]) -> None:
    plain = tar(("zeros", bytes(50_000_000), {}))
    hostile.layer(gzip.compress(plain), diff_id=digest_of(plain), kind=f"{TAR}+gzip")
    with pytest.raises(ImageError), pulled().layers[0].open_tar(limit=1_000_000) as stream:
        stream.read()


@pytest.mark.parametrize("size", [0, 1, 10**15])
def test_a_lying_size_of_a_layer(
    hostile: Hostile, pulled: Callable[[], Image], registries: Registries, size: int
) -> None:
    hostile.layer(tar(FILE))["size"] = size
    with pytest.raises(ImageError, match=r"declares|does not match its digest"):
        prefetch(pulled(), registries)


@pytest.mark.parametrize(
    "size", [-1, 1.5, "10", True, None, 10**40], ids=["-1", "1.5", "text", "true", "null", "big"]
)
def test_a_size_that_is_none(
    hostile: Hostile, pulled: Callable[[], Image], registries: Registries, size: object
) -> None:
    hostile.layer(tar(FILE))["size"] = size
    with pytest.raises(ImageError):
        prefetch(pulled(), registries)


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha512:" + "0" * 128, "", None, 1])
def test_a_digest_that_is_none(
    hostile: Hostile, pulled: Callable[[], Image], digest: object
) -> None:
    hostile.layer(tar(FILE))["digest"] = digest
    with pytest.raises(ImageError):
        pulled()


def test_ten_thousand_layers(hostile: Hostile, pulled: Callable[[], Image]) -> None:
    """As many as are allowed are read, in no time and with nothing downloaded; one more is not."""
    hostile.layer(tar(FILE))
    hostile.layers *= MAX_LAYERS
    hostile.config["rootfs"]["diff_ids"] *= MAX_LAYERS
    assert len(pulled().layers) == MAX_LAYERS
    hostile.layers.append(hostile.layers[0])
    hostile.config["rootfs"]["diff_ids"].append(hostile.config["rootfs"]["diff_ids"][0])
    with pytest.raises(ImageError, match="more than"):
        pulled()


def test_other_counts_of_layers(hostile: Hostile, pulled: Callable[[], Image]) -> None:
    hostile.layer(tar(FILE))
    hostile.config["rootfs"]["diff_ids"] = []
    with pytest.raises(ImageError, match="lists 1 layers, its config 0"):
        pulled()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"nonsense",
        b'{"schemaVersion": 2',
        b"[" * 100_000,
        b'{"a": 1, "a": 2}',
        b'{"schemaVersion": 2, "config": [], "layers": []}',
        b'{"schemaVersion": 2, "config": {}, "layers": {}}',
        b'{"schemaVersion": 2, "mediaType": "application/x", "layers": []}',
        b'{"schemaVersion": 2, "manifests": [1]}',
        b'{"schemaVersion": 2, "manifests": [{"digest": "x"}]}',
        b'{"schemaVersion": 2, "manifests": 7}',
        b'{"a": "\\ud800"}',
        b"\xff\xfe",
    ],
)
def test_manifests_that_are_none(
    fake: Fake, registries: Registries, tmp_path: Path, text: bytes
) -> None:
    for kind in (MANIFEST_TYPE, INDEX, "text/html"):
        fake.put("app", "1", text, kind)
        with pytest.raises(SlimpackError):
            pull(reference(fake), registries, blobs=BlobStore(tmp_path / "blobs"))


def test_huge_json(
    fake: Fake, hostile: Hostile, pulled: Callable[[], Image], registries: Registries
) -> None:
    hostile.config["x"] = "x" * (9 << 20)
    with pytest.raises((ImageError, RegistryError), match=r"larger than|bytes, but declares"):
        pulled()
    hostile.config["x"] = ""
    hostile.manifest["x"] = "x" * (5 << 20)
    with pytest.raises(RegistryError, match="larger than"):
        pulled()


def test_an_index_of_very_many(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    item = {"mediaType": MANIFEST_TYPE, "digest": "sha256:" + "0" * 64, "size": 1}
    index = json.dumps({"schemaVersion": 2, "manifests": [item] * 1001}).encode()
    fake.put("app", "1", index, INDEX)
    with pytest.raises(ImageError, match="more than 1000 images"):
        pull(reference(fake), registries, blobs=BlobStore(tmp_path / "blobs"))


def test_an_index_that_says_something_else_of_its_image(
    fake: Fake, hostile: Hostile, registries: Registries, tmp_path: Path
) -> None:
    hostile.layer(tar(FILE))
    hostile.store()
    manifest, _ = fake.manifests["app", "1"]
    item = {"mediaType": MANIFEST_TYPE, "digest": digest_of(manifest), "size": len(manifest) + 1}
    for changed in ({}, {"mediaType": INDEX, "size": len(manifest)}):
        index = {"schemaVersion": 2, "manifests": [{**item, **changed}]}
        fake.put("app", "2", json.dumps(index).encode(), INDEX)
        with pytest.raises(ImageError):
            pull(reference(fake, "app:2"), registries, blobs=BlobStore(tmp_path / "blobs"))


@pytest.mark.parametrize("kind", ["application/vnd.docker.image.rootfs.foreign.diff.tar", "a/b"])
def test_layers_that_cannot_be_kept(
    hostile: Hostile, pulled: Callable[[], Image], kind: str
) -> None:
    hostile.layer(tar(FILE), kind=kind)
    with pytest.raises(ImageError, match=r"foreign layer|unknown type"):
        pulled()


def test_the_command_tells_it_in_words(
    hostile: Hostile, fake: Fake, run: Run, tmp_path: Path
) -> None:
    hostile.layer(tar(FILE), diff_id="sha256:" + "1" * 64)
    hostile.store()
    done: Done = run("inspect", f"{fake.host}/app:1", cwd=tmp_path, code=7)
    assert "is not compressed, yet has another diffID" in done.stderr
