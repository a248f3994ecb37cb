"""Layout folders: built whole, updated without harm to the images beside."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import ImageError, InputError, SlimpackError
from slimpack.oci.image import Image, make_image
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.validate import validate
from tests.oci.oci_images import BY_KIND, GZIP, files_below, sample_config, sample_image, small_disk
from tests.oci.test_oci_archive import broken


def blobs_of(*images: Image) -> set[str]:
    return {
        f"blobs/sha256/{digest[7:]}"
        for image in images
        for digest in (image.digest, image.config_digest, *(x.digest for x in image.layers))
    }


def changed(image: Image, keep: int = 3) -> Image:
    """Return another image that shares `keep` layers with `image`."""
    config = replace(sample_config(), labels={"kept": str(keep)})
    return make_image(image.layers[:keep], config)


@pytest.mark.parametrize("there", ["nothing", "empty folder"])
def test_a_new_layout(tmp_path: Path, there: str) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "dist" / "layout"
    if there == "empty folder":
        path.mkdir(parents=True)
    seen: list[int] = []
    write_layout(image, path, ["serve:1.0"], advance=seen.append)
    assert set(files_below(path)) == {"oci-layout", "index.json"} | blobs_of(image)
    assert sum(seen) == sum(layer.size for layer in image.layers)
    assert json.loads((path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    read = read_image(path)
    assert (read.digest, read.layers) == (image.digest, image.layers)
    validate(read, blobs=True)
    assert files_below(path.parent) == [f"layout/{name}" for name in files_below(path)]


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "layout"
    write_layout(image, path, ["serve:1.0"])
    before = {name: (path / name).read_bytes() for name in files_below(path)}
    seen: list[int] = []
    write_layout(image, path, ["serve:1.0"], advance=seen.append)
    assert {name: (path / name).read_bytes() for name in files_below(path)} == before
    assert sum(seen) == sum(layer.size for layer in image.layers)


def test_images_beside_stay_and_the_replaced_one_goes(tmp_path: Path) -> None:
    one = sample_image(tmp_path / "blobs")
    other = sample_image(tmp_path / "blobs", GZIP)
    two = changed(one)
    path = tmp_path / "layout"
    write_layout(one, path, ["serve:1.0"])
    write_layout(other, path, ["other"])
    assert set(files_below(path)) == {"oci-layout", "index.json"} | blobs_of(one, other)
    write_layout(two, path, ["serve:1.0"])
    assert set(files_below(path)) == {"oci-layout", "index.json"} | blobs_of(two, other)
    assert read_image(path, ref="other").digest == other.digest
    assert read_image(path, ref="serve:1.0").digest == two.digest
    assert read_image(path, ref="docker.io/library/serve:1.0").digest == two.digest


def test_an_image_under_another_name_keeps_the_shared_blobs(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "layout"
    write_layout(image, path, ["a", "b"])
    write_layout(changed(image, 1), path, ["a"])
    assert read_image(path, ref="b").digest == image.digest
    validate(read_image(path, ref="b"), blobs=True)


def test_images_without_a_name_replace_each_other(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "layout"
    write_layout(image, path)
    write_layout(changed(image), path)
    assert read_image(path).digest == changed(image).digest


def test_unknown_entries_of_others_are_kept(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "layout"
    write_layout(image, path, ["a"])
    index = json.loads((path / "index.json").read_bytes())
    foreign = {
        "mediaType": "application/x-else",
        "digest": f"sha256:{'0' * 64}",
        "size": 3,
        "annotations": {"k": "v"},
    }
    index["manifests"].append(foreign)
    (path / "index.json").write_text(json.dumps(index))
    write_layout(changed(image), path, ["a"])
    assert foreign in json.loads((path / "index.json").read_bytes())["manifests"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImageError("bad"), OSError(5, "I/O error")])
def test_an_error_leaves_the_folder_as_it_was(tmp_path: Path, error: BaseException) -> None:
    one = sample_image(tmp_path / "blobs")
    two = broken(sample_image(tmp_path / "blobs", GZIP), error)
    dist = tmp_path / "dist"
    expected = SlimpackError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_layout(two, dist / "layout", ["a"])
    assert list(dist.iterdir()) == []
    write_layout(one, dist / "layout", ["a"])
    before = {name: (dist / name).read_bytes() for name in files_below(dist)}
    with pytest.raises(expected):
        write_layout(two, dist / "layout", ["a"])
    assert {name: (dist / name).read_bytes() for name in files_below(dist)} == before


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    one = sample_image(tmp_path / "blobs")
    noise = sample_image(tmp_path / "blobs", BY_KIND["none"])
    with small_disk(tmp_path / "disk") as disk:
        write_layout(one, disk / "layout", ["a"])
        before = files_below(disk)
        (disk / "filler").write_bytes(bytes(1_700_000))
        with pytest.raises(SlimpackError, match="No space left"):
            write_layout(noise, disk / "layout", ["b"])
        (disk / "filler").unlink()
        assert files_below(disk) == before
        assert read_image(disk / "layout").digest == one.digest


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "home"
    path.mkdir()
    (path / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="exists and is not an OCI layout"):
        write_layout(image, path)
    with pytest.raises(InputError, match="exists and is not an OCI layout"):
        write_layout(image, path / "thesis.txt")
    assert files_below(path) == ["thesis.txt"]


def test_a_layout_that_is_broken_is_not_touched(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "layout"
    write_layout(image, path, ["a"])
    (path / "index.json").write_text("{")
    before = files_below(path)
    with pytest.raises(ImageError, match=r"index\.json is not valid JSON"):
        write_layout(sample_image(tmp_path / "blobs", GZIP), path, ["b"])
    assert files_below(path) == before


def test_a_manifest_that_is_damaged_stops_the_cleaning_but_nothing_is_lost(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    path = tmp_path / "layout"
    write_layout(image, path, ["a"])
    (path / "blobs" / "sha256" / image.digest[7:]).write_text("{")
    before = set(files_below(path))
    write_layout(changed(image), path, ["a"])
    assert before <= set(files_below(path))
    validate(read_image(path, ref="a"), blobs=True)


def test_many_writers_of_one_folder(tmp_path: Path) -> None:
    images = [sample_image(tmp_path / "blobs", kind) for kind in BY_KIND.values()]
    path = tmp_path / "layout"
    write_layout(images[0], path, ["start"])

    def write(number: int) -> None:
        write_layout(images[number % 3], path, [f"tag:{number}"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(12)))
    for number in range(12):
        assert read_image(path, ref=f"tag:{number}").digest == images[number % 3].digest


def test_two_who_make_the_same_new_layout_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who comes second adds to what the first has made."""
    image = sample_image(tmp_path / "blobs")
    target = tmp_path / "layout"
    rename = Path.rename

    def late(self: Path, to: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        write_layout(image, target, ["first:1"])
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", late)
    write_layout(image, target, ["second:1"])
    for name in ("first:1", "second:1"):
        assert read_image(target, ref=name).digest == image.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "layout"]
