"""Documents beside images: their files, and what is accepted as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack import attestation
from slimpack.attestation import (
    CYCLONEDX,
    FORMS,
    PROVENANCE,
    SPDX,
    documents_of,
    file_of,
    read_document,
    write_beside,
    write_documents,
)
from slimpack.errors import InputError
from slimpack.oci.index import Index
from slimpack.oci.layout import write_layout
from tests.sbom.facts import facts
from tests.sbom.images import sample


def test_all_documents_of_one_image(tmp_path: Path) -> None:
    image = sample(tmp_path)
    made = documents_of(image, list(FORMS), "serve:1.0", facts=facts(tmp_path))
    assert [document.form for document in made] == [CYCLONEDX, SPDX, PROVENANCE]
    paths = write_beside(tmp_path / "app.tar", made)
    assert [path.name for path in paths] == ["app.cdx.json", "app.spdx.json", "app.provenance.json"]
    for path, document in zip(paths, made, strict=True):
        read = read_document(path)
        assert (read.form, read.data) == (document.form, document.data)
        assert read.about == document.about == {image.digest}
    for document in made[:2]:
        assert b"12" * 32 in document.data  # of the wheel, which only the build knows


def test_documents_go_where_their_images_went(tmp_path: Path) -> None:
    amd = sample(tmp_path / "amd")
    arm = replace(amd, config=replace(amd.config, architecture="arm64"))
    made = [(image, documents_of(image, ["cyclonedx"])) for image in (amd, arm)]
    assert write_documents(str(tmp_path / "app.tar"), made) == (
        str(tmp_path / "app.linux-amd64.cdx.json"),
        str(tmp_path / "app.linux-arm64.cdx.json"),
    )
    assert write_documents(str(tmp_path / "one.tar"), made[:1]) == (str(tmp_path / "one.cdx.json"),)
    write_layout(Index((amd, arm)), tmp_path / "layout")
    assert write_documents(f"{tmp_path}/layout/", made) == ()
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())["manifests"]
    assert [item.get("artifactType") for item in index] == [
        None,
        CYCLONEDX.media_type,
        CYCLONEDX.media_type,
    ]


def test_provenance_needs_the_build(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known to the build alone"):
        documents_of(sample(tmp_path), ["provenance"])


def test_artifacts(tmp_path: Path) -> None:
    image = sample(tmp_path)
    (made,) = documents_of(image, ["spdx"])
    artifact = made.artifact(image.descriptor())
    manifest = json.loads(artifact.manifest_json)
    assert manifest["artifactType"] == "application/spdx+json"
    assert manifest["subject"]["digest"] == image.digest
    assert manifest["layers"][0]["mediaType"] == "application/spdx+json"
    assert manifest["annotations"] == {"org.opencontainers.image.created": "2023-11-14T22:13:20Z"}


@pytest.mark.parametrize(
    ("output", "platform", "name"),
    [
        ("out/app.tar", "", "out/app.cdx.json"),
        ("app.tar", "linux/arm64/v8", "app.linux-arm64-v8.cdx.json"),
        ("v1.0.tar", "", "v1.0.cdx.json"),
        ("layout", "", "layout.cdx.json"),
    ],
)
def test_names_of_files(output: str, platform: str, name: str) -> None:
    assert file_of(Path(output), CYCLONEDX, platform) == Path(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "neither CycloneDX nor SPDX"),
        ('{"bomFormat": "other"}', "neither CycloneDX nor SPDX"),
        ('{"spdxVersion": 3}', "neither CycloneDX nor SPDX"),
        ('{"predicateType": "https://slsa.dev/provenance/v0.2"}', "neither CycloneDX nor SPDX"),
        ('{"predicateType": "https://slsa.dev/provenance/v1"}', "does not say which image"),
        (
            '{"predicateType": "https://slsa.dev/provenance/v1", "subject": [1, {"digest": 2},'
            ' {"digest": {"sha256": "../x"}}]}',
            "does not say which image",
        ),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_document(path)


def test_a_file_that_is_not_there_or_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_document(tmp_path / "nothing.json")
    monkeypatch.setattr(attestation, "MAX_DOCUMENT", 3)
    (tmp_path / "long.json").write_text("{} {}")
    with pytest.raises(InputError, match="more than"):
        read_document(tmp_path / "long.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"bomFormat": "CycloneDX", "metadata": []}',
        '{"bomFormat": "CycloneDX", "metadata": {"component": {"version": 3}}}',
        '{"spdxVersion": "SPDX-2.3", "packages": [1, {"primaryPackagePurpose": "CONTAINER"}]}',
        '{"spdxVersion": "SPDX-2.2", "packages": 7}',
    ],
)
def test_sboms_of_others_need_not_say_what_they_are_about(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    assert read_document(path).about == frozenset()
