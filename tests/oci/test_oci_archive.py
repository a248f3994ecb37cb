"""The tar that is two formats at once."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import ImageError, InputError, SlimpackError
from slimpack.oci.archive import archive_chunks, archive_size, write_archive
from slimpack.oci.digest import ByteStream, sha256
from slimpack.oci.image import Image
from tests.oci.oci_images import BY_KIND, files_below, sample_image, small_disk

TAGS = ["serve:1.0", "ghcr.io/me/serve"]


def test_members_in_order(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "dist" / "serve.tar"
    write_archive(image, path, TAGS)
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        content = {m.name: tar.extractfile(m).read() for m in members if m.isreg()}  # type: ignore[union-attr]
    digests = [image.config_digest, image.digest, *(layer.digest for layer in image.layers)]
    assert [m.name for m in members] == [
        "oci-layout",
        "index.json",
        "manifest.json",
        "blobs",
        "blobs/sha256",
        *(f"blobs/sha256/{digest[7:]}" for digest in digests),
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    assert [sha256(content[m.name]) for m in members[5:]] == digests

    index = json.loads(content["index.json"])
    assert [item["digest"] for item in index["manifests"]] == [image.digest] * 2
    assert [item["annotations"] for item in index["manifests"]] == [
        {
            "io.containerd.image.name": "docker.io/library/serve:1.0",
            "org.opencontainers.image.ref.name": "serve:1.0",
        },
        {
            "io.containerd.image.name": "ghcr.io/me/serve:latest",
            "org.opencontainers.image.ref.name": "ghcr.io/me/serve:latest",
        },
    ]
    assert index["manifests"][0]["platform"] == {"architecture": "amd64", "os": "linux"}
    (docker,) = json.loads(content["manifest.json"])
    assert docker["RepoTags"] == ["serve:1.0", "ghcr.io/me/serve:latest"]
    assert [docker["Config"], *docker["Layers"]] == [
        f"blobs/sha256/{digest[7:]}" for digest in (digests[0], *digests[2:])
    ]


def test_the_bytes_depend_on_image_and_tags_only(tmp_path: Path) -> None:
    for number in (1, 2):
        write_archive(sample_image(tmp_path / f"blobs{number}"), tmp_path / f"{number}.tar", TAGS)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


@pytest.mark.parametrize("kind", BY_KIND)
def test_stream_file_and_size_agree(tmp_path: Path, kind: str) -> None:
    image = sample_image(tmp_path / "blobs", BY_KIND[kind])
    seen: list[int] = []
    write_archive(image, tmp_path / "x.tar", TAGS, advance=seen.append)
    whole = (tmp_path / "x.tar").read_bytes()
    assert b"".join(archive_chunks(image, TAGS)) == whole
    assert archive_size(image, TAGS) == sum(seen) == len(whole)


def test_a_layer_that_is_there_twice_is_written_once(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    doubled = Image(layers=image.layers[:1] * 2, config=image.config, history=image.history[:1] * 2)
    write_archive(doubled, tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert len([name for name in tar.getnames() if name.startswith("blobs/sha256/")]) == 3


def broken(image: Image, error: BaseException) -> Image:
    """Return the image with a layer that fails in its middle."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise error

    def source() -> ByteStream:
        return Failing()

    return replace(image, layers=(*image.layers[:-1], replace(image.layers[-1], source=source)))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImageError("bad"), OSError(5, "I/O error")])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "dist" / "x.tar"
    expected = ImageError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_archive(broken(image, error), path)
    assert files_below(path.parent) == []
    write_archive(image, path)
    before = path.read_bytes()
    with pytest.raises(expected):
        write_archive(broken(image, error), path)
    assert path.read_bytes() == before
    assert files_below(path.parent) == ["x.tar"]


def test_a_damaged_layer_never_gets_into_an_archive(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    blob = tmp_path / "blobs" / "sha256" / image.layers[0].digest[7:]
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(ImageError, match="does not match its digest"):
        write_archive(image, tmp_path / "dist" / "x.tar")
    assert files_below(tmp_path / "dist") == []


def test_an_inconsistent_image_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    with pytest.raises(ImageError, match="history"):
        write_archive(replace(image, history=image.history[1:]), tmp_path / "dist" / "x.tar")
    with pytest.raises(InputError, match="not a name"):
        write_archive(image, tmp_path / "dist" / "x.tar", ["Bad Name"])
    assert not (tmp_path / "dist").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs", BY_KIND["none"])
    noise = bytes(range(256)) * 12_000
    big = replace(
        image.layers[0],
        digest=sha256(noise),
        diff_id=sha256(noise),
        size=len(noise),
        source=lambda: io.BytesIO(noise),
    )
    image = replace(image, layers=(big, *image.layers[1:]))
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(SlimpackError, match="No space left"):
            write_archive(image, disk / "x.tar")
        assert files_below(disk) == []
