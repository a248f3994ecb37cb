"""Starting the solver's process before anybody knows what to ask it.

Meanwhile modules are imported and the base is found, which takes as long.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path


def solver_ahead(engine: str, inputs: Sequence[str]) -> AbstractContextManager[None]:
    """Return what has the solver of a build started, and ended with it.

    engine: its name, or auto. inputs: of the build. Whether they will be solved is guessed from
    names: a wrong guess costs a moment.
    """
    embedded = engine == "rattler" or (engine == "auto" and shutil.which("micromamba") is None)
    if not embedded or not all(map(_is_specification, inputs)):
        return nullcontext()
    from slimpack.env.rattler.process import standing

    return standing()


def _is_specification(text: str) -> bool:
    """Tell whether an input looks as if it had to be solved: match specs, an environment.yml."""
    path = Path(text)
    if not path.exists():
        return True
    return path.is_file() and path.suffix in (".yml", ".yaml") and "lock" not in path.name
