"""Reading images of others: every form, and every lie."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError, InputError, SlimpackError
from slimpack.oci import image as images
from slimpack.oci import parse
from slimpack.oci.archive import write_archive
from slimpack.oci.config import Platform
from slimpack.oci.digest import sha256
from slimpack.oci.image import Image, make_image
from slimpack.oci.jsontext import canonical
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.validate import validate
from tests.oci.oci_images import BY_KIND, GZIP, PLAIN, sample_config, sample_image

INDEX = "application/vnd.oci.image.index.v1+json"
AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")


def packed(path: Path, files: dict[str, bytes | str], *, prefix: str = "") -> Path:
    """Write a tar of `files`, made by the standard library; a str is a symlink's target."""
    with tarfile.open(path, "w:") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def layout_files(image: Image) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {
        "oci-layout": canonical({"imageLayoutVersion": "1.0.0"}),
        "index.json": canonical({"schemaVersion": 2, "manifests": [image.descriptor()]}),
        f"blobs/sha256/{image.digest[7:]}": image.manifest_json,
        f"blobs/sha256/{image.config_digest[7:]}": image.config_json,
    }
    for layer in image.layers:
        with layer.open() as stream:
            files[f"blobs/sha256/{layer.digest[7:]}"] = stream.read()
    return files


