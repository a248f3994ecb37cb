"""docker-registry (CNCF distribution), with every kind of door, and who else goes through it.

With and without TLS, with a password file, and with tokens of a server that signs them
(docs/spec/auth/jwt.md of distribution). skopeo, podman, buildah and oras read what
slimpack pushed, and slimpack reads what they pushed.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509 import load_pem_x509_certificate

from benchmarks.setup.registry import Settings, docker_registry
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Index
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.validate import validate
from slimpack.registry.connecting import Registries
from slimpack.registry.credentials import Credentials
from slimpack.registry.failures import DeniedError
from slimpack.registry.pull import pull, pull_all
from slimpack.registry.push import push, push_artifact
from slimpack.registry.reference import Reference
from slimpack.registry.retry import Retry
from tests.oci.oci_images import BY_KIND, need, need_tool, sample_image
from tests.registry.conftest import Anybody, random_image
from tests.registry.tls import Certificates, make_certificates
from tests.registry.tokens import basic

PASSWORD = "pass-word-9"
# bcrypt of PASSWORD, the one form that docker-registry takes.
HTPASSWD = "me:$2y$05$abcdefghijklmnopqrstuuJJuQ2vIHFEHjLgYI4KBFpZ1o6eeAa7a\n"
ME = Credentials("me", PASSWORD)


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@contextmanager
def registry(folder: Path, settings: Settings | None = None) -> Iterator[str]:
    need_tool("docker-registry")
    with docker_registry(folder / "registry", settings) as host:
        yield host


def sessions(credentials: Credentials | None = None) -> Registries:
    return Registries(keychain=Anybody(credentials), retry=Retry(pause=0.05))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path) as host:
        yield host


def index_of(folder: Path) -> Index:
    arm = make_image(random_image(folder / "arm", 500).layers, ImageConfig(architecture="arm64"))
    return Index((sample_image(folder / "amd"), arm))


def round_trip(host: str, folder: Path, registries: Registries) -> None:
    """Push an index twice and mount it once; pull it and look at every byte."""
    index = index_of(folder)
    first = push(index, [Reference.parse(f"{host}/team/app:1")], registries)
    assert (first.mounted, first.present) == (0, 0)
    again = push(index, [Reference.parse(f"{host}/team/app:2")], registries)
    assert (again.sent, again.present) == (0, first.sent)
    other = push(
        index,
        [Reference.parse(f"{host}/other:1")],
        registries,
        mount_from=[Reference.parse(f"{host}/team/app")],
    )
    assert (other.sent, other.mounted) == (0, first.sent)
    for name in ("team/app:2", f"other@{index.digest}"):
        found = pull_all(
            Reference.parse(f"{host}/{name}"), registries, blobs=BlobStore(folder / "b")
        )
        assert isinstance(found, Index)
        assert found.digest == index.digest
        for image in found.images:
            validate(image, blobs=True)
    assert sorted(registries.of(host).tags("team/app")) == ["1", "2"]


def test_plain_http(plain: str, tmp_path: Path) -> None:
    round_trip(plain, tmp_path, sessions())


def test_large_layers_travel_as_streams(plain: str, tmp_path: Path) -> None:
    image = random_image(tmp_path / "made", 20_000_000, 9_000_000, 5_000_000, 100, 100, 100)
    reference = Reference.parse(f"{plain}/app:1")
    push(image, [reference], sessions())
    found = pull(reference, sessions(), blobs=BlobStore(tmp_path / "blobs"))
    validate(found, blobs=True)
    assert found.layers == image.layers


def test_a_download_is_resumed(plain: str, tmp_path: Path) -> None:
    image = random_image(tmp_path / "made", 3_000_000)
    reference = Reference.parse(f"{plain}/app:1")
    push(image, [reference], sessions())
    (layer,) = image.layers
    with layer.open() as stream:
        half = stream.read(1_234_567)
    folder = tmp_path / "blobs" / "partial"
    folder.mkdir(parents=True)
    (folder / layer.digest[7:]).write_bytes(half)
    store = BlobStore(tmp_path / "blobs")
    body = sessions().of(plain).open_blob("app", layer.digest, len(half))
    assert body.start == len(half)
    body.close()
    validate(pull(reference, sessions(), blobs=store), blobs=True)


def test_tls(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    with registry(tmp_path, Settings(certificates.certificate, certificates.key)) as host:
        round_trip(host, tmp_path, sessions())
        assert sessions().of(host).session.origin == f"https://{host}"


def test_a_password_file(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    with registry(tmp_path, Settings(certificates.certificate, certificates.key, auth)) as host:
        round_trip(host, tmp_path, sessions(ME))
        for credentials in (None, Credentials("me", "wrong")):
            with pytest.raises(DeniedError, match="answered 401"):
                sessions(credentials).of(host).tags("team/app")


def test_signed_tokens(tmp_path: Path, certificates: Certificates) -> None:
    with token_server(certificates) as (realm, asked):
        auth = {
            "token": {
                "realm": realm,
                "service": "the registry",
                "issuer": "the issuer",
                "rootcertbundle": str(certificates.certificate),
            }
        }
        with registry(tmp_path, Settings(auth=auth)) as host:
            round_trip(host, tmp_path, sessions(ME))
            assert ["repository:other:pull,push", "repository:team/app:pull"] in asked
            with pytest.raises(DeniedError):
                sessions().of(host).tags("team/app")


@contextmanager
def token_server(certificates: Certificates) -> Iterator[tuple[str, list[list[str]]]]:
    """Give tokens to one user for whatever is asked; also say what was asked."""
    asked: list[list[str]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            scopes = query.get("scope", [])
            asked.append(scopes)
            right = self.headers.get("Authorization") == basic("me", PASSWORD)
            text = json.dumps({"token": signed(scopes, certificates)} if right else {}).encode()
            self.send_response(200 if right else 401)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/token", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def signed(scopes: list[str], certificates: Certificates) -> str:
    """Return a JSON Web Token (RFC 7519, ES256) that grants the scopes."""
    key = serialization.load_pem_private_key(certificates.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = load_pem_x509_certificate(certificates.certificate.read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
    now = int(time.time())
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {
        "iss": "the issuer",
        "sub": "me",
        "aud": "the registry",
        "exp": now + 60,
        "nbf": now - 10,
        "iat": now,
        "jti": str(now),
        "access": access,
    }
    text = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(claims).encode())}"
    numbers = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{_part(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# Others, reading what slimpack pushed


@pytest.fixture(params=list(BY_KIND))
def pushed(request: pytest.FixtureRequest, plain: str, tmp_path: Path) -> Image:
    image = sample_image(tmp_path / "made", BY_KIND[request.param])
    push(image, [Reference.parse(f"{plain}/app:1")], sessions())
    return image


def test_skopeo_reads_it(plain: str, pushed: Image, tmp_path: Path) -> None:
    need_tool("skopeo")
    name = f"docker://{plain}/app:1"
    found = json.loads(run("skopeo", "inspect", "--tls-verify=false", name, folder=tmp_path))
    assert found["Digest"] == pushed.digest
    assert found["Layers"] == [layer.digest for layer in pushed.layers]
    copy = ("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false")
    run(*copy, name, "oci:copy", folder=tmp_path)
    copied = read_image(tmp_path / "copy")
    validate(copied, blobs=True)
    assert [x.diff_id for x in copied.layers] == [x.diff_id for x in pushed.layers]
    compressed = pushed.layers[0].digest != pushed.layers[0].diff_id  # else skopeo does it
    assert (copied.digest == pushed.digest) is compressed


@pytest.fixture
def podman() -> Iterator[list[str]]:
    """podman with a storage of the test's own (it wants a short path)."""
    need_tool("podman")
    need(os.getuid() == 0, "podman needs root here")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--root", f"{folder}/root", "--runroot", f"{folder}/run"]
        yield ["podman", *options, "--storage-driver", "vfs"]


