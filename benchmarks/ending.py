"""How a benchmark ends: with a result, or with a few words on stderr."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.channel.errors import ChannelError
from benchmarks.demo import say
from benchmarks.running import RunError
from benchmarks.setup.apt import SetupError
from slimpack.errors import SlimpackError


def ended(
    work: Callable[[], None],
    scratch: Path | None = None,
    *,
    interrupted: str = "no result was written",
) -> int:
    """Do a benchmark and return the exit code; the folder `scratch` is gone afterwards.

    interrupted: what became of the result when Ctrl-C ends it.
    """
    try:
        work()
    except (RunError, SetupError, ChannelError, SlimpackError) as problem:
        say(f"error: {problem}")
        return 1
    except KeyboardInterrupt:
        say(f"interrupted; {interrupted}")
        return 130
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return 0
