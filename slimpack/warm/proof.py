"""What verification found, for builds that come to the same image, or nearly.

A proof follows from the image, from what is checked, from our own code and from the machine.
Where an application has other contents in the same files, all follows from the rest but what
`slimpack.warm.plain` says; then these files alone are looked at. And importing all modules,
which takes longest, follows from the layers below the application's, from how the image is
run and from which files the application has: one may stand in front of a module, or be read
by one.

Only what passed is kept. Warnings are, so that the same is told again. What failed in the
environment before slimming is no error of the image, so that where one has such findings,
the proof follows from the environment, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slimpack import app
from slimpack.cache.kinds import PROOF
from slimpack.cache.memo import MALFORMED, Memo, digest_of
from slimpack.config import VerifyConfig
from slimpack.layering import Layering
from slimpack.oci.image import Image
from slimpack.slim.bytecode import source_of
from slimpack.tree import Entry
from slimpack.verify.machine import machine_identity
from slimpack.verify.model import Result, Verification
from slimpack.warm.code import own_code
from slimpack.warm.complete import is_complete
from slimpack.warm.identity import plain
from slimpack.warm.imported import (
    Files,
    Imported,
    import_key,
    keep_imported,
    nothing,
    recall_imported,
)
from slimpack.warm.plain import has_records, is_in_order, plain_files, told
from slimpack.warm.restore import restored, texts

if TYPE_CHECKING:  # a build of which nothing changed needs none of it
    from slimpack.verify.context import Watched
    from slimpack.verify.subject import Subject

IMPORTS, SMOKE = "imports", "smoke"
RUNNING = (IMPORTS, SMOKE)
"""Checks that start programs of the image."""
COMPARING = ("elf-needed", "cuda-libraries", IMPORTS)
"""Checks that ask what was wrong in the environment before slimming."""
BY_CONTENT = ("bytecode", "secrets")
"""Checks that look into plain files."""


@dataclass(frozen=True)
class Proof:
    """By what proofs of an image are known.

    image: of all of it. rest: of all but the contents of `files`, "" where that is not
    enough. imports: of importing all modules. files: the plain ones, by path.
    importing: all that this follows from beside the environment's files, which `pack` gives.
    how: digest of how the image is started, and what is checked.
    environment: by what it is known, "" where nothing tells how it was before slimming.
    """

    image: str
    rest: str
    imports: str
    importing: list[Any]
    pack: Callable[[], Files]
    files: dict[str, Entry]
    how: str
    environment: str
    config: VerifyConfig

    @property
    def watched(self) -> frozenset[str]:
        """The files that no module may read, as programs in the image name them."""
        return frozenset(f"/{path}" for path in self.files)

    @cached_property
    def packed(self) -> Files:
        """The files of the environment, the application's aside."""
        return self.pack()

    @cached_property
    def imported(self) -> str:
        """By what is known what modules depend on, "" where that counts for no other packages."""
        return import_key(self.importing, self.packed)


def proof_of(
    image: Image,
    layering: Layering,
    application: Iterable[Entry],
    prefix: str,
    config: VerifyConfig,
    environment: str,
    pack: Callable[[], Files] = nothing,
) -> Proof:
    """Return by what the proofs of `image` are known.

    layering: of its layers above the base. prefix, environment: see `plain_files`, `Proof`.
    pack: gives the files in these layers.
    """
    entries = list(application)
    run = image.config
    files = plain_files(entries, prefix, run.env)
    whose = [own_code(), machine_identity(str(image.platform))]
    common = [*whose, environment]
    visible = told(entries, files)
    below = [_below(image, layering), visible]
    settings = plain(asdict(config))
    importing = [
        [run.architecture, run.user, run.workdir, [list(pair) for pair in run.env]],
        [config.sandbox, list(config.skip_imports), list(config.ignore)],
    ]
    base = [one.diff_id for one in image.layers[: len(image.layers) - len(layering.layers)]]
    rest = digest_of("rest", common, below, plain(asdict(run)), settings)
    return Proof(
        image=digest_of("image", common, image.digest, settings),
        rest="" if has_records(entries) else rest,
        imports=digest_of("imports", common, below, *importing),
        importing=[whose, base, visible, importing],
        pack=pack,
        files=files,
        how=digest_of("how", plain(asdict(run)), settings),
        environment=environment,
        config=config,
    )


