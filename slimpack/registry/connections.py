"""TLS, proxies and connection pools, one for each host that is talked to.

Certificates that are trusted: those of ``$REQUESTS_CA_BUNDLE`` alone, where that is set;
else the system's (``$SSL_CERT_FILE`` and ``$SSL_CERT_DIR``, as OpenSSL has it), else
those of certifi. A host's own come on top, from ``certs.d/HOST[:PORT]/*.crt`` as Docker
and podman read them; ``*.cert`` with a ``*.key`` beside it is a client certificate
(containers-certs.d(5)).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import InsecureRequestWarning
from urllib3.util import create_urllib3_context, make_headers

from slimpack.errors import InputError

_BLOCK = 1 << 17
"""Bytes that are handed to the socket at once; urllib3's own 16 KiB cost a third more time."""

_POOL = 8
_CERTS = ("/etc/docker/certs.d", "/etc/containers/certs.d")
_HOME_CERTS = (".docker/certs.d", ".config/containers/certs.d")


def is_loopback(host: str) -> bool:
    """Tell whether a host (with or without port) can only be this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Connections:
    """Connection pools; safe for any number of threads.

    unverified: hosts (with port) whose certificates are not looked at.
    """

    def __init__(
        self, unverified: frozenset[str] = frozenset(), environ: Mapping[str, str] = os.environ
    ) -> None:
        self._unverified = unverified
        self._environ = environ
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def pool(self, url: str) -> urllib3.PoolManager:
        """Return the pool for a URL's scheme and host. Raises InputError for bad certificates."""
        parts = urlsplit(url)
        key = parts.scheme, parts.netloc
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._make(parts)
            return self._pools[key]

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()

    def _make(self, parts: SplitResult) -> urllib3.PoolManager:
        settings: dict[str, object] = {"maxsize": _POOL, "blocksize": _BLOCK}
        if parts.scheme == "https":
            settings["ssl_context"] = self._context(parts.netloc)
        proxy = self._proxy(parts)
        if not proxy:
            return urllib3.PoolManager(**settings)  # type: ignore[arg-type]
        try:
            address = urlsplit(proxy)
            if address.username is not None:
                user = f"{unquote(address.username)}:{unquote(address.password or '')}"
                settings["proxy_headers"] = make_headers(proxy_basic_auth=user)
            bare = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
            return urllib3.ProxyManager(bare, **settings)  # type: ignore[arg-type]
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            # Without the cause, which may show a password.
            raise InputError(
                f"the proxy for {parts.scheme}:// cannot be used: {type(error).__name__}",
                hint=f"correct {parts.scheme}_proxy; it is written like http://host:3128",
            ) from None

    def _proxy(self, parts: SplitResult) -> str:
        # Nobody's proxy leads to this machine.
        if is_loopback(parts.netloc):
            return ""
        proxies = getproxies_environment()
        if proxy_bypass(parts.netloc, proxies):
            return ""
        proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
        return proxy if not proxy or "://" in proxy else f"http://{proxy}"

    def _context(self, host: str) -> ssl.SSLContext:
        context = create_urllib3_context()
        if host in self._unverified:
            urllib3.disable_warnings(InsecureRequestWarning)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            self._trust(context)
        for folder in _folders(host, self._environ):
            for path in sorted(folder.glob("*.crt")):
                _load(context, path)
            for path in sorted(folder.glob("*.cert")):
                _load_client(context, path)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        bundle = self._environ.get("REQUESTS_CA_BUNDLE") or self._environ.get("CURL_CA_BUNDLE")
        if bundle:
            _load(context, Path(bundle))
            return
        context.load_default_certs()
        places = ssl.get_default_verify_paths()
        if places.cafile is None and places.capath is None:
            context.load_verify_locations(certifi.where())


def _folders(host: str, environ: Mapping[str, str]) -> Iterator[Path]:
    home = environ.get("HOME", "")
    roots = (*map(Path, _CERTS), *(Path(home, name) for name in _HOME_CERTS if home))
    return (root / host for root in roots if (root / host).is_dir())


def _load(context: ssl.SSLContext, path: Path) -> None:
    try:
        if path.is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as error:  # SSLError is one
        raise InputError(
            f"{path}: no certificates can be read from it: {error.strerror or error}",
            hint="it has to hold certificates in PEM form",
        ) from error


def _load_client(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_cert_chain(path, path.with_suffix(".key"))
    except OSError as error:
        raise InputError(
            f"{path}: the client certificate cannot be used: {error.strerror or error}",
            hint=f"its key belongs beside it, as {path.with_suffix('.key').name}",
        ) from error
