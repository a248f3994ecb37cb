"""Where credentials are found: Docker's and podman's files, helpers, the longest prefix."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from slimpack.errors import InputError, RegistryError
from slimpack.registry.authfile import Entry, read_auth_file
from slimpack.registry.credentials import Credentials, FileKeychain, auth_paths
from slimpack.registry.login import check_host, logout
from tests.registry.helper import write_helper


def encoded(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def found(environ: dict[str, str], host: str, repository: str = "app") -> Credentials | None:
    return FileKeychain(environ).find(host, repository)


def test_the_order_of_the_files(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path / "home"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    files = [
        tmp_path / "docker/config.json",
        tmp_path / "run/containers/auth.json",
        tmp_path / "config/containers/auth.json",
    ]
    assert list(auth_paths(environ)) == files
    for path in reversed(files):
        write(path, {"auths": {"r.example": encoded("me", path.parent.name)}})
    for path in files:
        one = found(environ, "r.example")
        assert one == Credentials("me", path.parent.name, source=str(path))
        path.unlink()
    assert found(environ, "r.example") is None
    assert auth_paths({"HOME": "/h"}) == (
        Path("/h/.config/containers/auth.json"),
        Path("/h/.docker/config.json"),
    )
    assert auth_paths({**environ, "REGISTRY_AUTH_FILE": "/x/y"}) == (Path("/x/y"),)
    assert auth_paths({}) == ()


@pytest.mark.parametrize(
    ("key", "host", "repository", "fits"),
    [
        ("r.example", "r.example", "a/b", True),
        ("r.example", "r.example:443", "a/b", False),
        ("https://r.example", "r.example", "a", True),
        ("https://r.example/v1/", "r.example", "a", True),
        ("r.example/v2/", "r.example", "a", True),
        ("r.example:5000", "r.example:5000", "a", True),
        ("https://index.docker.io/v1/", "docker.io", "library/x", True),
        ("docker.io", "docker.io", "library/x", True),
        ("r.example/a", "r.example", "a/b/c", True),
        ("r.example/a/b", "r.example", "a/b", True),
        ("r.example/a/b", "r.example", "a/bc", False),
        ("r.example/a", "r.example", "b", False),
        ("r.example.evil", "r.example", "b", False),
        ("example", "r.example", "b", False),
    ],
)
def test_which_keys_fit(tmp_path: Path, key: str, host: str, repository: str, fits: bool) -> None:
    path = write(tmp_path / "auth.json", {"auths": {key: encoded("me", "secret")}})
    assert bool(found({"REGISTRY_AUTH_FILE": str(path)}, host, repository)) is fits


def test_the_longest_prefix_counts(tmp_path: Path) -> None:
    keys = ("r.example", "r.example/a", "r.example/a/b")
    path = write(tmp_path / "x", {"auths": {key: encoded("me", key) for key in keys}})
    keychain = FileKeychain({"REGISTRY_AUTH_FILE": str(path)})
    wanted = {"a/b": "r.example/a/b", "a/c": "r.example/a", "x": "r.example", "": "r.example"}
    for repository, password in wanted.items():
        one = keychain.find("r.example", repository)
        assert one is not None
        assert one.password == password


def test_the_forms_of_an_entry(tmp_path: Path) -> None:
    entries = {
        "a.example": {"username": "me", "password": "pw"},
        "b.example": {"identitytoken": "idt", **encoded("me", "")},
        "c.example": {"registrytoken": "rt"},
        "d.example": {},
        "e.example": encoded("me", "with:colon"),
        "f.example": {"auth": base64.b64encode(b"me:pw\0\0").decode()},
    }
    file = read_auth_file(write(tmp_path / "config.json", {"auths": entries}))
    assert [file.entry(host, "x") for host in entries] == [
        Entry("me", "pw"),
        Entry("me", "", identity_token="idt"),
        Entry(bearer="rt"),
        None,
        Entry("me", "with:colon"),
        Entry("me", "pw"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON object of credentials"),
        ("[]", "is not a JSON object of credentials"),
        ("[" * 100_000, "is not a JSON object of credentials"),
        ('{"auths": []}', "auths is not an object"),
        ('{"auths": ["x"]}', "auths is not an object"),
        ('{"auths": {"r.example": 1}}', r"auths\['r.example'\] is not an object"),
        ('{"auths": {"r.example": {"auth": 1}}}', r"auths\['r.example'\].auth has a value"),
        ('{"auths": {"r.example": {"auth": "§secret§"}}}', "auth is not base64"),
        ('{"auths": {"r.example": {"auth": "c2VjcmV0"}}}', "is not USER:PASSWORD"),
        ('{"credHelpers": {"r.example": 3}}', "credHelpers has a value"),
        ('{"credHelpers": {"r.example": "../x"}}', "not the name of a credential helper"),
    ],
)
def test_a_bad_file_is_named_and_not_quoted(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        found({"REGISTRY_AUTH_FILE": str(path)}, "r.example")
    assert "secret" not in str(caught.value)


def test_an_empty_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert found({"REGISTRY_AUTH_FILE": str(tmp_path / "empty")}, "r.example") is None
    with pytest.raises(InputError, match="Is a directory"):
        found({"REGISTRY_AUTH_FILE": str(tmp_path)}, "r.example")


def test_nothing_secret_is_shown() -> None:
    one = Credentials("me", "pass-word-9", "idt-9", "bearer-9", "file")
    entry = Entry("me", "pass-word-9", "idt-9", "bearer-9")
    assert not [text for text in one.secrets if text in repr(one) + repr(entry)]


# Helpers


def test_helpers_come_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_helper(tmp_path / "bin", "own", {"own.example": ["a", "from-own"]})
    write_helper(
        tmp_path / "bin",
        "all",
        {"all.example": ["b", "from-all"], "https://index.docker.io/v1/": ["<token>", "idt"]},
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    data = {
        "credHelpers": {"own.example": "own"},
        "credsStore": "all",
        "auths": {host: encoded("c", "from-file") for host in ("own.example", "file.example")},
    }
    keychain = FileKeychain({"REGISTRY_AUTH_FILE": str(write(tmp_path / "config.json", data))})
    assert keychain.find("own.example", "x") == Credentials(
        "a", "from-own", source="docker-credential-own"
    )
    assert keychain.find("all.example", "x") == Credentials(
        "b", "from-all", source="docker-credential-all"
    )
    assert keychain.find("docker.io", "library/x") == Credentials(
        identity_token="idt", source="docker-credential-all"
    )
    file = keychain.find("file.example", "x")
    assert file is not None
    assert file.password == "from-file"
    keychain.find("own.example", "y")
    calls = [line.split(":", 1) for line in (tmp_path / "bin/calls").read_text().splitlines()]
    assert calls.count(["own", "get own.example"]) == 1


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("echo pass-word-9; exit 3", RegistryError, "failed with exit code 3"),
        ("echo pass-word-9", RegistryError, "printed something that is no answer"),
        ('echo \'{"Username": 1, "Secret": "pass-word-9"}\'', RegistryError, "no answer"),
        (None, InputError, "docker-credential-odd is not on PATH"),
    ],
)
def test_a_helper_that_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    error: type[Exception],
    message: str,
) -> None:
    if script:
        program = tmp_path / "docker-credential-odd"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = write(tmp_path / "config.json", {"credsStore": "odd"})
    with pytest.raises(error, match=message) as caught:
        found({"REGISTRY_AUTH_FILE": str(path)}, "r.example")
    assert "pass-word-9" not in str(caught.value)


# What logging in and out writes


def test_other_keys_stay_and_only_we_can_read_it(tmp_path: Path) -> None:
    path = write(
        tmp_path / "new" / "config.json",
        {"HttpHeaders": {"X": "1"}, "auths": {"a.example": {}, "https://b.example/v1/": {}}},
    )
    path.chmod(0o644)
    read_auth_file(path).with_entry("b.example", Entry("me", "pw")).write()
    data = json.loads(path.read_text())
    assert data == {
        "HttpHeaders": {"X": "1"},
        "auths": {"a.example": {}, "b.example": encoded("me", "pw")},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    path = tmp_path / ".docker" / "config.json"
    read_auth_file(path).with_entry("b.example", Entry("me", "pw")).write()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = write(tmp_path / "real.json", {})
    link = tmp_path / "config.json"
    link.symlink_to(real)
    read_auth_file(link).with_entry("b.example", Entry("me", "pw")).write()
    assert link.is_symlink()
    assert "b.example" in real.read_text()


def test_logging_out_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_helper(tmp_path / "bin", "all", {"r.example": ["a", "x"], "other.example": ["a", "x"]})
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    environ = {"HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker")}
    own = encoded("me", "pw")
    one = write(tmp_path / "docker/config.json", {"credsStore": "all", "auths": {"r.example": {}}})
    two = write(
        tmp_path / "home/.config/containers/auth.json",
        {"auths": {"r.example": own, "r.example/team": own, "s.example": own}},
    )
    assert logout("r.example", environ) == ("docker-credential-all", str(two))
    assert json.loads(one.read_text())["auths"] == {}
    assert list(json.loads(two.read_text())["auths"]) == ["r.example/team", "s.example"]
    assert list(json.loads((tmp_path / "bin/all.json").read_text())) == ["other.example"]
    assert logout("r.example", environ) == ()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        *(("ghcr.io", "ghcr.io"), ("https://ghcr.io/", "ghcr.io"), ("localhost", "localhost")),
        *(("https://index.docker.io/v1/", "docker.io"), ("h:5000", "h:5000"), ("r.io/", "r.io")),
    ],
)
def test_hosts(text: str, host: str) -> None:
    assert check_host(text) == host


@pytest.mark.parametrize("text", ["", "app", "ghcr.io/me", "me:pw@ghcr.io", "a b.c", "http://"])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(InputError, match="is not the host of a registry"):
        check_host(text)
