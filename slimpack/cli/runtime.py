"""``slimpack runtime``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from slimpack.cache import default_cache
from slimpack.cli.progress import choose
from slimpack.cli.table import table
from slimpack.cli.telling import platform_option
from slimpack.debian import find_mirrors, resolve_base
from slimpack.platforms import resolve
from slimpack.runtimes import list_runtimes, load_runtime, pin_runtime


@click.group("runtime")
def runtime_group() -> None:
    """Look at the runtimes: what lies below the environment."""


@runtime_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(as_json: bool) -> None:
    """List the runtimes that ship with slimpack."""
    runtimes = list_runtimes()
    if as_json:
        click.echo(json.dumps([asdict(runtime) for runtime in runtimes], indent=2, default=dict))
        return
    rows = [(runtime.name, runtime.description) for runtime in runtimes]
    click.echo(table(("runtime", "description"), rows, right=()))


@runtime_group.command("show")
@click.argument("name")
@click.option(
    "--pinned", is_flag=True, help="Print a runtime file with today's exact package versions."
)
@platform_option(
    "With --pinned: for which, more than once for several [default: this machine's].",
    multiple=True,
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_command(name: str, platform: tuple[str, ...], pinned: bool, as_json: bool) -> None:
    """Show the runtime NAME, or that of a .toml file.

    The output of --pinned can be saved and used with `slimpack build --runtime
    FILE`: such a base is the same at any time.
    """
    if pinned and as_json:
        raise click.UsageError("--pinned prints a runtime file, which is TOML: leave out --json")
    if platform and not pinned:
        raise click.UsageError("--platform goes with --pinned")
    runtime = load_runtime(name if "/" not in name and not name.endswith(".toml") else Path(name))
    if pinned:
        wanted = map(resolve, platform or ("",))
        suite = runtime.debian.suites[0] if runtime.debian else ""
        resolved = {
            one: resolve_base(
                runtime,
                one,
                cache_dir=default_cache().root,
                mirrors=find_mirrors(suite),
                progress=choose(),
            ).packages
            for one in wanted
        }
        click.echo(pin_runtime(runtime, resolved), nl=False)
        return
    data = json.loads(json.dumps(asdict(runtime), default=dict))
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return
    for key, value in data.items():
        click.echo("\n".join(_lines(key, value)))


def _lines(key: str, value: object, indent: str = "") -> list[str]:
    if isinstance(value, dict):
        below = [line for name, item in value.items() for line in _lines(name, item, indent + "  ")]
        return [f"{indent}{key}:", *below] if below else []
    if isinstance(value, list):
        return [f"{indent}{key}:", *(f"{indent}  {item}" for item in value)] if value else []
    return [f"{indent}{key}: {value}"] if value else []
