"""``--load [ENGINE]``: an option whose value may be left out."""

from __future__ import annotations

import click

from slimpack.daemon import AUTO, ENGINES

_NAME = "--load"
_VALUES = (AUTO, *ENGINES)

load_option = click.option(
    _NAME,
    "engine",
    type=click.Choice(_VALUES),
    is_flag=False,
    flag_value=AUTO,
    default=None,
    metavar="[ENGINE]",
    help=f"Load it into a container engine: {', '.join(ENGINES)}, or {AUTO} [default: {AUTO}, "
    "the one that a variable names or that answers].",
)
"""Gives a command of the class `LoadingCommand` the argument `engine`, None without --load."""


class LoadingCommand(click.Command):
    """A command with `load_option`: ``--load image.tar`` does not take the file for an engine.

    click gives an option with an optional value whatever stands behind it.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say which engine, where nobody did."""
        return super().parse_args(ctx, with_engine(args))


def with_engine(args: list[str]) -> list[str]:
    """Return arguments in which every ``--load`` before ``--`` has its value."""
    end = args.index("--") if "--" in args else len(args)
    found = []
    for number, word in enumerate(args):
        behind = args[number + 1 : number + 2]
        if word == _NAME and number < end and behind not in [[value] for value in _VALUES]:
            word = f"{_NAME}={AUTO}"
        found.append(word)
    return found
