"""Package URLs, and which URLs may be told.

Formats: purl-spec, PURL-TYPES (conda, pypi, deb, oci).
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit, urlunsplit

from packageurl import PackageURL

from slimpack.env.redact import redacted
from slimpack.errors import InputError
from slimpack.oci.names import canonical_name

_MAX_URL = 2000
_LOCAL = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".invalid", ".test")
_NAME = re.compile(r"[A-Za-z0-9_.+-]+\Z")
_ARCHIVE = re.compile(r"/(?P<subdir>[^/]+)/[^/]+\.(?P<type>conda|tar\.bz2)\Z")


def public_url(text: str) -> str:
    """Return a URL that is of use to others, without credentials; "" when there is none.

    Files of the building machine and hosts that only its network knows are left out, and so
    are query and fragment, in which tokens stand.
    """
    try:
        parts = urlsplit(redacted(text.strip())[:_MAX_URL])
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not _is_public(host) or "@" in parts.netloc:
            return ""
        clean = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    except ValueError:
        return ""
    return clean if clean.isprintable() and not set(clean) & set(' "<>\\^`{|}') else ""


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.lower().rstrip(".").endswith(_LOCAL)


def conda_purl(name: str, version: str, *, build: str = "", subdir: str = "", url: str = "") -> str:
    """Return ``pkg:conda/NAME@VERSION?build=..&channel=..&subdir=..&type=..``.

    url: of the archive; channel and type are taken from it. A channel that others cannot
    reach is left out. Raises ValueError for what is no name.
    """
    channel, kind = "", ""
    if match := _ARCHIVE.search(url.partition("#")[0].partition("?")[0]):
        kind = match["type"]
        if known := public_url(url):
            path = urlsplit(known).path[: -len(match[0])]
            channel = path.strip("/").removeprefix("pkgs/")
    elif url.endswith((".conda", ".tar.bz2")):
        kind = "conda" if url.endswith(".conda") else "tar.bz2"
    given = {"build": build, "channel": channel, "subdir": subdir, "type": kind}
    return _purl("conda", "", name, version, given)


def pypi_purl(name: str, version: str, *, vcs: str = "") -> str:
    """Return ``pkg:pypi/NAME@VERSION``. vcs: where its source was taken from."""
    return _purl("pypi", "", name, version, {"vcs_url": vcs})


def debian_purl(
    name: str, version: str, *, arch: str = "", distro: str = "", vendor: str = "", source: str = ""
) -> str:
    """Return ``pkg:deb/VENDOR/NAME@VERSION?arch=..&distro=..``.

    distro: such as ``debian-12``. source: ``NAME`` or ``NAME@VERSION`` of the source package
    where that differs, as ``upstream``: advisories of Debian name source packages.
    """
    given = {"arch": arch, "distro": distro, "upstream": source}
    return _purl("deb", vendor or "debian", name, version, given)


def oci_purl(name: str, digest: str, architecture: str) -> str:
    """Return ``pkg:oci/NAME@sha256:..?arch=..&repository_url=..&tag=..``, "" without a name."""
    plain = name.partition("@")[0]
    try:
        repository, _, tag = canonical_name(plain).rpartition(":")
    except InputError:
        return ""
    given = {"arch": architecture, "tag": tag if plain.endswith(f":{tag}") else ""}
    if not repository.startswith("docker.io/"):
        given["repository_url"] = repository
    return _purl("oci", "", repository.rpartition("/")[2], digest, given)


def bare(purl: str) -> str:
    """Return a purl without its qualifiers: type, name and version."""
    return purl.partition("?")[0]


def _purl(kind: str, namespace: str, name: str, version: str, given: dict[str, str]) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name[:100]!r} is not the name of a package")
    qualifiers = {key: value for key, value in given.items() if value}
    return PackageURL(kind, namespace or None, name, version or None, qualifiers).to_string()