def spread(path: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            place.symlink_to(content)
        else:
            place.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("form", ["our archive", "our layout", "a tar of a layout", "./ names"])
def test_every_oci_form_keeps_every_digest(tmp_path: Path, kind: str, form: str) -> None:
    image = sample_image(tmp_path / "blobs", BY_KIND[kind])
    path = tmp_path / "image"
    if form == "our archive":
        write_archive(image, path, ["serve:1.0", "b"])
    elif form == "our layout":
        write_layout(image, path, ["serve:1.0", "b"])
    else:
        packed(path, layout_files(image), prefix="./" if form == "./ names" else "")
    found = read_image(path)
    assert found.digest == image.digest
    assert found.config_digest == image.config_digest
    assert found.layers == image.layers
    assert [layer.name for layer in found.layers] == [layer.name for layer in image.layers]
    assert found.config == image.config
    validate(found, blobs=True)


def legacy(image: Image, tags: list[str]) -> dict[str, bytes | str]:
    """Return the files of `docker save` before Docker 25: JSON last, layers in folders."""
    files: dict[str, bytes | str] = {}
    places = []
    for number, layer in enumerate(image.layers):
        folder = hashlib.sha256(str(number).encode()).hexdigest()
        with layer.open() as stream:
            files[f"{folder}/VERSION"] = b"1.0"
            files[f"{folder}/layer.tar"] = stream.read()
        places.append(f"{folder}/layer.tar")
    config = f"{image.config_digest[7:]}.json"
    files[config] = image.config_json
    files["manifest.json"] = canonical([{"Config": config, "RepoTags": tags, "Layers": places}])
    files["repositories"] = b"{}"
    return files


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("form", ["tar", "folder"])
def test_legacy_docker_archive(tmp_path: Path, kind: str, form: str) -> None:
    image = sample_image(tmp_path / "blobs", BY_KIND[kind])
    files = legacy(image, ["serve:1.0"])
    found = read_image((packed if form == "tar" else spread)(tmp_path / "image", files))
    assert found.config_digest == image.config_digest
    assert found.layers == image.layers
    assert found.digest == image.digest
    validate(found, blobs=True)


def test_docker_archive_with_linked_layers(tmp_path: Path) -> None:
    """Docker and podman write a layer that two images share once, and link to it."""
    image = sample_image(tmp_path / "blobs", PLAIN)
    files = legacy(image, [])
    first = next(name for name in files if name.endswith("layer.tar"))
    files[f"{image.layers[0].diff_id[7:]}.tar"] = files[first]
    files[first] = f"../{image.layers[0].diff_id[7:]}.tar"
    found = read_image(packed(tmp_path / "image.tar", files))
    validate(found, blobs=True)
    assert found.layers == image.layers


def test_choosing_among_docker_images(tmp_path: Path) -> None:
    one = sample_image(tmp_path / "blobs")
    two = make_image(one.layers[:2], replace(sample_config(), architecture="arm64"))
    files = {**legacy(two, ["two:1"]), **legacy(one, ["one:1", "uno:1"])}
    images = [
        *json.loads(legacy(one, ["one:1", "uno:1"])["manifest.json"]),
        *json.loads(legacy(two, ["two:1"])["manifest.json"]),
    ]
    files["manifest.json"] = canonical(images)
    path = packed(tmp_path / "image.tar", files)
    assert read_image(path, ref="uno:1").config_digest == one.config_digest
    assert read_image(path, ref="docker.io/library/two:1").config_digest == two.config_digest
    assert read_image(path, ARM64).config_digest == two.config_digest
    with pytest.raises(InputError, match=r"holds 2 images: 'one:1, uno:1' for 'linux/amd64', 'two"):
        read_image(path)
    with pytest.raises(InputError, match="holds no image three"):
        read_image(path, ref="three")


def nested(*images: Image, depth: int = 1) -> dict[str, bytes | str]:
    """Return a layout whose index leads through `depth` indexes to the images."""
    files: dict[str, bytes | str] = {}
    for image in images:
        files.update(layout_files(image))
    items = [image.descriptor() for image in images]
    for _ in range(depth):
        data = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": items})
        files[f"blobs/sha256/{sha256(data)[7:]}"] = data
        items = [{"mediaType": INDEX, "digest": sha256(data), "size": len(data)}]
    files["index.json"] = canonical({"schemaVersion": 2, "manifests": items})
    return files


def two_platforms(tmp_path: Path) -> tuple[Image, Image]:
    amd64 = sample_image(tmp_path / "blobs")
    arm64 = make_image(amd64.layers, replace(sample_config(), architecture="arm64", variant="v8"))
    return amd64, arm64


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_platforms_of_an_index(tmp_path: Path, depth: int) -> None:
    amd64, arm64 = two_platforms(tmp_path)
    path = packed(tmp_path / "image.tar", nested(amd64, arm64, depth=depth))
    assert read_image(path, AMD64).digest == amd64.digest
    assert read_image(path, ARM64).digest == arm64.digest
    with pytest.raises(InputError, match=r"holds 2 images: .*linux/arm64/v8"):
        read_image(path)
    with pytest.raises(InputError, match="holds no image for linux/s390x") as caught:
        read_image(path, Platform.parse("linux/s390x"))
    assert "linux/amd64" in caught.value.hint


def test_a_single_image_of_another_platform_is_not_taken(tmp_path: Path) -> None:
    path = packed(tmp_path / "image.tar", layout_files(sample_image(tmp_path / "blobs")))
    with pytest.raises(InputError, match="holds no image for linux/arm64"):
        read_image(path, ARM64)


def test_attestations_are_no_images(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    files = nested(image)
    items = [
        image.descriptor(),
        {
            "mediaType": image.manifest_type,
            "digest": f"sha256:{'1' * 64}",
            "size": 7,
            "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        },
    ]
    files["index.json"] = canonical({"schemaVersion": 2, "manifests": items})
    assert read_image(packed(tmp_path / "image.tar", files)).digest == image.digest


def test_docker_media_types_are_read_and_kept(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs", GZIP)
    manifest = json.loads(image.manifest_json)
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest["mediaType"] = kind
    manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    for item in manifest["layers"]:
        item["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    docker = replace(image, raw_manifest=canonical(manifest), manifest_type=kind)
    found = read_image(packed(tmp_path / "image.tar", layout_files(docker)))
    assert found.digest == docker.digest
    assert found.layers == image.layers
    write_layout(found, tmp_path / "copy")
    assert read_image(tmp_path / "copy").digest == docker.digest
    on_top = make_image([], sample_config(), base=found)
    assert "vnd.docker" not in on_top.manifest_json.decode()


def test_our_base_from_what_skopeo_writes(tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    image = sample_image(tmp_path / "blobs", GZIP)
    write_archive(image, tmp_path / "ours.tar", ["serve:1.0"])
    for target in ("oci:oci", "oci-archive:oci.tar", "docker-archive:docker.tar:serve:1.0"):
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", "-q", "oci-archive:ours.tar", target],
            cwd=tmp_path,
            check=True,
        )
        found = read_image(tmp_path / target.split(":")[1])
        validate(found, blobs=True)
        assert found.config_digest == image.config_digest


# --- lies -------------------------------------------------------------------

Files = dict[str, Any]


def edited_index(edit: Callable[[dict[str, Any]], object]) -> Callable[[Files, Image], None]:
    def change(files: Files, image: Image) -> None:
        index = json.loads(files["index.json"])
        edit(index)
        files["index.json"] = json.dumps(index).encode()

    return change


def edited_manifest(edit: Callable[[dict[str, Any]], object]) -> Callable[[Files, Image], None]:
    def change(files: Files, image: Image) -> None:
        manifest = json.loads(image.manifest_json)
        edit(manifest)
        with_manifest(files, canonical(manifest), image)

    return change


def edited_config(edit: Callable[[dict[str, Any]], object]) -> Callable[[Files, Image], None]:
    def change(files: Files, image: Image) -> None:
        config = json.loads(image.config_json)
        edit(config)
        data = canonical(config)
        files[f"blobs/sha256/{sha256(data)[7:]}"] = data
        manifest = json.loads(image.manifest_json)
        manifest["config"].update(digest=sha256(data), size=len(data))
        with_manifest(files, canonical(manifest), image)

    return change


def with_manifest(files: Files, data: bytes, image: Image) -> None:
    files[f"blobs/sha256/{sha256(data)[7:]}"] = data
    item = {**image.descriptor(), "digest": sha256(data), "size": len(data)}
    files["index.json"] = canonical({"schemaVersion": 2, "manifests": [item]})


def blob(digest: str) -> str:
    return f"blobs/sha256/{digest[7:]}"


def swapped(files: Files, image: Image) -> None:
    data = files[blob(image.digest)]
    files[blob(image.digest)] = data.replace(b"schemaVersion", b"SchemaVersion")


def swapped_config(files: Files, image: Image) -> None:
    data = files[blob(image.config_digest)]
    files[blob(image.config_digest)] = data.replace(b"linux", b"Linux")


def short_layer(files: Files, image: Image) -> None:
    files[blob(image.layers[0].digest)] = files[blob(image.layers[0].digest)][:-1]


def missing(choose: Callable[[Image], str]) -> Callable[[Files, Image], None]:
    return lambda files, image: files.pop(choose(image)) and None


def text(name: str, content: bytes) -> Callable[[Files, Image], None]:
    return lambda files, image: files.update({name: content})


def cycle(files: Files, image: Image) -> None:
    """Two indexes that name each other: no digests fit, as nobody can make them fit."""
    one, two = "a" * 64, "b" * 64
    for here, there in ((one, two), (two, one)):
        item = {"mediaType": INDEX, "digest": f"sha256:{there}", "size": 200}
        files[f"blobs/sha256/{here}"] = canonical({"manifests": [item]}).ljust(200)
    item = {"mediaType": INDEX, "digest": f"sha256:{one}", "size": 200}
    files["index.json"] = canonical({"manifests": [item]})


def crowd(files: Files, image: Image) -> None:
    items = []
    for number in range(1001):
        data = canonical({"schemaVersion": 2, "mediaType": INDEX, "n": number, "manifests": []})
        files[f"blobs/sha256/{sha256(data)[7:]}"] = data
        items.append({"mediaType": INDEX, "digest": sha256(data), "size": len(data)})
    files["index.json"] = canonical({"manifests": items})


LIES: dict[str, tuple[Callable[[Files, Image], None], str]] = {
    "manifest altered": (swapped, "manifest sha256:.* does not match its digest"),
    "config altered": (swapped_config, "config sha256:.* does not match its digest"),
    "layer too short": (short_layer, "layer sha256:.* has .* bytes, but declares"),
    "manifest missing": (missing(lambda i: blob(i.digest)), "lacks the file 'blobs/sha256/"),
    "config missing": (missing(lambda i: blob(i.config_digest)), "lacks the file"),
    "layer missing": (missing(lambda i: blob(i.layers[1].digest)), "lacks the file"),
    "no oci-layout": (missing(lambda i: "oci-layout"), "no oci-layout file"),
    "layout of the future": (text("oci-layout", b'{"imageLayoutVersion":"2.0"}'), "version '2.0'"),
    "index is no JSON": (text("index.json", b"hello"), "index.json is not valid JSON"),
    "index is a list": (text("index.json", b"[]"), "index.json is not a JSON object"),
    "key twice": (text("index.json", b'{"manifests":[],"manifests":[]}'), "'manifests' twice"),
    "deep JSON": (text("index.json", b"[" * 200_000), "not valid JSON"),
    "index too large": (text("index.json", b" " * (4 << 20) + b"{}"), "more than the 4194304"),
    "empty index": (text("index.json", b"{}"), "holds no image"),
    "cycle": (cycle, "does not match its digest"),
    "crowd": (crowd, "more than 1000 images"),
    "sha512": (
        edited_index(lambda i: i["manifests"][0].update(digest=f"sha512:{'0' * 128}")),
        "not a sha256 digest",
    ),
    "digest is a path": (
        edited_index(lambda i: i["manifests"][0].update(digest="sha256:../../../../etc/passwd")),
        "not a sha256 digest",
    ),
    "manifest size": (
        edited_index(lambda i: i["manifests"][0].update(size=1)),
        "bytes, but declares 1",
    ),
    "size is negative": (
        edited_index(lambda i: i["manifests"][0].update(size=-1)),
        "size is not a non-negative",
    ),
    "size is true": (
        edited_index(lambda i: i["manifests"][0].update(size=True)),
        "size is not a non-negative",
    ),
    "other type in the index": (
        edited_index(lambda i: i["manifests"][0].update(mediaType=INDEX)),
        "not of the type",
    ),
    "an artifact": (
        edited_manifest(lambda m: m.update(mediaType="application/x")),
        "not of the type",
    ),
    "annotations are a list": (
        edited_index(lambda i: i["manifests"][0].update(annotations=[])),
        "annotations is not an",
    ),
    "foreign layer": (
        edited_manifest(
            lambda m: m["layers"][0].update(
                mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
            )
        ),
        "is a foreign layer",
    ),
    "unknown layer type": (
        edited_manifest(lambda m: m["layers"][0].update(mediaType="text/html")),
        "unknown type",
    ),
    "layer digest": (
        edited_manifest(lambda m: m["layers"][0].update(digest="md5:1")),
        "not a sha256 digest",
    ),
    "one layer less": (
        edited_manifest(lambda m: m["layers"].pop()),
        "lists 4 layers, its config 5",
    ),
    "layers are strings": (
        edited_manifest(lambda m: m.update(layers=["a"] * 5)),
        "layers is not a list of objects",
    ),
    "no config": (edited_manifest(lambda m: m.pop("config")), "config: 'None' is not a sha256"),
    "schema 1": (edited_manifest(lambda m: m.update(schemaVersion=1)), "schema version 1"),
    "diffID": (
        edited_config(lambda c: c["rootfs"]["diff_ids"].__setitem__(0, "x")),
        "not a sha256",
    ),
    "10,001 layers": (
        edited_config(lambda c: c["rootfs"].update(diff_ids=[f"sha256:{'0' * 64}"] * 10_001)),
        "lists 10001 layers, more than 10000",
    ),
    "history": (edited_config(lambda c: c["history"].pop()), "history of 4 layers"),
    "Env of numbers": (edited_config(lambda c: c["config"].update(Env=[1])), "Env is not a list"),
    "config too large": (
        edited_config(lambda c: c.update(author="x" * (8 << 20))),
        "more than the 8388608 allowed",
    ),
    "manifest too large": (
        edited_manifest(lambda m: m.update(annotations={"x": "y" * (4 << 20)})),
        "more than the",
    ),
}


@pytest.mark.parametrize("form", ["tar", "folder"])
@pytest.mark.parametrize("lie", LIES)
def test_lies_of_a_layout(tmp_path: Path, lie: str, form: str) -> None:
    change, message = LIES[lie]
    image = sample_image(tmp_path / "blobs")
    files = layout_files(image)
    change(files, image)
    path = (packed if form == "tar" else spread)(tmp_path / "image", files)
    with pytest.raises(SlimpackError, match=message):
        read_image(path)


@pytest.mark.parametrize("form", ["tar", "folder"])
def test_a_layer_with_other_content_is_found_when_it_is_read(tmp_path: Path, form: str) -> None:
    image = sample_image(tmp_path / "blobs")
    files = layout_files(image)
    name = blob(image.layers[0].digest)
    content = files[name]
    assert isinstance(content, bytes)
    files[name] = content[:-1] + bytes([content[-1] ^ 1])
    found = read_image((packed if form == "tar" else spread)(tmp_path / "image", files))
    with pytest.raises(ImageError, match="does not match its digest"), found.layers[0].open() as s:
        s.read()


def docker_edit(**changes: Any) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        (item,) = json.loads(files["manifest.json"])
        item.update(changes)
        files["manifest.json"] = canonical([item])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (docker_edit(Config="../../etc/passwd"), "outside of its root"),
        (docker_edit(Config="/etc/hostname"), "lacks the file '/etc/hostname'"),
        (docker_edit(Config="x\0y"), "outside of its root"),
        (docker_edit(Config=""), "lacks the file ''|is not a file"),
        (docker_edit(Config=7), "Config is not a string"),
        (docker_edit(Layers=["../x"] * 5), "outside of its root"),
        (docker_edit(Layers=[]), "lists 0 layers"),
        (docker_edit(Layers="layer"), "Layers is not a list"),
        (docker_edit(Layers=["x" * 5000] * 5), "lacks the file|too long"),
        (docker_edit(RepoTags={}), "RepoTags is not a list"),
        (lambda files: files.update({"manifest.json": b"{}"}), "manifest.json is not a JSON list"),
        (lambda files: files.update({"manifest.json": b"[1]"}), "not a list of objects"),
        (lambda files: files.update({"manifest.json": b"[{},{}]"}), "lacks|is not a file"),
    ],
)
@pytest.mark.parametrize("form", ["tar", "folder"])
def test_lies_of_a_docker_archive(
    tmp_path: Path, change: Callable[[Files], None], message: str, form: str
) -> None:
    files: Files = legacy(sample_image(tmp_path / "blobs"), [])
    change(files)
    path = (packed if form == "tar" else spread)(tmp_path / "image", files)
    with pytest.raises(SlimpackError, match=message):
        read_image(path)


def test_a_docker_config_that_is_not_the_named_one(tmp_path: Path) -> None:
    files = legacy(sample_image(tmp_path / "blobs"), [])
    (name,) = [name for name in files if name.endswith(".json") and name != "manifest.json"]
    files[name] = bytes(files[name]) + b" "  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="does not match its digest"):
        read_image(packed(tmp_path / "image.tar", files))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("../../../../etc/hostname", "leads out of it"),
        ("/etc/hostname", "leads out of it"),
        ("../nowhere", "lacks the file"),
        ("layer.tar", "is not a file|lacks the file|Too many levels|cannot read"),
    ],
)
@pytest.mark.parametrize("form", ["tar", "folder"])
def test_links_that_lead_astray(tmp_path: Path, target: str, message: str, form: str) -> None:
    files = legacy(sample_image(tmp_path / "blobs"), [])
    first = next(name for name in files if name.endswith("layer.tar"))
    files[first] = target
    with pytest.raises(SlimpackError, match=message):
        read_image((packed if form == "tar" else spread)(tmp_path / "image", files))


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "image.tar", layout_files(sample_image(tmp_path / "blobs")))
    with tarfile.open(path, "a:") as tar:
        tar.addfile(tarfile.TarInfo("./index.json"))
    with pytest.raises(ImageError, match=r"holds 'index\.json' twice"):
        read_image(path)


