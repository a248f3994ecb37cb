"""The command line: the only place that prints or exits.

Exit codes are those of `slimpack.errors`, 130 for Ctrl-C (docs/exit-codes.md).
"""

from __future__ import annotations

import signal
import sys

import click

from slimpack import __version__
from slimpack.cli.lazy import LazyCommands
from slimpack.errors import SlimpackError

# Name -> where it is.
_COMMANDS = {
    "attest": "attest:attest_command",
    "budget": "budget:budget_command",
    "build": "build:build_command",
    "bundle": "bundle:bundle_group",
    "cache": "cache:cache_group",
    "diff": "diff:diff_command",
    "dockerfile": "dockerfile:dockerfile_command",
    "inspect": "inspect:inspect_command",
    "load": "load:load_command",
    "lock": "lock:lock_command",
    "login": "login:login_command",
    "logout": "login:logout_command",
    "pack": "pack:pack_command",
    "pull": "pull:pull_command",
    "push": "push:push_command",
    "rebase": "rebase:rebase_command",
    "report": "report:report_command",
    "rootfs": "rootfs:rootfs_command",
    "runtime": "runtime:runtime_group",
    "sbom": "sbom:sbom_command",
    "sign": "sign:sign_command",
    "slim": "slim:slim_command",
    "trace": "trace:trace_command",
    "unpack": "unpack:unpack_command",
    "verify": "verify:verify_command",
    "why": "slim:why_command",
}


@click.group(
    commands=LazyCommands(_COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="slimpack")
def cli() -> None:
    """Turn a conda environment into a small, reproducible image or a portable archive."""


def main() -> None:
    """Run the command line and exit; errors of ours are messages, never tracebacks."""
    arguments = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As exceptions they clean up like Ctrl-C does.
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    # conda (>= 4.4) hands `conda slimpack ...` to conda-slimpack with the rest as it is.
    try:
        cli.main(args=arguments, prog_name="slimpack", standalone_mode=False)
    except SlimpackError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _show(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); there is nobody to tell.
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        sys.exit(1)


def _show(error: click.ClickException) -> None:
    """Print click's errors as ours are; a command without arguments shows its help."""
    context = getattr(error, "ctx", None)
    if context is None or isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    click.echo(f"error: {error.format_message()}", err=True)
    click.echo(f"hint: see `{context.command_path} --help`", err=True)
