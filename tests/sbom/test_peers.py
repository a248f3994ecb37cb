"""cosign and oras of Debian 13 read what slimpack pushed and signed: offline, with a local key."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.setup.registry import docker_registry
from slimpack.attestation import FORMS, documents_of, write_beside
from slimpack.oci.archive import write_archive
from slimpack.oci.image import Image
from slimpack.oci.index import Index
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from tests.registry.fake import Fake, serving
from tests.sbom.facts import facts
from tests.sbom.images import sample
from tests.support.channel import ROOT, Run, missing

PASSWORD = "open sesame"
TYPES = {"cyclonedx": "cyclonedx", "spdx": "spdxjson", "provenance": "slsaprovenance1"}
pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Bench:
    """A registry with an image in it, a key, and the environment that programs get."""

    folder: Path
    name: str
    image: Image
    env: dict[str, str]

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.image.digest}"

    def call(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def cosign(self, verb: str, *arguments: str, code: int = 0) -> str:
        offline = ("--insecure-ignore-tlog=true", "--key", "cosign.pub")
        return self.call("cosign", verb, *offline, *arguments, code=code)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The sample image in docker-registry, under team/serve:1.0, and a key pair of cosign's."""
    for program in ("docker-registry", "cosign", "oras"):
        if shutil.which(program) is None:
            missing("ENGINE", f"{program} is not installed")
    with docker_registry(tmp_path / "registry") as host:
        yield _bench(tmp_path, host, sample(tmp_path))


def _bench(folder: Path, host: str, image: Image) -> Bench:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "COSIGN_PASSWORD": PASSWORD,
        # Whoever wants to talk to anybody else than the registry fails.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    made = Bench(folder, f"{host}/team/serve", image, env)
    with Registries() as registries:
        push(image, [Reference.parse(f"{made.name}:1.0")], registries)
    made.call("cosign", "generate-key-pair")
    return made


def test_a_signature_is_verified(bench: Bench, run: Run) -> None:
    bench.cosign("verify", bench.reference, code=10)  # nobody has signed it yet
    env = {"COSIGN_PASSWORD": PASSWORD, "HOME": str(bench.folder)}
    done = run("sign", f"{bench.name}:1.0", "--key", "cosign.key", cwd=bench.folder, env=env)
    assert done.stdout == f"signed    {bench.reference}\n"
    (found,) = json.loads(bench.cosign("verify", bench.reference))
    assert found["critical"]["image"]["docker-manifest-digest"] == bench.image.digest
    bench.call("cosign", "generate-key-pair", "--output-key-prefix", "other")
    bench.call(
        *("cosign", "verify", "--insecure-ignore-tlog=true", "--key", "other.pub"),
        bench.reference,
        code=12,  # there is a signature, but not by this key
    )


def test_a_wrong_password_is_told(bench: Bench, run: Run) -> None:
    env = {"COSIGN_PASSWORD": "wrong", "HOME": str(bench.folder)}
    done = run(
        *("sign", bench.reference, "--key", "cosign.key"), cwd=bench.folder, env=env, code=13
    )
    assert "COSIGN_PASSWORD" in done.stderr
    bench.cosign("verify", bench.reference, code=10)


def test_attestations_are_verified(bench: Bench, run: Run) -> None:
    made = documents_of(bench.image, list(FORMS), "serve:1.0", facts=facts(bench.folder))
    paths = write_beside(bench.folder / "app.tar", made)
    options = [word for path in paths[:2] for word in ("--document", path)]
    run(
        *("attest", f"{bench.name}:1.0", *options, "--provenance", paths[2]),
        *("--key", "cosign.key"),
        cwd=bench.folder,
        env={"COSIGN_PASSWORD": PASSWORD, "HOME": str(bench.folder)},
    )
    for document in made:
        kind = TYPES[document.form.name]
        said = bench.cosign("verify-attestation", "--type", kind, bench.reference)
        statement = json.loads(base64.b64decode(json.loads(said)["payload"]))
        assert statement["subject"][0]["digest"] == {
            "sha256": bench.image.digest.removeprefix("sha256:")
        }
        assert _canonical(statement["predicate"]) == _canonical(json.loads(document.predicate))
    assert {item["artifactType"] for item in _discovered(bench)} >= {
        document.form.media_type for document in made
    }


