"""Where the program starts: ``slimpack``, ``conda slimpack``, ``python -m slimpack``."""

from __future__ import annotations

import sys


def main() -> None:
    """Import the command line and run it.

    The import takes half a second, and Ctrl-C may come in it.
    """
    try:
        from slimpack.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
