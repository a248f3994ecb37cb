"""Whether a bundle is whole, complete, of whom it should be, and new enough: in one pass."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from slimpack.bundle.age import age_limit, check_age
from slimpack.bundle.beginning import Beginning, read_beginning
from slimpack.bundle.complete import Completeness, descriptions
from slimpack.bundle.deep import Unpacking
from slimpack.bundle.findings import Finding, Findings
from slimpack.bundle.medium import Medium, VolumeState, path_medium, stream_medium
from slimpack.bundle.model import SIGNATURE, STATEMENT, Statement
from slimpack.bundle.needs import Kept, name_of
from slimpack.bundle.signature import check_key, check_signature, decoded
from slimpack.bundle.walk import Walk
from slimpack.errors import BundleError
from slimpack.oci.digest import sha256
from slimpack.progress import SILENT, Progress

SignatureState = Literal["none", "not checked", "good", "bad"]


@dataclass(frozen=True)
class Asked:
    """What a bundle has to be.

    key: public key as PEM with whose other half it is signed, None: by nobody in particular.
    not_older_than: what `slimpack.bundle.age.age_limit` reads. deep: unpack every layer.
    """

    key: Path | None = None
    not_older_than: str | None = None
    deep: bool = False


@dataclass(frozen=True)
class Verification:
    """What was found out about a bundle.

    statement: None if it is damaged. digest: of the statement. findings: what is wrong;
    `count` of them, more than there are here if those are too many. verified: members that
    are whole. read: bytes that came by. bring: names of the volumes to bring again.
    """

    what: str
    statement: Statement | None
    digest: str
    signature: SignatureState
    findings: tuple[Finding, ...]
    count: int
    verified: int
    read: int
    volumes: int
    bring: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.count

    @property
    def required(self) -> tuple[str, ...]:
        """Digests of the blobs that the far side must have already, sorted."""
        if self.statement is None:
            return ()
        bases = {base for patch in self.statement.patches for base in patch.bases}
        return tuple(sorted(bases | {blob.digest for blob in self.statement.absent}))

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        statement = self.statement
        return {
            "bundle": self.what,
            "passed": self.passed,
            "statement": self.digest,
            "signature": self.signature,
            "created": statement.created if statement else None,
            "images": [name_of(image) for image in statement.images] if statement else [],
            "members": len(statement.members) if statement else 0,
            "verified": self.verified,
            "bytes": self.read,
            "required": list(self.required),
            "volumes": self.volumes,
            "bring": list(self.bring),
            "count": self.count,
            "findings": [finding.to_json() for finding in self.findings],
        }


def verify_bundle(
    bundle: Path | BinaryIO, asked: Asked, *, progress: Progress = SILENT
) -> Verification:
    """Read a bundle once, from its beginning to its end, and tell all that is wrong with it.

    bundle: a tar, a pipe, volumes by their list or by the name of the tar, or an open stream.
    Works without network, and in memory that does not depend on the size. Raises InputError
    for a key or a limit that is none and for what is not there or no bundle, BundleError for
    what cannot be read as one at all.
    """
    limit = age_limit(asked.not_older_than) if asked.not_older_than is not None else None
    if asked.key is not None:
        check_key(asked.key)
    findings = Findings()
    with progress.task("verify") as task:
        read = 0

        def advance(amount: int) -> None:
            nonlocal read
            read += amount
            task.advance(amount)

        if isinstance(bundle, Path):
            medium = path_medium(bundle, findings, advance)
        else:
            medium = stream_medium(bundle, "standard input", advance)
        if medium.total is not None:
            task.total(medium.total)
        found = read_beginning(
            medium.source, medium.what, findings, medium.total if medium.sure else None
        )
        signature: SignatureState = "none"
        verified = 0
        needs: dict[str, list[str]] = {}
        if found is not None:
            signature = _signature(found, asked.key, findings)
            if limit is not None:
                try:
                    check_age(found.statement, limit)
                except BundleError as error:
                    findings.add("age", error.message)
            verified, needs = _members(medium, found.statement, asked.deep, findings)
        medium.drain()
    bring = _volumes(medium, findings)
    statement = found.statement if found else None
    return Verification(
        what=medium.what,
        statement=statement,
        digest=sha256(found.raw) if found else "",
        signature=signature,
        findings=tuple(_explained(findings, statement, needs, medium, bring)),
        count=findings.count,
        verified=verified,
        read=read,
        volumes=len(medium.volumes),
        bring=bring,
    )


def _signature(found: Beginning, key: Path | None, findings: Findings) -> SignatureState:
    try:
        if key is not None:
            check_signature(found.raw, found.signature, key)
            return "good"
        if found.signature:
            decoded(found.signature)
        return "not checked" if found.signature else "none"
    except BundleError as error:
        findings.add("signature", error.message, SIGNATURE if found.signature else "")
        return "bad" if found.signature else "none"


def _members(
    medium: Medium, statement: Statement, deep: bool, findings: Findings
) -> tuple[int, dict[str, list[str]]]:
    """Let all members pass; return how many are whole, and what each is for."""
    kept = Unpacking(statement, findings) if deep else Kept(statement)
    walk = Walk(medium.source, statement, findings, kept)
    walk.run()
    unpacked = kept.unpacked if isinstance(kept, Unpacking) else {}
    complete = Completeness(statement, kept.data, unpacked, findings)
    complete.check()
    return walk.verified, complete.needs


def _volumes(medium: Medium, findings: Findings) -> tuple[str, ...]:
    """Tell which volumes are not what the list says; return those to bring again."""
    if not medium.sure:
        return ()
    numbers = {
        one.volume.digest: number for number, one in enumerate(medium.volumes, 1)
    }  # volumes that are alike are all the same
    bring = []
    for one in medium.volumes:
        if one.whole:
            continue
        bring.append(one.volume.name)
        findings.add("volume", _wrong(one, numbers), one.volume.name, one.begin, one.end)
    return tuple(bring)


def _wrong(one: VolumeState, numbers: dict[str, int]) -> str:
    if one.found is None:
        return "the volume is missing"
    if one.digest in numbers:
        return f"it holds the content of volume {numbers[one.digest]}"
    if one.found != one.volume.size:
        return f"the volume has {one.found} bytes instead of {one.volume.size}"
    return "the volume is damaged: it is not what its digest names"


def _explained(
    findings: Findings,
    statement: Statement | None,
    needs: dict[str, list[str]],
    medium: Medium,
    bring: Collection[str],
) -> list[Finding]:
    """Return the findings with what they are of for people, and in which volumes.

    Of several volumes that hold something, those that are damaged are named alone.
    """
    names = descriptions(statement, needs) if statement and findings.items else {}
    fixed = {STATEMENT: "statement", SIGNATURE: "signature"}
    told = []
    for finding in findings.items:
        what = fixed.get(finding.path) or names.get(finding.path, "")
        volumes: tuple[str, ...] = ()
        if finding.begin is not None and finding.kind != "volume":
            volumes = medium.names(finding.begin, finding.end or finding.begin)
            volumes = tuple(name for name in volumes if name in bring) or volumes
        told.append(replace(finding, what=what, volumes=volumes))
    return told
