"""A bundle written and read again: one file, volumes, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimpack.bundle.contents import Contents, Extra, Packed, Part, plan
from slimpack.bundle.model import STATEMENT, parse_statement
from slimpack.bundle.reader import open_bundle
from slimpack.bundle.volumes import list_path, open_medium
from slimpack.bundle.write import bundle_size, write_bundle
from slimpack.errors import BundleError
from slimpack.oci.index import images_of
from slimpack.oci.read import read_image
from tests.oci.oci_images import PLAIN, sample_image


def contents(folder: Path) -> Contents:
    image = sample_image(folder / "blobs", PLAIN)
    extra = Extra(Part.of("locks/serve.lock", b"a lock\n"), "lock")
    return Contents((Packed(("docker.io/library/serve:1.0",), image),), (extra,), tool="test")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    planned = plan(contents(tmp_path))
    path = tmp_path / "site.slimpack.tar"
    written = write_bundle(planned, path)
    assert written.size == path.stat().st_size == bundle_size(planned)
    bundle = open_bundle(path)
    assert bundle.statement == parse_statement(planned.statement.to_json(), STATEMENT)
    assert bundle.read("locks/serve.lock", 100) == b"a lock\n"
    (bundled,) = bundle.statement.images
    assert bundled.names == ("docker.io/library/serve:1.0",)
    for image in images_of(bundle.target(bundled)):
        for layer in image.layers:
            with layer.open_tar() as tar:
                assert tar.read()
    # It is an OCI layout and a docker-archive, too.
    assert read_image(path).digest == bundled.digest


def test_volumes_are_the_bytes_of_the_tar(tmp_path: Path) -> None:
    planned = plan(contents(tmp_path))
    whole = tmp_path / "whole.tar"
    write_bundle(planned, whole)
    cut = tmp_path / "site.slimpack.tar"
    size = 64 << 10
    written = write_bundle(planned, cut, volume_size=size)
    listed, *volumes = written.paths
    assert listed == list_path(cut)
    assert b"".join(path.read_bytes() for path in volumes) == whole.read_bytes()
    assert len(volumes) > 1
    for name in (cut, listed):
        medium = open_medium(name)
        assert medium.size == whole.stat().st_size
        for offset in (0, size - 1, size, size + 1, medium.size - 1):
            stream = medium.slice(offset, 100)
            assert stream.read() == whole.read_bytes()[offset : offset + 100]
            stream.close()
        stream = medium.slice(10, medium.size)
        assert stream.skip(size) == size
        assert stream.read(5) == whole.read_bytes()[size + 10 : size + 15]
        stream.close()
        assert open_bundle(name).digest == open_bundle(whole).digest
    volumes[1].unlink()
    with pytest.raises(BundleError, match=r"site\.slimpack\.tar\.002 is missing"):
        open_bundle(cut)


def test_two_files_of_one_path_are_refused(tmp_path: Path) -> None:
    twice = (
        Extra(Part.of("locks/a.lock", b"one"), "lock"),
        Extra(Part.of("locks/a.lock", b"two"), "lock"),
    )
    with pytest.raises(BundleError, match=r"two files of a bundle would be locks/a\.lock"):
        plan(Contents(contents(tmp_path).images, twice))
