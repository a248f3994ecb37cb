"""Logins: what is sent to whom, and that nothing secret is ever told."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slimpack.errors import RegistryError, SlimpackError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import Image
from slimpack.registry.connecting import Registries
from slimpack.registry.credentials import Credentials, FileKeychain
from slimpack.registry.failures import DeniedError
from slimpack.registry.login import login
from slimpack.registry.pull import prefetch, pull
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from slimpack.registry.retry import StoppedError
from tests.registry.conftest import Sessions, reference
from tests.registry.fake import Fake, Handler, cut_download, cut_upload, redirect, serving, status
from tests.registry.helper import write_helper
from tests.registry.tokens import BasicGuard, TokenServer, basic, tokens_for
from tests.support.channel import Run

ME = Credentials("me", "pass-word-9", source="the test")
SECRETS = ("pass-word-9", basic("me", "pass-word-9").partition(" ")[2], "-secret", "identity-9")


@pytest.fixture
def tokens(fake: Fake) -> Iterator[TokenServer]:
    with tokens_for(fake, TokenServer(users={"me": "pass-word-9"})) as server:
        yield server


def round_trip(fake: Fake, image: Image, registries: Registries, folder: Path) -> None:
    push(image, [reference(fake)], registries)
    found = pull(reference(fake), registries, blobs=BlobStore(folder))
    prefetch(found, registries)
    assert found.digest == image.digest


def test_basic(fake: Fake, image: Image, sessions: Sessions, tmp_path: Path) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    round_trip(fake, image, sessions(ME), tmp_path / "blobs")
    # The first request asks how; nobody sends a password before it is asked for.
    assert [one.path for one in fake.seen if not one.authorization] == ["/v2/"]


def test_nothing_is_sent_to_who_does_not_ask(
    fake: Fake, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    round_trip(fake, image, sessions(ME), tmp_path / "blobs")
    assert {one.authorization for one in fake.seen} == {""}


def test_tokens_have_the_scopes_that_are_needed(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    round_trip(fake, image, sessions(ME), tmp_path / "blobs")
    assert sorted(tokens.asked) == [("repository:app:pull",), ("repository:app:pull,push",)]
    assert set(tokens.authorized) == {basic("me", "pass-word-9")}
    # The password goes to the token server alone.
    assert not [one for one in fake.seen if one.authorization.startswith("Basic")]


def test_a_mount_needs_two_scopes(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions
) -> None:
    push(image, [reference(fake, "base:1")], sessions(ME))
    done = push(image, [reference(fake)], sessions(ME), mount_from=[reference(fake, "base")])
    assert done.sent == 0
    assert ("repository:app:pull,push", "repository:base:pull") in tokens.asked


def test_anonymous_tokens(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    tokens.anonymous = True
    round_trip(fake, image, sessions(), tmp_path / "blobs")
    assert set(tokens.authorized) == {""}


def test_an_identity_token_is_exchanged(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    tokens.identity = "identity-9"
    round_trip(fake, image, sessions(Credentials(identity_token="identity-9")), tmp_path / "x")
    assert tokens.authorized == []


def test_a_bearer_token_of_the_user(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions
) -> None:
    token = tokens.give(("repository:app:pull,push",))
    push(image, [reference(fake)], sessions(Credentials(bearer=token)))
    assert len(tokens.granted) == 1


def test_a_token_that_has_expired_is_had_anew(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    registries = sessions(ME)
    push(image, [reference(fake)], registries)
    before = len(tokens.asked)
    tokens.refuse_next = 1
    push(image, [reference(fake, "app:2")], registries)
    assert len(tokens.asked) > before


def test_an_upload_whose_token_expires_on_the_way(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions
) -> None:
    """A 401 after the body was sent: it is sent again."""
    fake.on("PUT", "/uploads/", status(401, "UNAUTHORIZED"))
    push(image, [reference(fake)], sessions(ME))
    assert ("app", "1") in fake.manifests


def test_a_token_that_lasts_for_a_moment(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    tokens.expires_in = 1
    round_trip(fake, image, sessions(ME), tmp_path / "blobs")


# Who must not get credentials


@pytest.mark.parametrize("number", [301, 302, 307, 308])
def test_a_redirected_blob_takes_no_credentials_along(
    fake: Fake, tokens: TokenServer, image: Image, sessions: Sessions, tmp_path: Path, number: int
) -> None:
    push(image, [reference(fake)], sessions(ME))
    with serving(Fake()) as storage:
        storage.blobs["app"] = fake.blobs["app"]
        for layer in image.layers:
            target = f"http://{storage.host}/v2/app/blobs/{layer.digest}?signature=abc"
            fake.on("GET", layer.digest, redirect(target, number))
        # A storage host that asks for credentials gets none.
        storage.on("GET", image.layers[0].digest, status(401, WWW_Authenticate='Basic realm="x"'))
        found = pull(reference(fake), sessions(ME), blobs=BlobStore(tmp_path / "blobs"))
        with pytest.raises(DeniedError):
            found.layers[0].open()
        for layer in found.layers[1:]:
            layer.open().close()
        assert len(storage.seen) == len(image.layers)
        assert {one.authorization for one in storage.seen} == {""}


def test_the_same_host_with_another_port_is_another_host(
    fake: Fake, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    push(image, [reference(fake)], sessions(ME))
    fake.guard = None
    with serving(Fake()) as other:
        fake.on("GET", "/manifests/", redirect(f"http://{other.host}/v2/app/manifests/1"))
        fake.on("HEAD", "/manifests/", status(404))
        other.manifests = fake.manifests
        other.guard = BasicGuard("me", "pass-word-9")
        with pytest.raises(DeniedError):
            pull(reference(fake), sessions(ME), blobs=BlobStore(tmp_path / "blobs"))
        assert {one.authorization for one in other.seen} == {""}


def test_a_redirect_that_comes_back_is_let_in(
    fake: Fake, image: Image, sessions: Sessions, tmp_path: Path
) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    push(image, [reference(fake)], sessions(ME))
    layer = image.layers[1]
    fake.on("GET", layer.digest, redirect(f"/v2/app/blobs/{layer.digest}?again"))
    found = pull(reference(fake), sessions(ME), blobs=BlobStore(tmp_path / "blobs"))
    found.layers[1].open().close()


def test_redirects_without_end(
    fake: Fake, image: Image, registries: Registries, tmp_path: Path
) -> None:
    fake.on("GET", "/manifests/", redirect("/v2/app/manifests/1"), times=99)
    with pytest.raises(RegistryError, match="redirected more than 5 times"):
        pull(reference(fake), registries, blobs=BlobStore(tmp_path / "blobs"))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://registry.example/x", "leads to http://registry.example, without TLS"),
        ("ftp://registry.example/x", "an address that is none"),
        ("http://me:pw@127.0.0.1/x", "an address that is none"),
        ("file:///etc/passwd", "an address that is none"),
        ("http://[::1/x", "an address that is none"),
    ],
)
def test_where_no_redirect_may_lead(
    fake: Fake, registries: Registries, tmp_path: Path, target: str, message: str
) -> None:
    fake.on("GET", "/manifests/", redirect(target), times=99)
    with pytest.raises(RegistryError, match=message):
        pull(reference(fake), registries, blobs=BlobStore(tmp_path / "blobs"))


@pytest.mark.parametrize(
    ("realm", "message"),
    [
        ("http://tokens.example/t", "without TLS"),
        ("", "without a proper address"),
        ("ftp://127.0.0.1/", "without a proper address"),
        ("https://me:pw@127.0.0.1/", "without a proper address"),
    ],
)
def test_token_servers_that_get_nothing(
    fake: Fake, sessions: Sessions, realm: str, message: str
) -> None:
    header = f'Bearer realm="{realm}",service="x"'
    fake.on("GET", "", status(401, WWW_Authenticate=header), times=99)
    with pytest.raises(RegistryError, match=message):
        sessions(ME).of(fake.host).get_manifest("app", "1")


def test_a_token_server_that_sends_us_on(
    fake: Fake, tokens: TokenServer, sessions: Sessions
) -> None:
    with serving(Fake()) as other:
        other.on("GET", "", redirect(tokens.realm), times=99)
        tokens.realm = f"http://{other.host}/token"
        with pytest.raises(RegistryError, match="sends us to another host"):
            sessions(ME).of(fake.host).get_manifest("app", "1")
    assert tokens.authorized == []


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}', b"x" * 2_000_000]
)
def test_a_token_server_that_talks_nonsense(
    fake: Fake, tokens: TokenServer, sessions: Sessions, answer: bytes
) -> None:
    with serving(Fake()) as other:
        other.on("GET", "", lambda handler: handler.answer(200, answer), times=99)
        tokens.realm = f"http://{other.host}/token"
        with pytest.raises(RegistryError, match=r"gave no token|is larger than"):
            sessions(ME).of(fake.host).get_manifest("app", "1")


def test_a_login_that_nobody_knows(fake: Fake, sessions: Sessions) -> None:
    fake.on("GET", "", status(401, WWW_Authenticate="Negotiate"), times=99)
    with pytest.raises(RegistryError, match="asks for a login of the kind 'negotiate'"):
        sessions(ME).of(fake.host).get_manifest("app", "1")


# What is told


def everything_goes_wrong(fake: Fake, image: Image) -> list[Callable[[], None]]:
    """Return what sets one fault each, with servers that repeat what they were sent."""

    def echo(handler: Handler) -> None:
        told = handler.headers.get("Authorization", "")
        handler.error(403, "DENIED", f"you sent {told} {base64.b64decode(told[6:] + '==')!r}")

    def busy(handler: Handler) -> None:
        handler.error(503, handler.headers.get("Authorization", ""), "busy")

    faults: list[Callable[[], None]] = []
    for method, pattern in (
        ("HEAD", "/blobs/"),
        ("POST", "/uploads/"),
        ("PUT", "/uploads/"),
        ("PUT", "/manifests/"),
        ("GET", "/manifests/"),
        ("GET", "/blobs/"),
        ("GET", "/v2/$"),
    ):
        for act in (
            echo,
            busy,
            cut_upload(10),
            status(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="x"'),
            status(429, "X", Retry_After="9999"),
            redirect("http://elsewhere.example/x"),
            lambda handler: handler.answer(200, b"nonsense"),
            cut_download(b"x" * 100, 10),
        ):
            faults.append(  # noqa: PERF401 (a comprehension would not be readable)
                lambda method=method, pattern=pattern, act=act: fake.on(  # type: ignore[misc]
                    method, pattern, act, times=99
                )
            )
    return faults


@pytest.mark.parametrize("kind", ["basic", "token", "identity", "wrong"])
def test_nothing_secret_is_told_whatever_goes_wrong(
    fake: Fake,
    image: Image,
    sessions: Sessions,
    tmp_path: Path,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    told = io.StringIO()
    with tokens_for(fake, TokenServer(users={"me": "pass-word-9"})) as server:
        server.identity = "identity-9"
        own = Credentials(identity_token="identity-9") if kind == "identity" else ME
        if kind == "basic":
            fake.guard = BasicGuard("me", "pass-word-9")
        if kind == "wrong":
            server.users = {}
        wrong = 0
        for number, fault in enumerate(everything_goes_wrong(fake, image)):
            fake.faults.clear()
            fault()
            registries = sessions(own, tries=2)
            try:
                push(image, [reference(fake)], registries)
            except SlimpackError as error:
                wrong += 1
                told.write(f"{error}\n{error!r}\n{error.__dict__}\n")
            try:
                store = BlobStore(tmp_path / str(number), durable=False)
                prefetch(pull(reference(fake), sessions(own, tries=2), blobs=store), registries)
            except SlimpackError as error:
                wrong += 1
                told.write(f"{error}\n{error!r}\n{error.__dict__}\n")
            except StoppedError:
                pass  # the push has failed, and whoever shares its sessions is stopped
    assert wrong > 30
    out = told.getvalue() + caplog.text + "".join(capfd.readouterr())
    assert "pass-word" not in out.replace("***", "")
    assert [secret for secret in SECRETS if secret in out] == []


def test_a_refusal_says_whose_credentials_were_sent(
    fake: Fake, image: Image, sessions: Sessions
) -> None:
    fake.guard = BasicGuard("me", "another")
    with pytest.raises(DeniedError, match="answered 401, asked with credentials from the test"):
        push(image, [reference(fake)], sessions(ME))
    with pytest.raises(DeniedError, match="asked without credentials") as caught:
        push(image, [reference(fake)], sessions())
    assert caught.value.hint == f"log in with: slimpack login {fake.host}"


# Logging in


def test_login_keeps_what_was_tried(fake: Fake, tokens: TokenServer, tmp_path: Path) -> None:
    environ = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    place = login(fake.host, "me", "pass-word-9", environ=environ)
    path = tmp_path / "docker" / "config.json"
    assert (place.name, place.plain) == (str(path), True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = FileKeychain(environ).find(fake.host, "any")
    assert kept == Credentials("me", "pass-word-9", source=str(path))


def test_a_wrong_password_is_not_kept(fake: Fake, tokens: TokenServer, tmp_path: Path) -> None:
    with pytest.raises(DeniedError) as caught:
        login(fake.host, "me", "wrong-word-9", environ={"DOCKER_CONFIG": str(tmp_path / "docker")})
    assert "check user name and password" in caught.value.hint
    assert not (tmp_path / "docker").exists()


def test_login_through_a_helper(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    write_helper(tmp_path / "bin", "own", {})
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    path = tmp_path / "docker" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"credsStore": "own"}))
    environ = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    place = login(fake.host, "me", "pass-word-9", environ=environ)
    assert (place.name, place.plain) == ("docker-credential-own", False)
    assert json.loads(path.read_text()) == {"credsStore": "own", "auths": {fake.host: {}}}
    assert json.loads((tmp_path / "bin/own.json").read_text()) == {fake.host: ["me", "pass-word-9"]}
    kept = FileKeychain(environ).find(fake.host, "any")
    assert kept is not None
    assert kept.password == "pass-word-9"
    # The secret came over stdin: the helper wrote down its arguments.
    calls = (tmp_path / "bin/calls").read_text()
    assert "own:store {" in calls


def test_the_command(fake: Fake, run_process: Run, tmp_path: Path) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    env = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "docker"), "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "slimpack"]

    def call(*arguments: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [*command, *arguments], env=env, input=stdin, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        assert "pass-word-9" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    given = ("login", fake.host, "-u", "me", "--password-stdin")
    assert "no password on stdin" in call(*given, code=2)
    assert "answered 401" in call(*given, stdin="wrong\n", code=12)
    out = call(*given, stdin="pass-word-9\n")
    assert f"logged in to {fake.host}" in out
    assert "warning: the password is kept unencrypted in" in out
    assert "there is no terminal" in call("login", fake.host, code=2)
    assert "--password-stdin needs --username" in call(
        "login", fake.host, "--password-stdin", code=2
    )
    assert "removed from" in call("logout", fake.host)
    assert "not logged in" in call("logout", fake.host)
    assert Reference.parse(f"{fake.host}/x").host == fake.host
