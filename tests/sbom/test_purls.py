"""Package URLs, judged by their own library, and which URLs are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from slimpack.sbom.purls import conda_purl, debian_purl, oci_purl, public_url, pypi_purl

DIGEST = "sha256:" + "0" * 64
NAMES = st.from_regex(r"[A-Za-z0-9_.+-]+", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://conda.anaconda.org/conda-forge/noarch/a-1-0.conda",) * 2,
        ("https://user:pass@host.example/x", "https://host.example/x"),
        ("https://user@host.example/x", "https://host.example/x"),
        ("https://host.example/t/TOKEN/main/x", "https://host.example/main/x"),
        ("https://host.example/x?token=1#part", "https://host.example/x"),
        ("http://8.8.8.8/x", "http://8.8.8.8/x"),
        ("http://10.0.0.7/x", ""),
        ("http://[::1]:8000/x", ""),
        ("http://127.0.0.1/x", ""),
        ("http://localhost:8000/x", ""),
        ("https://mirror/x", ""),
        ("https://mirror.corp.internal/x", ""),
        ("file:///home/me/channel/noarch/a-1-0.conda", ""),
        ("oci://ghcr.io/x", ""),
        ("ssh://git@host.example/x", ""),
        ("https://host.example/a b", ""),
        ("https://[broken", ""),
        ("", ""),
    ],
)
def test_public_urls(url: str, told: str) -> None:
    assert public_url(url) == told


@given(st.text())
def test_a_public_url_never_has_credentials_or_a_query(text: str) -> None:
    for url in (public_url(text), public_url(f"https://{text}@host.example/{text}?{text}")):
        assert "@" not in url.partition("://")[2].partition("/")[0]
        assert "?" not in url
        assert "#" not in url


@pytest.mark.parametrize(
    ("url", "purl"),
    [
        (
            "https://conda.anaconda.org/conda-forge/linux-64/x-1-0.conda",
            "pkg:conda/x@1?build=0&channel=conda-forge&subdir=linux-64&type=conda",
        ),
        (
            "https://repo.anaconda.com/pkgs/main/linux-64/x-1-0.tar.bz2",
            "pkg:conda/x@1?build=0&channel=main&subdir=linux-64&type=tar.bz2",
        ),
        (
            "https://conda.anaconda.org/conda-forge/label/dev/linux-64/x-1-0.conda",
            "pkg:conda/x@1?build=0&channel=conda-forge/label/dev&subdir=linux-64&type=conda",
        ),
        (
            "file:///srv/channel/linux-64/x-1-0.conda",
            "pkg:conda/x@1?build=0&subdir=linux-64&type=conda",
        ),
        ("", "pkg:conda/x@1?build=0&subdir=linux-64"),
    ],
)
def test_conda(url: str, purl: str) -> None:
    assert conda_purl("x", "1", build="0", subdir="linux-64", url=url) == purl


def test_pypi_names_are_normalised() -> None:
    assert pypi_purl("Flask_RESTful", "1.0+cu12") == "pkg:pypi/flask-restful@1.0%2Bcu12"
    vcs = pypi_purl("x", "1", vcs="git+https://host.example/r@abc")
    assert PackageURL.from_string(vcs).qualifiers == {"vcs_url": "git+https://host.example/r@abc"}


@given(NAMES, TEXTS.filter(str.strip))
def test_purls_can_be_read_back(name: str, version: str) -> None:
    for purl in (
        conda_purl(name, version, build=version),
        debian_purl(name, version, arch=version, distro=name, source=version),
    ):
        again = PackageURL.from_string(purl)
        assert again.to_string() == purl
        assert again.version == version.strip()


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x@1", "n\u00fc", "a?b=c", "a#b"])
def test_what_is_no_name_of_a_package(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a package"):
        conda_purl(name, "1")


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("serve:1.0", "?arch=amd64&tag=1.0"),
        ("serve", "?arch=amd64"),
        ("ghcr.io/team/serve", "?arch=amd64&repository_url=ghcr.io/team/serve"),
        (f"ghcr.io/team/serve@{DIGEST}", "?arch=amd64&repository_url=ghcr.io/team/serve"),
    ],
)
def test_images(name: str, rest: str) -> None:
    assert oci_purl(name, DIGEST, "amd64") == f"pkg:oci/serve@{DIGEST}{rest}"


def test_what_is_no_name_of_an_image_has_no_purl() -> None:
    assert oci_purl("my Image", DIGEST, "amd64") == ""
