"""Config, manifest, names: the same text for the same image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError, InputError
from slimpack.oci.compress import Kind
from slimpack.oci.config import History, ImageConfig, Platform, rfc3339
from slimpack.oci.image import make_image
from slimpack.oci.jsontext import canonical, parse_list, parse_object
from slimpack.oci.names import canonical_name, familiar_name
from tests.oci.oci_images import BY_KIND, MTIME, sample_config, sample_image, sample_layers

# The manifest of the sample image, by what made its layers.
GOLDEN_MANIFESTS = {
    "zstd 1.5.7": "sha256:d308e19d109e41dc2dfd4c6475412ed9f4c86b0bc7189fbc567c8bf880679693",
    "none": "sha256:d13bb0a3537e372c99a65aff45248ca653cbbe47cab22a183af8414e61b97dc6",
}
GOLDEN_CONFIG = "sha256:207bc232e3858d328a968b15f5931dc7754fff411a19cfa02a1d5275c9d3adc6"


def test_golden_config(tmp_path: Path) -> None:
    """Has no compressor in it: the same on every machine."""
    assert sample_image(tmp_path).config_digest == GOLDEN_CONFIG


@pytest.mark.parametrize("kind", ["zstd", "none"])
def test_golden_manifest(tmp_path: Path, kind: Kind) -> None:
    library = BY_KIND[kind].library
    digest = sample_image(tmp_path, BY_KIND[kind]).digest
    if library not in GOLDEN_MANIFESTS:
        pytest.fail(
            f"no golden digest for {library}: if the layers are right, add {digest!r} "
            f"to GOLDEN_MANIFESTS (zstandard {zstandard.__version__})"
        )
    assert digest == GOLDEN_MANIFESTS[library]


def test_config_and_manifest_of_the_sample(tmp_path: Path) -> None:
    image = sample_image(tmp_path)
    config = json.loads(image.config_json)
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    assert config["config"] == {
        "Env": ["PATH=/opt/env/bin", "A=1=2"],
        "Entrypoint": ["/opt/env/bin/tool"],
        "Cmd": ["--serve"],
        "User": "65532:65532",
        "WorkingDir": "/app",
        "Labels": {"org.example": "yes"},
        "ExposedPorts": {"8000/tcp": {}},
        "StopSignal": "SIGTERM",
    }
    assert config["rootfs"] == {
        "type": "layers",
        "diff_ids": [layer.diff_id for layer in image.layers],
    }
    assert [step["created_by"] for step in config["history"]] == [
        "numpy",
        "base",
        "scipy",
        "files of no package",
        "application",
    ]
    assert {step["comment"] for step in config["history"]} == {"slimpack"}
    manifest = json.loads(image.manifest_json)
    assert manifest["config"]["digest"] == image.config_digest
    assert [item["digest"] for item in manifest["layers"]] == [x.digest for x in image.layers]
    assert image.manifest_json == canonical(manifest)


def test_config_reads_back(tmp_path: Path) -> None:
    image = sample_image(tmp_path)
    read = ImageConfig.from_json(parse_object(image.config_json, "config"), "config")
    assert read == sample_config()


def test_annotations_and_order_of_labels(tmp_path: Path) -> None:
    layers = sample_layers(tmp_path)
    one = make_image(
        layers,
        replace(sample_config(), labels={"a": "1", "b": "2"}),
        annotations={"x": "1", "y": "2"},
    )
    two = make_image(
        layers,
        replace(sample_config(), labels={"b": "2", "a": "1"}),
        annotations={"y": "2", "x": "1"},
    )
    assert one.digest == two.digest
    assert json.loads(one.manifest_json)["annotations"] == {"x": "1", "y": "2"}


def test_an_image_on_a_base(tmp_path: Path) -> None:
    base_layers = sample_layers(tmp_path)
    base = make_image(
        base_layers[:2],
        ImageConfig(
            env=(("PATH", "/usr/bin"), ("LANG", "C")),
            cmd=("sh",),
            user="0",
            workdir="/",
            labels={"base": "1", "both": "base"},
            exposed_ports=("1/tcp",),
            volumes=("/data",),
            stop_signal="SIGINT",
            created=5,
        ),
    )
    base = replace(base, history=(History(created_by="ENV LANG=C", empty=True), *base.history))
    ours = ImageConfig(
        env=(("HOME", "/tmp"), ("PATH", "/opt/env/bin")),
        entrypoint=("/app",),
        user="65532",
        labels={"both": "ours"},
        created=MTIME,
    )
    image = make_image(base_layers[2:], ours, base=base)
    assert image.layers == tuple(base_layers)
    assert image.config.env == (("PATH", "/opt/env/bin"), ("LANG", "C"), ("HOME", "/tmp"))
    assert (image.config.entrypoint, image.config.cmd) == (("/app",), ())
    assert (image.config.user, image.config.workdir) == ("65532", "/")
    assert image.config.labels == {"base": "1", "both": "ours"}
    assert image.config.exposed_ports == ("1/tcp",)
    assert (image.config.stop_signal, image.config.created) == ("SIGINT", MTIME)
    assert image.history[: len(base.history)] == base.history
    assert sum(not step.empty for step in image.history) == len(image.layers)


def test_a_base_without_history_gets_one(tmp_path: Path) -> None:
    layers = sample_layers(tmp_path)
    base = replace(make_image(layers[:2], sample_config()), history=())
    image = make_image(layers[2:], sample_config(), base=base)
    assert [step.created_by for step in image.history] == [layer.name for layer in layers]


def test_without_an_entrypoint_the_base_starts() -> None:
    base = ImageConfig(entrypoint=("/a",), cmd=("b",))
    assert ImageConfig().on(base).cmd == ("b",)
    assert ImageConfig(cmd=("c",)).on(base).entrypoint == ("/a",)
    assert ImageConfig(cmd=("c",)).on(base).cmd == ("c",)


def test_a_base_of_another_platform_is_refused() -> None:
    with pytest.raises(InputError, match="base is for linux/arm64, the image for linux/amd64"):
        ImageConfig().on(ImageConfig(architecture="arm64"))


def test_too_many_layers_are_refused(tmp_path: Path) -> None:
    layer = sample_layers(tmp_path)[0]
    with pytest.raises(ImageError, match="10001 layers"):
        make_image([layer] * 10_001, ImageConfig())


def test_plain_image_has_the_same_id(tmp_path: Path) -> None:
    image = sample_image(tmp_path)
    plain = image.plain()
    assert plain.config_digest == image.config_digest
    assert plain.digest == sample_image(tmp_path, BY_KIND["none"]).digest


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v7"])
def test_platforms_are_read_and_written(text: str) -> None:
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "linux", "linux/", "/amd64", "linux/a/b/c", "linux/a b", "linux/x86_64", "l\n/amd64"],
)
def test_other_platforms_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"platform|architecture"):
        Platform.parse(text)


def test_matching_platforms() -> None:
    parse = Platform.parse
    assert parse("linux/arm64").matches(parse("linux/arm64/v8"))
    assert parse("linux/arm").matches(parse("linux/arm/v7"))
    assert not parse("linux/arm/v6").matches(parse("linux/arm"))
    assert not parse("linux/arm64").matches(parse("linux/amd64"))
    assert not parse("windows/amd64").matches(parse("linux/amd64"))


def test_times() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    with pytest.raises(ImageError):
        rfc3339(10**18)


@pytest.mark.parametrize(
    ("name", "full", "short"),
    [
        ("serve", "docker.io/library/serve:latest", "serve:latest"),
        ("serve:1.0", "docker.io/library/serve:1.0", "serve:1.0"),
        ("me/serve:1.0", "docker.io/me/serve:1.0", "me/serve:1.0"),
        ("docker.io/serve:1", "docker.io/library/serve:1", "serve:1"),
        ("docker.io/library/serve:1", "docker.io/library/serve:1", "serve:1"),
        ("index.docker.io/serve:1", "docker.io/library/serve:1", "serve:1"),
        ("ghcr.io/a/b/c:x", "ghcr.io/a/b/c:x", "ghcr.io/a/b/c:x"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("host:5000/a:b", "host:5000/a:b", "host:5000/a:b"),
        ("[::1]:5000/a:b", "[::1]:5000/a:b", "[::1]:5000/a:b"),
        ("a__b--c/d.e", "docker.io/a__b--c/d.e:latest", "a__b--c/d.e:latest"),
    ],
)
def test_names(name: str, full: str, short: str) -> None:
    assert (canonical_name(name), familiar_name(name)) == (full, short)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":1",
        "Serve",
        "a b",
        "a:",
        "a:b:c",
        "/a",
        "a/",
        "a//b",
        "a:" + "x" * 129,
        "x" * 300,
        "a@sha256:0",
        "../a",
        "a:\u00e9",
        "-a",
        "a:.b",
        "a__b.c/d",
    ],  # a dot makes it a host, and hosts have no _
)
def test_bad_names(name: str) -> None:
    with pytest.raises(InputError, match="is not a name for an image"):
        canonical_name(name)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_canonical_json_has_one_form(value: object) -> None:
    text = canonical({"x": value})
    assert canonical(parse_object(text, "x")) == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        (b'{"x": {"a": 1, "a": 2}}', "twice"),
        (b"\xff\xff", "not valid JSON"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not valid JSON"),
        (b'{"x":' + b"1" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_bad_json(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse_object(data, "the file")


def test_json_lists() -> None:
    assert parse_list(b"[1]", "x") == [1]
    with pytest.raises(ImageError, match="not a JSON list"):
        parse_list(b"{}", "x")
    with pytest.raises(ImageError, match="cannot express"):
        canonical(float("inf"))