def test_member_names_that_leave_the_archive_are_refused(tmp_path: Path) -> None:
    files = layout_files(sample_image(tmp_path / "blobs"))
    with pytest.raises(ImageError, match="outside of its root"):
        read_image(packed(tmp_path / "image.tar", {**files, "../../evil": b"x"}))


@pytest.mark.parametrize("size", [1000, 3000, 100_000])
def test_an_archive_that_is_cut_off(tmp_path: Path, size: int) -> None:
    path = tmp_path / "image.tar"
    write_archive(sample_image(tmp_path / "blobs", PLAIN), path)
    with path.open("rb+") as file:
        file.truncate(size)
    with pytest.raises(ImageError, match="cut off"):
        read_image(path)


def test_what_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "nowhere")
    with pytest.raises(ImageError, match=r"neither index\.json .* nor manifest\.json"):
        read_image(tmp_path)
    (tmp_path / "text").write_bytes(b"hello " * 1000)
    with pytest.raises(ImageError, match="not a tar archive"):
        read_image(tmp_path / "text")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ImageError, match="neither"):
        read_image(tmp_path / "empty")
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(ImageError, match=r"compressed as a whole \(gzip\)") as caught:
        read_image(tmp_path / "x.gz")
    assert "gzip -d" in caught.value.hint


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimpack.oci.source._MAX_FILES", 3)
    path = packed(tmp_path / "image.tar", layout_files(sample_image(tmp_path / "blobs")))
    with pytest.raises(ImageError, match="more than 3 files"):
        read_image(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    path = folder / "image.tar"
    write_archive(sample_image(folder / "blobs"), path, ["a"])
    archive = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, min(len(archive), 12_000) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(archive)
    with suppress(SlimpackError):  # and no other exception
        validate(read_image(path), blobs=True)


def test_limits_are_as_documented() -> None:
    assert (parse.MAX_MANIFEST, parse.MAX_CONFIG, images.MAX_LAYERS) == (4 << 20, 8 << 20, 10_000)
