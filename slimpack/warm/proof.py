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
from slimpack.cache.kinds import PROOF
from slimpack.cache.memo import MALFORMED, Memo, digest_of
from slimpack.config import VerifyConfig
from slimpack.layering import Layering
from slimpack.oci.image import Image
from slimpack.platforms import here
from slimpack.tree import Entry, under
from slimpack.verify.model import Result, Verification
from slimpack.warm.code import own_code
from slimpack.warm.restore import restored

# What Python runs at start, wherever it finds it (`site`).
_AT_START = ("sitecustomize.py", "usercustomize.py")

IMPORTS = "imports"
"""The check whose outcome is kept."""


def proof_key(
    image: Image,
    layering: Layering,
    application: Iterable[Entry],
    prefix: str,
    config: VerifyConfig,
) -> str:
    """Return by what the outcome is kept. layering: of `image`. prefix: of the environment."""
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
        sorted(_told(entry, under(prefix, "")) for entry in application),
    )


def _told(entry: Entry, inside: str) -> list[str]:
    """Return a path; with what is there if it is in the environment, or runs at Python's start."""
    name = entry.path.rpartition("/")[2]
    if entry.path.startswith(inside) or name in _AT_START:
        return [entry.path, entry.identity or entry.link]
    return [entry.path]


def known_proof(key: str, memos: Memo) -> dict[str, Result]:
    """Return what is known, by the name of its check."""
    data = memos.get(PROOF, key)
    if data is not None:
        with suppress(*MALFORMED):
            return {IMPORTS: restored(Result, json.loads(data))}
    return {}


def keep_proof(key: str, verification: Verification, memos: Memo) -> None:
    """Keep the outcome, if the check was made and is no failure."""
    for result in verification.results:
        if result.name == IMPORTS and not result.skipped and not result.fails:
            memos.put(PROOF, key, json.dumps(asdict(result)).encode())
