"""References and WWW-Authenticate headers: what others write is read, or refused in words."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import InputError
from slimpack.registry.challenge import Challenge, parse_challenges
from slimpack.registry.connections import is_loopback
from slimpack.registry.failures import wait_of
from slimpack.registry.reference import Reference, is_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("app", "docker.io", "library/app", "latest", ""),
        ("me/app:1", "docker.io", "me/app", "1", ""),
        ("index.docker.io/app", "docker.io", "library/app", "latest", ""),
        ("localhost/app", "localhost", "app", "latest", ""),
        ("localhost:5000/a/b/c:x-1.2_3", "localhost:5000", "a/b/c", "x-1.2_3", ""),
        (f"gcr.io/distroless/cc@{DIGEST}", "gcr.io", "distroless/cc", "", DIGEST),
        (f"gcr.io/x:tag@{DIGEST}", "gcr.io", "x", "tag", DIGEST),
        ("[::1]:5000/x", "[::1]:5000", "x", "latest", ""),
    ],
)
def test_references(text: str, host: str, repository: str, tag: str, digest: str) -> None:
    assert Reference.parse(text) == Reference(host, repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        *("", "UPPER", "a b", "a//b", "/a", "a/", "x:", "x:" + "t" * 129, "a" * 256, "http://x/y"),
        *("x@sha256:12", f"x@{DIGEST.upper()}", "x@md5:" + "0" * 32, f"x@{DIGEST}@{DIGEST}"),
        *("../x", "a/../b", "x:..", "x\n", "x?y", "x/y#z", "hast:port/x", "me@host/x", "x%2f"),
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InputError):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://ghcr.io/me/app:1", "leave out what stands before the host"),
        ("docker://ghcr.io/me/app:1", "leave out what stands before the host"),
        ("ghcr.io", "write HOST/REPOSITORY:TAG"),
        ("127.0.0.1:5000", "write HOST/REPOSITORY:TAG"),
        ("localhost:5000", "write HOST/REPOSITORY:TAG"),
        ("ghcr.io/Me/app", "lower-case"),
    ],
)
def test_what_is_meant_by_others_is_told(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        Reference.parse(text)
    assert hint in caught.value.hint


def test_an_official_image_with_a_dot_is_written_out() -> None:
    assert Reference.parse("docker.io/my.app:10").repository == "library/my.app"
    assert Reference.parse("my.app:v1").repository == "library/my.app"


_WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
_HOSTS = st.one_of(
    st.builds("{}.{}".format, _WORDS, _WORDS),
    st.builds("{}.example:{}".format, _WORDS, st.integers(1, 65535)),
    st.just("localhost"),
)
_TAGS = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=20)


@given(_HOSTS, st.lists(_WORDS, min_size=1, max_size=4), _TAGS, st.booleans(), st.booleans())
def test_what_is_written_is_read(
    host: str, parts: list[str], tag: str, tagged: bool, pinned: bool
) -> None:
    reference = Reference(
        host,
        "/".join(parts),
        tag if tagged or not pinned else "",
        DIGEST if pinned else "",
    )
    assert Reference.parse(str(reference)) == reference
    assert is_reference(str(reference))
    assert reference.target == (DIGEST if pinned else tag)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = Reference.parse(text)
    except InputError:
        return
    assert Reference.parse(str(found)) == found
    assert not set(str(found)) & set(" \n?#%\\")
    assert ".." not in found.repository.split("/")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *(("gcr.io/x", True), ("localhost/x", True), ("h:1/x", True), (f"a.b/x@{DIGEST}", True)),
        *(("x", False), ("me/x:1", False), ("./a.b/x", False), ("../x/y", False)),
        *(("image.tar", False), ("/tmp/x.tar", False), ("a.b/UPPER", False)),
    ],
)
def test_what_is_taken_for_a_reference(text: str, is_one: bool) -> None:
    assert is_reference(text) is is_one


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        *(("localhost", True), ("localhost:5000", True), ("a.localhost", True)),
        *(("127.0.0.1:1", True), ("127.9.9.9", True), ("[::1]:5000", True)),
        *(("localhost.example", False), ("127.0.0.1.example", False), ("10.0.0.1", False)),
        *(("example", False), ("[::2]", False), ("", False), ("0.0.0.0", False)),
    ],
)
def test_which_hosts_are_this_machine(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one


# Challenges


def test_a_bearer_challenge() -> None:
    header = (
        'Bearer realm="https://a.example/t?x=1",service="r, s",scope="repository:a/b:pull,push"'
    )
    assert parse_challenges([header]) == (
        Challenge(
            "bearer",
            {
                "realm": "https://a.example/t?x=1",
                "service": "r, s",
                "scope": "repository:a/b:pull,push",
            },
        ),
    )


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        (['Basic realm="x"', 'Bearer realm="y"'], ["basic", "bearer"]),
        (['Basic realm="x", Bearer realm="y"'], ["basic", "bearer"]),
        (["Negotiate, NTLM, basic"], ["negotiate", "ntlm", "basic"]),
        (["Negotiate YIIB/+==, Bearer realm=y"], ["negotiate", "bearer"]),
        ([""], []),
        ([",,, Basic"], ["basic"]),
    ],
)
def test_several_challenges(headers: list[str], schemes: list[str]) -> None:
    assert [one.scheme for one in parse_challenges(headers)] == schemes


def test_quotes_and_spaces() -> None:
    (found,) = parse_challenges(['bearer  realm = "a\\"b\\\\c" , Service=x, realm=second'])
    assert found.parameters == {"realm": 'a"b\\c', "service": "x"}


_NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@given(st.lists(st.tuples(_NAMES, st.dictionaries(_NAMES, _VALUES)), max_size=4))
def test_challenges_that_were_written_are_read(made: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} {', '.join(f'{name}={quoted(value)}' for name, value in parameters.items())}"
        for scheme, parameters in made
    )
    expected = tuple(Challenge(scheme, parameters) for scheme, parameters in made)
    assert parse_challenges([header]) == expected


@given(st.lists(st.text(max_size=200), max_size=3))
def test_any_header_is_read_without_an_error(headers: list[str]) -> None:
    parse_challenges(headers)


def test_a_long_header_takes_no_time() -> None:
    for part in ('"', "a", "a=", ", ", 'a="\\'):
        parse_challenges([part * 100_000])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (" 0 ", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("", None)],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert wait_of(header) == seconds


@given(st.text(max_size=40))
def test_any_retry_after(header: str) -> None:
    found = wait_of(header)
    assert found is None or found >= 0
