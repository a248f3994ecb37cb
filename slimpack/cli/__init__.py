"""The command line: the only place that prints or exits.

Exit codes are those of `slimpack.errors`, 130 for Ctrl-C (docs/exit-codes.md).
"""

from __future__ import annotations

import signal
import sys

import click

from slimpack import __version__
from slimpack.cli.attest import attest_command
from slimpack.cli.budget import budget_command
from slimpack.cli.build import build_command
from slimpack.cli.cache import cache_group
from slimpack.cli.diff import diff_command
from slimpack.cli.dockerfile import dockerfile_command
from slimpack.cli.inspect import inspect_command
from slimpack.cli.load import load_command
from slimpack.cli.lock import lock_command
from slimpack.cli.login import login_command, logout_command
from slimpack.cli.pack import pack_command
from slimpack.cli.push import pull_command, push_command
from slimpack.cli.rebase import rebase_command
from slimpack.cli.report import report_command
from slimpack.cli.runtime import runtime_group
from slimpack.cli.sbom import sbom_command
from slimpack.cli.sign import sign_command
from slimpack.cli.slim import slim_command, why_command
from slimpack.cli.trace import trace_command
from slimpack.cli.unpack import unpack_command
from slimpack.cli.verify import verify_command
from slimpack.errors import SlimpackError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="slimpack")
def cli() -> None:
    """Turn a conda environment into a small, reproducible image or a portable archive."""


cli.add_command(attest_command)
cli.add_command(budget_command)
cli.add_command(build_command)
cli.add_command(cache_group)
cli.add_command(diff_command)
cli.add_command(dockerfile_command)
cli.add_command(inspect_command)
cli.add_command(load_command)
cli.add_command(lock_command)
cli.add_command(login_command)
cli.add_command(logout_command)
cli.add_command(pack_command)
cli.add_command(pull_command)
cli.add_command(push_command)
cli.add_command(rebase_command)
cli.add_command(report_command)
cli.add_command(runtime_group)
cli.add_command(sbom_command)
cli.add_command(sign_command)
cli.add_command(slim_command)
cli.add_command(trace_command)
cli.add_command(unpack_command)
cli.add_command(verify_command)
cli.add_command(why_command)


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
