"""Bases that lie in a registry: --base, image.base, and runtimes whose image is a reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimpack.base import Base, assemble
from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.config import Config, ImageConfig
from slimpack.config_file import read_config
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Index
from slimpack.oci.layer import build_layer
from slimpack.progress import SILENT
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.sources import image_source
from slimpack.tree import bytes_entry
from tests.oci.oci_images import MTIME, ZSTD
from tests.registry.conftest import reference
from tests.registry.fake import Fake

VERSION = b"GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"


def base_image(folder: Path, architecture: str = "amd64") -> Image:
    layer = build_layer(
        "base",
        [
            bytes_entry("lib/x86_64-linux-gnu/libc.so.6", b"\x7fELF" + VERSION),
            bytes_entry("etc/os-release", f"ID={architecture}\n".encode()),
        ],
        blobs=BlobStore(folder),
        mtime=MTIME,
        compression=ZSTD,
    )
    return make_image([layer], OciConfig(architecture=architecture, env=(("A", "base"),)))


@pytest.fixture
def bases(fake: Fake, tmp_path: Path, registries: Registries) -> Index:
    index = Index(tuple(base_image(tmp_path / arch, arch) for arch in ("amd64", "arm64")))
    push(index, [reference(fake, "base:1")], registries)
    fake.seen.clear()
    return index


def assembled(tmp_path: Path, platform: str = "linux/amd64", **image: str) -> Base:
    return assemble(
        Config(folder=tmp_path, image=ImageConfig(**image)),  # type: ignore[arg-type]
        platform,
        cache=Cache(tmp_path / "cache"),
        layers=LayerCache(Cache(tmp_path), BlobStore(tmp_path / "scratch", durable=False)),
        epoch=0,
        compression=ZSTD,
        progress=SILENT,
    )


@pytest.mark.parametrize("number", [0, 1])
def test_the_image_for_the_platform(fake: Fake, bases: Index, tmp_path: Path, number: int) -> None:
    wanted = bases.images[number]
    name = f"{fake.host}/base:1"
    base = assembled(tmp_path, str(wanted.platform), base=name)
    assert base.image.digest == wanted.digest
    assert (base.glibc, base.reference) == ("2.36", f"{name}@{wanted.digest}")
    assert "etc/os-release" in base.view
    (note,) = base.notes
    assert f"pin it as {name}@{wanted.digest}" in note


def test_a_pinned_base_is_pulled_once(fake: Fake, bases: Index, tmp_path: Path) -> None:
    name = f"{fake.host}/base@{bases.digest}"
    first = assembled(tmp_path, base=name)
    assert first.notes == ()
    fake.seen.clear()
    again = assembled(tmp_path, base=name)
    assert again.image.layers == first.image.layers
    with again.image.layers[0].open() as stream:
        assert stream.read()
    assert fake.seen == []


def test_a_runtime_whose_image_is_a_reference(fake: Fake, bases: Index, tmp_path: Path) -> None:
    runtime = tmp_path / "own.toml"
    runtime.write_text(
        f'description = "x"\nimage = "{fake.host}/base@{bases.digest}"\nuser = "7"\n'
        'prefix = "/srv/env"\n[env]\nA = "runtime"\nNVIDIA_VISIBLE_DEVICES = "all"\n'
    )
    base = assembled(tmp_path, runtime=str(runtime))
    assert base.image.digest == bases.images[0].digest
    assert (base.user, base.prefix) == ("7", "/srv/env")
    # The runtime's variables are all its own.
    assert base.env == (("A", "runtime"), ("NVIDIA_VISIBLE_DEVICES", "all"))
    other = assembled(tmp_path, runtime=str(runtime), base=f"{fake.host}/base:1")
    assert other.env == (("NVIDIA_VISIBLE_DEVICES", "all"),)


def test_a_platform_that_the_base_has_not(fake: Fake, bases: Index, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no image for linux/s390x"):
        assembled(tmp_path, "linux/s390x", base=f"{fake.host}/base:1")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("gcr.io/distroless/cc:1", "gcr.io/distroless/cc:1"),
        ("base.tar", "{folder}/base.tar"),
        ("./gcr.io/x", "{folder}/gcr.io/x"),
        ("is.there/image", "{folder}/is.there/image"),
        ("base:1", "{folder}/base:1"),
    ],
)
def test_what_the_configuration_names(tmp_path: Path, text: str, kept: str) -> None:
    (tmp_path / "is.there" / "image").mkdir(parents=True)
    (tmp_path / "slimpack.toml").write_text(f'[image]\nbase = "{text}"\n')
    found = read_config(tmp_path / "slimpack.toml").image.base
    assert found == kept.format(folder=tmp_path)


def test_a_path_comes_before_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(image_source("is.here/image")) == "is.here/image:latest"
    (tmp_path / "is.here" / "image").mkdir(parents=True)
    assert image_source("is.here/image") == Path("is.here/image")
