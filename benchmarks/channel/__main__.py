"""``python -m benchmarks.channel build | lock | list``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.channel.build import DEFAULT_OUT, build_channel, parts_of
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.lock import LOCK_FILE, Lock, load_lock, locked_subdirs, save_lock
from benchmarks.channel.recipes import PLATFORMS, load_channel
from benchmarks.channel.resolve import resolve


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.channel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make or update the channel")
    build.add_argument("--out", type=Path, default=DEFAULT_OUT, help="default: build/channel")
    build.add_argument("--full", action="store_true", help="also build CPython from source")
    build.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME",
        help="also make a group of packages.toml; may be given more than once",
    )
    build.add_argument("--jobs", type=int, help="threads; default: one for each core")
    lock = commands.add_parser("lock", help="pin in channel.lock what has no pin yet")
    lock.add_argument("--upgrade", action="store_true", help="choose all versions anew")
    listing = commands.add_parser("list", help="show what the channel holds")
    listing.add_argument("--full", action="store_true", help="with what --full builds")
    return parser.parse_args(arguments)


def say(line: str) -> None:
    """Progress goes to stderr; stdout stays for results."""
    print(line, file=sys.stderr, flush=True)


def list_packages(*, full: bool) -> None:
    """One line a package: name, version, build, subdir, kind, group."""
    plans = [plan for part in parts_of(load_channel(), PLATFORMS) for plan in part.own]
    for plan in plans:
        if plan.is_slow and not full:
            continue
        folder = plan.place.partition("/")[0]
        name, kind = plan.recipe.package_name, plan.recipe.kind
        columns = f"{name:28} {plan.version:14} {plan.build:26} {folder:9} {kind:13}"
        print(f"{columns} {plan.recipe.group}".rstrip())


def lock_all(*, upgrade: bool) -> None:
    """Pin what has no pin yet, or everything anew, platform by platform."""
    channel, first = load_channel(), Lock()
    known = () if upgrade else locked_subdirs(LOCK_FILE)
    for platform in PLATFORMS:
        kept = load_lock(platform.subdir) if platform.subdir in known else Lock()
        kept = kept.over(first.portable)
        found = resolve(channel.on(platform), platform, kept, say, like=first)
        save_lock(platform.subdir, found)
        first = first if first.wheels else found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one line on stderr."""
    options = parse(arguments)
    try:
        if options.command == "build":
            out, full, groups = options.out, options.full, options.group
            print(build_channel(out, full=full, groups=groups, jobs=options.jobs, report=say))
        elif options.command == "lock":
            lock_all(upgrade=options.upgrade)
        else:
            list_packages(full=options.full)
    except ChannelError as problem:
        say(f"error: {problem}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; what was finished is kept")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
