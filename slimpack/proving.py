"""The proof that an image works: made, or known from an earlier build (`slimpack.warm.proof`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.config import Config
from slimpack.cuda.arch import promise
from slimpack.means import Means
from slimpack.oci.image import Image
from slimpack.part import Part
from slimpack.verify.model import Verification
from slimpack.warm.members import known_members
from slimpack.warm.proof import (
    IMPORTS,
    SMOKE,
    Proof,
    keep_modules,
    keep_proof,
    recall_imports,
    recall_modules,
    recall_proof,
    recall_rest,
)

if TYPE_CHECKING:
    from slimpack.verify.context import Watched


def prove(
    image: Image,
    proof: Proof,
    config: Config,
    means: Means,
    *,
    name: str,
    staging: Path | None,
    scratch: Path,
    warm: bool,
) -> Verification:
    """Return what came of all checks of `image`.

    proof: by what it is known; warm: whether an earlier build's counts. name: of the image
    in messages. staging: the environment, None when it was not installed: what could not be
    imported there is no fault of the image. Raises what `slimpack.verify.verifying` does.
    """
    memos = means.memos
    if warm and (known := recall_proof(proof, name, memos)):
        return known
    rest = recall_rest(proof, name, memos) if warm else None
    if rest and not config.verify.smoke:
        keep_proof(proof, rest, (), memos)
        return rest
    from slimpack.oci.rootfs import merged_view
    from slimpack.verify.context import Watched
    from slimpack.verify.opening import open_image, open_prefix
    from slimpack.verify.verifying import verify

    if rest:  # the user's own tests see all
        results = {one.name: one for one in rest.results if one.name != SMOKE}
    else:
        results = recall_imports(proof, memos) if warm else {}
    earlier = recall_modules(proof, memos) if warm and IMPORTS not in results else None
    view = means.layers.healing(lambda: merged_view(image, known_members(memos)))
    subject = means.layers.healing(
        lambda: open_image(image, scratch / "root", name, view=view, progress=means.progress)
    )
    watched = Watched(
        proof.watched, known=earlier.known if earlier else frozenset(), record=bool(proof.imported)
    )
    done = verify(
        subject,
        config.verify,
        scan=False,  # every byte was searched while the layers were written
        before=open_prefix(staging) if staging else None,
        known=results,
        watched=watched,
        progress=means.progress,
    )
    keep_proof(proof, done, watched.read, memos)
    keep_modules(proof, subject, watched, earlier, memos)
    return replace(done, kept=_told(results, watched) if not rest else f"all but {SMOKE}")


def _told(results: Iterable[str], watched: Watched) -> str:
    """Say what was not proven again."""
    asked, total = watched.counts or (0, 0)
    some = (f"imports of all but {asked} of {total} modules",) if asked < total else ()
    return ", ".join((*results, *some))


def raise_if_failed(verification: Verification) -> None:
    """Raise VerifyError before anybody gets what does not work."""
    if verification.failed:
        from slimpack.verify import verifying

        verifying.raise_if_failed(verification)


def promises(part: Part, config: Config, verification: Verification | None) -> Iterator[str]:
    """Say what the image holds less than its user may expect."""
    if part.devices:
        yield promise(part.devices, verified=_on_gpu(config, verification))


def _on_gpu(config: Config, verification: Verification | None) -> bool:
    """Tell whether the user's tests for a GPU ran on one, and all went well."""
    done = [one for one in (verification.results if verification else ()) if one.name == SMOKE]
    asked = any(test.gpu for test in config.verify.smoke)
    return asked and any(not one.skipped and not one.findings for one in done)
