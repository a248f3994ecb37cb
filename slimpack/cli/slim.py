"""``slimpack slim`` and ``slimpack why``: what would go, and why something is there."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from slimpack.cache import default_cache
from slimpack.cli.options import environment_options
from slimpack.cli.slimming import slim_options, slim_table
from slimpack.cli.table import megabytes, table
from slimpack.cli.telling import telling_options
from slimpack.config import DEFAULT_PROFILE, Config
from slimpack.explain import PackageUse, Preview, preview, why
from slimpack.progress import Progress
from slimpack.result import Slimmed
from slimpack.slim.needs import Need
from slimpack.slimming import rules_of


@click.command("slim", short_help="Show what slimming would take from an environment.")
@click.option(
    "--files", is_flag=True, help="Every path, with bytes, package and rule, tab between."
)
@click.option(
    "--rules", is_flag=True, help="The rules of the profile with their reasons; no INPUT."
)
@environment_options
@slim_options(DEFAULT_PROFILE)
@telling_options("Print nothing but errors.")
def slim_command(
    config: Config, files: bool, rules: bool, quiet: bool, as_json: bool, progress: Progress
) -> None:
    """Show what slimming would take from the environment of INPUT; nothing is built.

    Packages that no file of the rest links to or imports are proposed: `slimpack why
    PACKAGE INPUT` tells who asks for them, and --drop-package takes them out.
    """
    if rules:
        click.echo(_rules(config, as_json=as_json))
        return
    found = preview(config, cache=default_cache(), progress=progress)
    if quiet:
        return
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    elif files:
        for change in found.changes:
            click.echo(f"{change.path}\t{change.bytes}\t{change.owner}\t{change.rule}")
    else:
        click.echo(_summary(found))


@click.command("why", short_help="Show who needs a package of an environment.")
@click.argument("package")
@environment_options
@slim_options(DEFAULT_PROFILE)
@telling_options("Print only yes or no.")
def why_command(
    config: Config, package: str, quiet: bool, as_json: bool, progress: Progress
) -> None:
    """Show who needs PACKAGE in the environment of INPUT, and by what.

    Libraries count by what the loader is told (DT_NEEDED), modules by what sources
    import; that metadata asks for a package proves no use of it.
    """
    found = why(config, package, cache=default_cache(), progress=progress)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    elif quiet:
        click.echo("yes" if found.needed else "no")
    else:
        click.echo(_why(found))


def _rules(config: Config, *, as_json: bool) -> str:
    rules = rules_of(config.slim, config.slim.profile or DEFAULT_PROFILE)
    if as_json:
        return json.dumps(asdict(rules), indent=2)
    rows = [(rule.name, rule.profile or "yours", rule.action, rule.reason) for rule in rules.rules]
    keeps = [(keep.name, "", "keep", keep.reason) for keep in rules.keeps]
    return table(("rule", "profile", "action", "reason"), [*rows, *keeps])


def _summary(found: Preview) -> str:
    reasons = {rule.name: rule.reason for rule in found.record.rules}
    lines = [f"input     {found.source}", "", slim_table(Slimmed.of(found.record), reasons)]
    spare = [use for use in found.packages if not use.needed and use.size]
    if spare:
        rows = [
            (use.name, megabytes(use.size), "data" if use.data else "", _askers(use))
            for use in spare
        ]
        lines += [
            "",
            "Nothing that stays links to these packages or imports them. Those with data may be",
            "read by their path all the same. --drop-package NAME takes one out.",
            "",
            table(("package", "MB", "", "asked for by the metadata of"), rows, right=(1,)),
        ]
    lines += [f"note: {note}" for note in found.notes]
    return "\n".join(lines)


def _askers(use: PackageUse) -> str:
    names = [need.by for need in use.needs if need.kind == "metadata"]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _why(use: PackageUse) -> str:
    lines = [f"{use.name}  {megabytes(use.size)} MB"]
    for kind, verb in (
        ("library", "links to"),
        ("import", "imports"),
        ("lazy import", "may import"),
        ("metadata", "asks for it in its metadata"),
    ):
        lines += [
            f"  {need.by} {verb} {need.what}".rstrip() + _where(need)
            for need in use.needs
            if need.kind == kind
        ]
    if use.wanted:
        lines.append("  no package depends on it: it was asked for itself")
    elif not use.needs:
        lines.append("  nobody needs it")
    if use.needed:
        lines.append("It is needed.")
    else:
        lines.append(
            "Nothing that stays needs it"
            + (", unless it is read by its path: it holds data." if use.data else ".")
            + f" To leave it out: --drop-package {use.name.removeprefix('pypi:')}"
        )
    return "\n".join(lines)


def _where(need: Need) -> str:
    if not need.files:
        return ""
    more = " ..." if len(need.files) > 2 else ""
    return f"  ({', '.join(need.files[:2])}{more})"
