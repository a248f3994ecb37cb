"""What a build knows and its image does not tell, for provenance and SBOMs."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from slimpack.config import Config
from slimpack.debian.model import ResolvedPackage
from slimpack.env.inputs.identify import Input
from slimpack.env.locks.lock import Lock
from slimpack.oci.compress import Compression
from slimpack.oci.jsontext import canonical
from slimpack.sbom.purls import bare, debian_purl, pypi_purl
from slimpack.slim.ruleset import Rules


@dataclass(frozen=True)
class LockFacts:
    """What a lock pins (see `lock_facts`).

    sha256: hex, of all that is pinned; the same wherever the lock and its channels lie.
    wheels: (name, version, SHA-256 in hex) of what pip installs, where a file was pinned.
    """

    platform: str
    sha256: str
    wheels: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class BuildFacts:
    """What a build knows and its image does not tell.

    source: the input. lock: what was solved or given, None for what was installed before.
    debian: packages of a base that was assembled. base: (reference, digest of its manifest)
    of a base that was an image. rules: all slimming rules that counted, None for no slimming.
    epoch: SOURCE_DATE_EPOCH, in seconds. engine: what solved and installed, "" for nothing.
    """

    config: Config
    source: Input
    prefix: str
    compression: Compression
    epoch: int
    engine: str = ""
    lock: LockFacts | None = None
    debian: tuple[ResolvedPackage, ...] = ()
    base: tuple[str, str] | None = None
    profile: str = "none"
    rules: Rules | None = None


def known_digests(facts: BuildFacts) -> dict[str, str]:
    """Return SHA-256 (hex) of archives by purl without qualifiers, which records do not have.

    They are for `slimpack.sbom.inventory.inventory_of`.
    """
    found = {bare(debian_purl(one.name, one.version)): one.sha256 for one in facts.debian}
    for name, number, sha256 in facts.lock.wheels if facts.lock else ():
        found[pypi_purl(name, number)] = sha256
    return found


def rules_digest(rules: Rules) -> str:
    """Return the SHA-256 (hex) of the rules that counted, in the order they are asked."""
    return hashlib.sha256(canonical(asdict(rules))).hexdigest()


def lock_facts(lock: Lock) -> LockFacts:
    """Return what provenance tells of a lock, conda's packages and pip's together."""
    conda = [[one.name, one.version, one.build, one.subdir, one.sha256] for one in lock.packages]
    pypi = [[one.name, one.version, one.sha256] for one in lock.pypi]
    content = {"platform": lock.platform, "conda": conda, "pypi": pypi}
    return LockFacts(
        platform=lock.platform,
        sha256=hashlib.sha256(canonical(content)).hexdigest(),
        wheels=tuple(
            (one.name, one.version, one.sha256) for one in lock.pypi if one.sha256 and one.version
        ),
    )
