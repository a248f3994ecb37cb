"""The proof that an image works on its new base, as far as the user wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from slimpack.config import VerifyConfig
from slimpack.errors import VerifyError
from slimpack.oci.image import Image
from slimpack.oci.rootfs import merged_view
from slimpack.progress import Progress
from slimpack.verify.checks import CHECKS
from slimpack.verify.model import Check, Result, Verification
from slimpack.verify.opening import open_image
from slimpack.verify.verifying import NONE, raise_if_failed, verify

Proof = Literal["bases", "files", "run"]
PROOFS: tuple[Proof, ...] = get_args(Proof)


@dataclass(frozen=True)
class Proving:
    """What is proven, and where files are unpacked for it.

    old, new: the image on both bases. below: how many layers of `new` are the base's.
    """

    old: Image
    new: Image
    below: int
    config: VerifyConfig
    scratch: Path
    progress: Progress

    def prove(self, *, run: bool) -> Verification:
        """Make all checks of the files, or all that there are; raise VerifyError if one fails.

        What failed in the same way on the old base is no fault of the new one.
        """
        self._check_hidden()
        checks = [check for check in CHECKS if run or not check.runs]
        found = self._verified(self.new, checks, "run" if run else NONE)
        if found.passed:
            return found
        failed = {result.name for result in found.failed}
        before = self._verified(
            self.old, [check for check in checks if check.name in failed], found.sandbox or NONE
        )
        known = {_key(result, n) for result in before.results for n in range(len(result.findings))}
        judged = replace(found, results=tuple(_excused(result, known) for result in found.results))
        raise_if_failed(judged)
        return judged

    def _verified(self, image: Image, checks: Sequence[Check], sandbox: str) -> Verification:
        config = self.config if sandbox == "run" else replace(self.config, sandbox=sandbox)
        name = "the image on its new base" if image is self.new else "the image on its old base"
        folder = self.scratch / ("new" if image is self.new else "old")
        subject = open_image(image, folder, name, progress=self.progress)
        return verify(subject, config, checks=checks, scan=False, progress=self.progress)

    def _check_hidden(self) -> None:
        """Raise VerifyError where a file of the image would hide a folder of the new base."""
        base = merged_view(_layers(self.new, 0, self.below))
        above = merged_view(_layers(self.new, self.below, len(self.new.layers)))
        hidden = [
            path
            for path, placed in above.items()
            if placed.member.kind != "directory"
            and path in base
            and base[path].member.kind == "directory"
        ]
        if hidden:
            raise VerifyError(
                "the new base does not fit the image",
                details="\n".join(f"/{path} of the image would hide a folder" for path in hidden),
                hint="choose another base, or another place for these files",
            )


def _layers(image: Image, first: int, last: int) -> Image:
    return replace(image, layers=image.layers[first:last], raw_config=b"", raw_manifest=b"")


def _key(result: Result, number: int) -> tuple[str, str, str]:
    finding = result.findings[number]
    return result.name, finding.path, finding.message


def _excused(result: Result, known: set[tuple[str, str, str]]) -> Result:
    findings = tuple(
        replace(finding, severity="warning") if _key(result, number) in known else finding
        for number, finding in enumerate(result.findings)
    )
    return replace(result, findings=findings)
