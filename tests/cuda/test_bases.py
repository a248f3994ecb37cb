"""Bases for GPUs: NVIDIA's images by reference, and the folder of compatibility libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimpack.base import Base, assemble
from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.compat import compat_link
from slimpack.config import Config, ImageConfig
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.layout import write_layout
from slimpack.progress import SILENT
from slimpack.registry.reference import Reference
from slimpack.runtimes import load_runtime
from slimpack.tree import Tree, bytes_entry

PLAIN = Compression("none", 0, 1)


def assembled(tmp_path: Path, runtime: str, base: Path) -> Base:
    return assemble(
        Config(folder=tmp_path, image=ImageConfig(runtime=runtime, base=str(base))),
        "linux/amd64",
        cache=Cache(tmp_path / "cache"),
        layers=LayerCache(Cache(tmp_path), BlobStore(tmp_path / "blobs", durable=False)),
        epoch=0,
        compression=PLAIN,
        progress=SILENT,
    )


def image(tmp_path: Path, **env: str) -> Path:
    """Write an image with these variables as an OCI layout."""
    layer = build_layer(
        "base",
        [bytes_entry("etc/os-release", b"ID=other\n")],
        blobs=BlobStore(tmp_path / "made", durable=False),
        mtime=0,
        compression=PLAIN,
    )
    layout = tmp_path / "layout"
    write_layout(make_image([layer], OciConfig(env=tuple(env.items()))), layout, ("base:1",))
    return layout


@pytest.mark.parametrize("name", ["cuda-base", "cuda-runtime"])
def test_an_image_of_the_hub_by_reference(name: str) -> None:
    """They are pulled as tests/registry/test_bases.py has it; nobody does that in a test."""
    reference = Reference.parse(load_runtime(name).image)
    assert reference.name == "docker.io/nvidia/cuda"
    assert reference.tag == f"12.8.1-{name.removeprefix('cuda-')}-ubuntu24.04"


def test_the_fetched_image_is_taken(tmp_path: Path) -> None:
    base = assembled(tmp_path, "cuda-base", image(tmp_path, NVIDIA_VISIBLE_DEVICES="all"))
    assert base.gpu
    assert base.env == ()
    assert "etc/os-release" in base.view


def test_the_variables_of_the_runtime_for_gpus_on_any_base(tmp_path: Path) -> None:
    base = assembled(tmp_path, "cuda", image(tmp_path, NVIDIA_VISIBLE_DEVICES="none"))
    assert base.env == (("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"),)
    assert base.gpu
    plain = assembled(tmp_path, "distroless", tmp_path / "layout")
    assert (plain.gpu, plain.env) == (False, ())


def test_where_the_toolkit_looks_for_compatibility_libraries() -> None:
    tree = Tree([bytes_entry("opt/env/cuda-compat/libcuda.so.570.26", b"")])
    (link,) = compat_link(tree, "/opt/env")
    assert (link.path, link.link) == ("usr/local/cuda/compat", "../../../opt/env/cuda-compat")


def test_compatibility_libraries_that_are_not_there() -> None:
    with pytest.raises(InputError, match="no compatibility libraries in /opt/env/cuda-compat"):
        list(compat_link(Tree([]), "/opt/env"))


def test_a_base_with_compatibility_libraries_of_its_own() -> None:
    tree = Tree([bytes_entry("opt/env/cuda-compat/libcuda.so.570.26", b"")])
    with pytest.raises(InputError, match="the base has a /usr/local/cuda of its own"):
        list(compat_link(tree, "/opt/env", {"usr/local/cuda": ()}))
