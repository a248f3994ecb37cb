"""``python -m slimpack``."""

from slimpack.cli import main

main()
