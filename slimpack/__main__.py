"""Where the program starts: ``slimpack``, ``conda slimpack``, ``python -m slimpack``."""

from __future__ import annotations

import gc
import sys

_ALLOCATIONS = 50_000
"""Containers more than there were, after which Python looks for unreachable ones; 700 is usual.

A build makes some for each file that all live to its end: looking at them again and again finds
nothing.
"""


def main() -> None:
    """Import the command line and run it.

    The import takes half a second, and Ctrl-C may come in it.
    """
    gc.set_threshold(_ALLOCATIONS, 50, 100)
    try:
        from slimpack.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