def _below(image: Image, layering: Layering) -> list[str]:
    """Return the layers with other files than the application's."""
    count = len(image.layers) - len(layering.layers)
    own = zip(layering.layers, layering.plans, strict=True)
    kept = [layer for layer, plan in own if plan.owners != (app.OWNER,)]
    return [layer.diff_id for layer in (*image.layers[:count], *kept)]


def recall_proof(proof: Proof, name: str, memos: Memo) -> Verification | None:
    """Return what an earlier build proved of the same image. name: what it is called now."""
    data = memos.get(PROOF, proof.image)
    if data is not None:
        with suppress(*MALFORMED):
            known = restored(Verification, json.loads(data))
            return replace(known, subject=name, seconds=0.0, kept="everything")
    return None


def recall_rest(proof: Proof, name: str, memos: Memo) -> Verification | None:
    """Return what holds of all that has changed but the contents of plain files.

    These are looked at now, where they are others. None where one is not in order.
    """
    data = memos.get(PROOF, proof.rest) if proof.rest else None
    if data is None:
        return None
    with suppress(*MALFORMED):
        value = json.loads(data)
        known = restored(Verification, value["verification"])
        before = texts(value["files"])
        changed = {path for path, one in proof.files.items() if before.get(path) != one.identity}
        asked = {path for path in proof.files if path in changed or source_of(path) in changed}
        if all(is_in_order(path, proof.files) for path in sorted(asked)):
            kept = "all but files of the application"
            return replace(known, subject=name, seconds=0.0, kept=kept)
    return None


def recall_imports(proof: Proof, memos: Memo) -> dict[str, Result]:
    """Return what is known of importing all modules, by the name of that check."""
    data = memos.get(PROOF, proof.imports)
    if data is not None:
        with suppress(*MALFORMED):
            return {IMPORTS: restored(Result, json.loads(data))}
    return {}


def recall_modules(proof: Proof, memos: Memo) -> Imported | None:
    """Return which modules need not be imported again, None where all are."""
    return recall_imported(proof.imported, proof.packed, memos)


def keep_modules(
    proof: Proof,
    subject: Subject,
    watched: Watched,
    before: Imported | None,
    verification: Verification,
    memos: Memo,
) -> None:
    """Keep what modules depend on, unless one of them has read a watched file.

    before: what held of earlier imports. verification: of the whole image.
    """
    if watched.loaded and not watched.read:
        known = before.elf - before.changed if before and subject.known else None
        keep_imported(
            *(proof.imported, proof.packed, watched, subject.lookup, before, memos),
            elf=subject.elf.paths if known is None else known,
            how=proof.how,
            results=() if verification.failed else verification.results,
        )


def keep_proof(proof: Proof, verification: Verification, read: Iterable[str], memos: Memo) -> None:
    """Keep what was found, as far as it holds of other images, too.

    read: watched files that a module has read when it was imported.
    """
    untouched = not any(read)
    for result in verification.results:
        made = result.name == IMPORTS and not result.skipped and not result.fails
        if made and untouched and (proof.environment or not result.findings):
            memos.put(PROOF, proof.imports, json.dumps(asdict(result)).encode())
    if not _is_worth(proof, verification):
        return
    whole = asdict(replace(verification, kept=""))
    memos.put(PROOF, proof.image, json.dumps(whole).encode())
    clean = not any(one.findings for one in verification.results if one.name in BY_CONTENT)
    if proof.rest and untouched and clean:
        files = {path: entry.identity for path, entry in proof.files.items()}
        memos.put(PROOF, proof.rest, json.dumps({"verification": whole, "files": files}).encode())


def _is_worth(proof: Proof, verification: Verification) -> bool:
    """Tell whether all was proven, and nothing may come out otherwise the next time."""
    if verification.failed or not is_complete(verification, proof.config):
        return False
    return not any(
        (one.errors and one.name in RUNNING)
        or (one.findings and one.name in COMPARING and not proof.environment)
        for one in verification.results
    )
