"""Starting the solver's process before anybody knows what to ask it.

Meanwhile modules are imported and the base is found, which takes as long.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from slimpack.config import EnvConfig


def solver_ahead(env: EnvConfig) -> AbstractContextManager[None]:
    """Return what has the solver of a build started, and ended with it.

    Whether it will be asked is guessed from names: a wrong guess costs a moment.
    """
    embedded = env.engine == "rattler" or (
        env.engine == "auto" and shutil.which("micromamba") is None
    )
    if not embedded or not all(map(_is_specification, env.inputs)):
        return nullcontext()
    from slimpack.env.rattler.process import standing

    return standing()


def _is_specification(text: str) -> bool:
    """Tell whether an input looks as if it had to be solved: match specs, an environment.yml."""
    path = Path(text)
    if not path.exists():
        return True
    return path.is_file() and path.suffix in (".yml", ".yaml") and "lock" not in path.name