def test_podman_pulls_it(plain: str, pushed: Image, tmp_path: Path, podman: list[str]) -> None:
    name = f"{plain}/app:1"
    run(*podman, "pull", "-q", "--tls-verify=false", name, folder=tmp_path)
    (found,) = json.loads(run(*podman, "image", "inspect", name, folder=tmp_path))
    assert found["Digest"] == pushed.digest
    assert f"sha256:{found['Id']}" == pushed.config_digest


def test_skopeo_takes_an_image_of_the_index(plain: str, tmp_path: Path) -> None:
    need_tool("skopeo")
    index = index_of(tmp_path)
    push(index, [Reference.parse(f"{plain}/app:1")], sessions())
    copy = ("skopeo", "--insecure-policy", "--override-arch", "arm64", "copy")
    run(*copy, "--src-tls-verify=false", f"docker://{plain}/app:1", "oci:arm", folder=tmp_path)
    found = read_image(tmp_path / "arm")
    assert str(found.platform) == "linux/arm64"
    assert [x.diff_id for x in found.layers] == [x.diff_id for x in index.images[1].layers]


@pytest.mark.parametrize("count", [1, 2])
def test_oras_finds_referrers(plain: str, tmp_path: Path, count: int) -> None:
    """docker-registry 2.8 has no referrers API: oras and slimpack share the tag."""
    need_tool("oras")
    image = sample_image(tmp_path / "made")
    reference = Reference.parse(f"{plain}/app:1")
    push(image, [reference], sessions())
    ours = [
        push_artifact(
            Artifact("text/x-note", (Document("text/plain", text),), image.descriptor()),
            reference,
            sessions(),
        )
        for text in (b"one", b"two")[:count]
    ]
    (tmp_path / "note.txt").write_text("theirs")
    attach = ("oras", "attach", "--plain-http", "--artifact-type", "text/x-note")
    run(*attach, str(reference), "note.txt:text/plain", folder=tmp_path)
    listed = run(
        "oras", "discover", "--plain-http", "--format", "json", str(reference), folder=tmp_path
    )
    found = json.loads(listed)
    theirs = {item["digest"] for item in found.get("manifests") or found.get("referrers")}
    assert theirs > set(ours)
    seen = sessions().of(plain).referrers("app", image.digest, "text/x-note")
    assert {item["digest"] for item in seen} == theirs
    run("oras", "pull", "--plain-http", f"{plain}/app@{ours[0]}", folder=tmp_path)


