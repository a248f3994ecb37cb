"""``slimpack verify``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import click

from slimpack.cache import default_cache
from slimpack.cli.images import here
from slimpack.cli.options import config_option, configuration
from slimpack.cli.table import printable, table
from slimpack.cli.telling import insecure_option, platform_option, telling_options
from slimpack.oci.config import Platform
from slimpack.platforms import resolve
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.sandbox.choose import NAMES
from slimpack.sources import image_source
from slimpack.verify.checks import CHECKS
from slimpack.verify.model import Finding, Result, Verification
from slimpack.verify.opening import open_image, open_subject
from slimpack.verify.prefixes import forbidden_paths
from slimpack.verify.subject import Subject
from slimpack.verify.verifying import NONE, choose_checks, raise_if_failed, verify

_MOST = 20  # findings of one check that are shown


def _list_checks(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo("\n".join(_explained()))
        context.exit()


@click.command("verify", short_help="Prove that an image, environment or archive works.")
@click.argument("text", metavar="IMAGE|PREFIX|ARCHIVE")
@click.option("--check", "only", multiple=True, metavar="NAME", help="Only this check.")
@click.option("--skip", multiple=True, metavar="NAME", help="Not this check.")
@click.option(
    "--sandbox",
    type=click.Choice(("auto", *NAMES, NONE)),
    help="How programs are run; none: not at all [default: auto, the first that works].",
)
@click.option(
    "--before",
    metavar="IMAGE|PREFIX|ARCHIVE",
    help="The same before slimming: what failed there is no error here.",
)
@config_option
@platform_option("Which image of several, like linux/amd64.")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_checks,
    help="Explain every check, and what to do about its findings.",
)
@insecure_option
@telling_options("Print nothing when all is well.")
def verify_command(
    text: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    sandbox: str | None,
    before: str | None,
    config_file: Path | None,
    platform: str | None,
    ref: str,
    insecure: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Prove that an image, an environment or a portable archive works.

    An image may lie in a registry (HOST/REPOSITORY:TAG).
    Libraries, interpreters, entrypoint, bytecode, modes, secrets, records and licences
    are checked, every module is imported, and the tests under [[verify.smoke]] run.
    Programs of an image run in a sandbox, without network; those of an environment or
    an archive on this machine: take --sandbox none for one that you do not trust.
    """
    config = configuration(config_file).verify
    config = config if sandbox is None else replace(config, sandbox=sandbox)
    checks = choose_checks(only, skip)
    wanted = Platform.parse(resolve(platform)) if platform else None
    cache = default_cache()
    with cache.scratch() as scratch, Registries(insecure=insecure) as registries:
        opening = _Opening(registries, wanted, progress)
        subject = opening.open(text, scratch / "root", ref)
        earlier = opening.open(before, scratch / "before") if before else None
        result = verify(
            subject,
            config,
            checks=checks,
            forbidden=forbidden_paths([str(cache.root)], ()) if subject.kind == "image" else (),
            before=(lambda: earlier) if earlier else None,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    elif not quiet or not result.passed:
        click.echo(_text(result))
    raise_if_failed(result)


@dataclass(frozen=True)
class _Opening:
    registries: Registries
    platform: Platform | None
    progress: Progress

    def open(self, text: str, folder: Path, ref: str = "") -> Subject:
        """Open what is on this machine by its content, an image in a registry by its name."""
        source = image_source(text)
        if isinstance(source, Path):
            return open_subject(
                source, folder, platform=self.platform, ref=ref, progress=self.progress
            )
        image = here(source, self.registries, self.progress, self.platform, ref)
        return open_image(image, folder, text, progress=self.progress)


def _text(result: Verification) -> str:
    rows = [
        (one.name, _outcome(one), f"{one.seconds:.1f}", printable(one.skipped, 100))
        for one in result.results
    ]
    rows.append(("together", "", f"{result.seconds:.1f}", ""))
    lines = ["", table(("check", "result", "seconds", ""), rows, right=(2,))]
    for one in result.results:
        if one.findings:
            lines += ["", *_findings(one)]
    counts = result.counts()
    lines += [
        "",
        f"subject   {result.subject} ({result.kind}, {result.platform})",
        f"sandbox   {result.sandbox or 'none: nothing was run'}",
        f"findings  {counts['error']} errors, {counts['warning']} warnings, {counts['info']} notes",
    ]
    return "\n".join(lines)


def _outcome(result: Result) -> str:
    if result.skipped:
        return "skipped"
    if result.passed:
        return "ok"
    return "ignored" if result.ignored else "FAILED"


def _findings(result: Result) -> list[str]:
    worse = any(result.severity_of(finding) != "info" for finding in result.findings)
    lines = [f"{result.name}: {result.explanation}" if worse else f"{result.name}:"]
    order = {"error": 0, "warning": 1, "info": 2}
    findings = sorted(result.findings, key=lambda one: order[result.severity_of(one)])
    fix = ""
    for finding in findings[:_MOST]:
        lines.append(_line(result, finding))
        if (finding.fix or result.fix) != fix and result.severity_of(finding) != "info":
            fix = finding.fix or result.fix
            lines.append(f"           fix: {printable(fix, 300)}")
    if len(findings) > _MOST:
        lines.append(f"  ... and {len(findings) - _MOST} more (all of them with --json)")
    return lines


def _line(result: Result, finding: Finding) -> str:
    where = f"{printable(finding.path, 200)}: " if finding.path else ""
    owner = f" [{printable(finding.package)}]" if finding.package else ""
    label = "note" if result.severity_of(finding) == "info" else result.severity_of(finding)
    return f"  {label:<7}  {where}{printable(finding.message, 500)}{owner}"


def _explained() -> list[str]:
    lines = []
    for check in CHECKS:
        lines += [check.name, f"  {check.explanation}", f"  fix: {check.fix}", ""]
    return lines[:-1]
