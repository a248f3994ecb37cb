"""References to images in registries: ``host/repository:tag@sha256:...``.

Format: github.com/distribution/reference, reference.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from slimpack.errors import InputError
from slimpack.oci.names import DEFAULT_TAG, has_host, split_name

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ONLY_HOST = re.compile(r"[^/:]*\.[^/:]*(?::[0-9]{2,5})?|localhost(?::[0-9]{2,5})?")


@dataclass(frozen=True)
class Reference:
    """Where an image is, or shall be.

    host: with its port, if any. repository: the path on it.
    tag, digest: with both, the digest decides; with neither, it is the repository alone.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference; without a host it is docker.io's, without tag and digest ``latest``.

        Raises InputError for a name that Docker would refuse, and for a host alone, which it
        would look for among the official images of docker.io.
        """
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise InputError(
                f"{text[:300]!r}: {digest[:100]!r} is not a digest",
                hint="a digest is sha256: and 64 lower-case hexadecimal digits",
            )
        host, repository, tag = split_name(name)
        if _ONLY_HOST.fullmatch(name):
            raise InputError(
                f"{text[:300]!r} names a registry, and no repository on it",
                hint="write HOST/REPOSITORY:TAG, as in ghcr.io/me/app:1.0",
            )
        return cls(host, repository, tag or ("" if digest else DEFAULT_TAG), digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{'@' if self.digest else ''}{self.digest}"

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.repository}"

    @property
    def target(self) -> str:
        """What stands in a request: the digest, else the tag."""
        return self.digest or self.tag

    def at(self, digest: str) -> Reference:
        """Return the reference of this repository that names a digest alone."""
        return replace(self, tag="", digest=digest)


def is_reference(text: str) -> bool:
    """Tell whether `text` names an image on a host, and so can be told from a path.

    ``gcr.io/distroless/cc:latest`` and ``localhost:5000/app`` do; ``app:1.0`` and
    ``./image.tar`` do not.
    """
    if not has_host(text) or text.startswith("."):
        return False
    try:
        Reference.parse(text)
    except InputError:
        return False
    return True
