"""What verification found of an environment, for images that differ in their application.

Importing every module takes longest of all checks. Its outcome follows from the layers
below the application's, from how the image is run, and from which files the application
has: one of them may stand in front of a module of a package, in the working directory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict

from slimpack import app
from slimpack.cache.memo import Memo, digest_of
from slimpack.config import VerifyConfig
from slimpack.layering import Layering
from slimpack.oci.image import Image
from slimpack.platforms import here
from slimpack.verify.model import Result, Verification
from slimpack.warm.code import own_code
from slimpack.warm.kinds import PROOF
from slimpack.warm.restore import restored

IMPORTS = "imports"
"""The check whose outcome is kept."""


def proof_key(image: Image, layering: Layering, paths: Iterable[str], config: VerifyConfig) -> str:
    """Return by what the outcome is kept. layering: of `image`. paths: of the application."""
    below = len(image.layers) - len(layering.layers)
    layers = [
        *image.layers[:below],
        *(
            layer
            for layer, plan in zip(layering.layers, layering.plans, strict=True)
            if plan.owners != (app.OWNER,)
        ),
    ]
    run = image.config
    return digest_of(
        own_code(),
        here(),
        [layer.diff_id for layer in layers],
        [run.architecture, run.user, run.workdir, [list(pair) for pair in run.env]],
        [config.sandbox, list(config.skip_imports), list(config.ignore)],
        sorted(paths),
    )


def known_proof(key: str, memos: Memo) -> dict[str, Result]:
    """Return what is known, by the name of its check."""
    data = memos.get(PROOF, key)
    if data is not None:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            return {IMPORTS: restored(Result, json.loads(data))}
    return {}


def keep_proof(key: str, verification: Verification, memos: Memo) -> None:
    """Keep the outcome, if the check was made and is no failure."""
    for result in verification.results:
        if result.name == IMPORTS and not result.skipped and not result.fails:
            memos.put(PROOF, key, json.dumps(asdict(result)).encode())