# slimpack, reading what others pushed


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_what_skopeo_pushed(plain: str, tmp_path: Path, form: str) -> None:
    need_tool("skopeo")
    image = sample_image(tmp_path / "made", BY_KIND["gzip"])
    write_layout(image, tmp_path / "layout", ["app:1"])
    copy = ("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--format", form)
    run(*copy, "oci:layout:app:1", f"docker://{plain}/app:1", folder=tmp_path)
    reference = Reference.parse(f"{plain}/app:1")
    found = pull(reference, sessions(), blobs=BlobStore(tmp_path / "blobs"))
    validate(found, blobs=True)
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
    assert (found.digest == image.digest) == (form == "oci")
    # It can be pushed on as it is, Docker's types included.
    other = push(found, [Reference.parse(f"{plain}/copy:1")], sessions())
    assert (other.digest, other.sent) == (found.digest, 0)


def test_what_podman_pushed_as_a_list(plain: str, tmp_path: Path, podman: list[str]) -> None:
    index = index_of(tmp_path)
    for number, image in enumerate(index.images):
        push(image, [Reference.parse(f"{plain}/app:{number}")], sessions())
    run(*podman, "manifest", "create", "list", folder=tmp_path)
    for number in range(2):
        add = ("manifest", "add", "--tls-verify=false", "list", f"docker://{plain}/app:{number}")
        run(*podman, *add, folder=tmp_path)
    push_list = ("manifest", "push", "--all", "--tls-verify=false", "list")
    run(*podman, *push_list, f"docker://{plain}/app:all", folder=tmp_path)
    reference = Reference.parse(f"{plain}/app:all")
    found = pull_all(reference, sessions(), blobs=BlobStore(tmp_path / "blobs"))
    assert isinstance(found, Index)
    assert {str(image.platform) for image in found.images} == {"linux/amd64", "linux/arm64"}
    for image in index.images:
        one = pull(
            reference, sessions(), blobs=BlobStore(tmp_path / "blobs"), platform=image.platform
        )
        assert one.config_digest == image.config_digest


def test_what_oras_pushed(plain: str, tmp_path: Path) -> None:
    need_tool("oras")
    image = sample_image(tmp_path / "made")
    write_layout(image, tmp_path / "layout", ["1"])
    copy = ("oras", "copy", "--from-oci-layout", "--to-plain-http")
    run(*copy, f"layout@{image.digest}", f"{plain}/app:1", folder=tmp_path)
    found = pull(Reference.parse(f"{plain}/app:1"), sessions(), blobs=BlobStore(tmp_path / "blobs"))
    validate(found, blobs=True)
    assert found.digest == image.digest