def _canonical(value: Any) -> Any:
    """Return JSON without null and empty members, which Go's types leave out or add."""
    if isinstance(value, dict):
        kept = {key: _canonical(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in (None, {}, [], "")}
    return [_canonical(one) for one in value] if isinstance(value, list) else value


def test_attesting_again_replaces(bench: Bench, run: Run) -> None:
    env = {"COSIGN_PASSWORD": PASSWORD, "HOME": str(bench.folder)}
    for _ in range(2):
        run(
            *("attest", bench.reference, "--sbom", "cyclonedx", "--key", "cosign.key"),
            cwd=bench.folder,
            env=env,
        )
    said = bench.cosign("verify-attestation", "--type", "cyclonedx", bench.reference)
    assert len(said.strip().splitlines()) == 1
    assert len(_discovered(bench)) == 1


def test_the_sbom_of_a_registry_is_that_of_the_file(bench: Bench, run: Run) -> None:
    run("attest", bench.reference, "--sbom", "cyclonedx,spdx", cwd=bench.folder)
    (cdx,) = (item for item in _discovered(bench) if "cyclonedx" in item["artifactType"])
    name = f"{bench.name}@{cdx['digest']}"
    bench.call("oras", "pull", "--plain-http", name, "--output", "pulled")
    (pulled,) = (bench.folder / "pulled").iterdir()
    write_archive(bench.image, bench.folder / "app.tar")
    made = run("sbom", "app.tar", "--name", bench.reference, cwd=bench.folder)
    assert pulled.read_text() == made.stdout
    assert run("sbom", bench.reference, cwd=bench.folder).stdout == made.stdout


def test_an_index_is_signed_with_all_its_images(bench: Bench, run: Run) -> None:
    arm = replace(bench.image, config=replace(bench.image.config, architecture="arm64"))
    index = Index((bench.image, arm))
    with Registries() as registries:
        push(index, [Reference.parse(f"{bench.name}:all")], registries)
    env = {"COSIGN_PASSWORD": PASSWORD, "HOME": str(bench.folder)}
    run("sign", f"{bench.name}:all", "--key", "cosign.key", cwd=bench.folder, env=env)
    for digest in (index.digest, bench.image.digest, arm.digest):
        bench.cosign("verify", f"{bench.name}@{digest}")


def test_oras_finds_them_by_the_referrers_api(tmp_path: Path, run: Run) -> None:
    if shutil.which("oras") is None:
        missing("ENGINE", "oras is not installed")
    with serving(Fake()) as fake:
        image = sample(tmp_path)
        with Registries() as registries:
            push(image, [Reference.parse(f"{fake.host}/team/serve:1.0")], registries)
        run("attest", f"{fake.host}/team/serve:1.0", "--sbom", "spdx", cwd=tmp_path)
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        found = _discovered(Bench(tmp_path, f"{fake.host}/team/serve", image, env))
        assert [item["artifactType"] for item in found] == ["application/spdx+json"]
        asked = [seen.path for seen in fake.seen if "/referrers/" in seen.path]
        assert asked
        assert not [seen for seen in fake.seen if "manifests/sha256-" in seen.path]


def test_the_commands_of_the_document_work_as_shown(bench: Bench, run: Run) -> None:
    """The build is the fixture's image; what is shown of it afterwards is run."""
    text = (ROOT / "docs/supply-chain.md").read_text(encoding="utf-8")
    build, *shown = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert build.startswith("slimpack build ")
    write_archive(bench.image, bench.folder / "serve.tar", ["serve:1.0"])
    made = documents_of(bench.image, list(FORMS), "serve:1.0", facts=facts(bench.folder))
    write_beside(bench.folder / "serve.tar", made)
    env = {"COSIGN_PASSWORD": PASSWORD, "HOME": str(bench.folder)}
    lines = "".join(shown).replace("registry.example.com/team/serve", bench.name).splitlines()
    assert len(lines) == 10
    for line in lines:
        program, *arguments = shlex.split(line)
        if program == "slimpack":
            assert run(*arguments, cwd=bench.folder, env=env).stdout
        else:
            assert bench.call(program, *arguments)


def _discovered(bench: Bench) -> list[dict[str, Any]]:
    command = ("oras", "discover", "--plain-http", "--format", "json", bench.reference)
    found = json.loads(bench.call(*command))
    listed: list[dict[str, Any]] = found.get("referrers") or found.get("manifests") or []
    return listed
