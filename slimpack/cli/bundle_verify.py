"""``slimpack bundle verify``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from slimpack.bundle.findings import Finding
from slimpack.bundle.verify import Asked, Verification, verify_bundle
from slimpack.cli.table import megabytes, printable
from slimpack.cli.telling import telling_options
from slimpack.cli.trusting import trust_options
from slimpack.errors import BundleError
from slimpack.oci.config import rfc3339
from slimpack.progress import Progress

_MOST = 50  # findings that are shown


@click.command("verify", short_help="Prove that a bundle is whole, complete and genuine.")
@click.argument("text", metavar="FILE")
@trust_options
@click.option("--deep", is_flag=True, help="Unpack every layer, too, and compare its diffID.")
@telling_options("Print nothing when all is well.")
def verify_command(
    text: str,
    key: Path | None,
    not_older_than: str | None,
    deep: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Prove that a bundle is whole, complete, and of whom it should be.

    FILE is a bundle, the list of its volumes (*.volumes.json) or the name of the tar that was
    cut into them, a pipe, or - for standard input. It is read once, from its beginning to its
    end, and nothing else is needed: no network, no registry. All that is wrong is told, with
    its place, and which volumes to bring again; the exit code is then 14.
    """
    asked = Asked(key, not_older_than, deep)
    bundle = sys.stdin.buffer if text == "-" else Path(text)
    result = verify_bundle(bundle, asked, progress=progress)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    elif not quiet or not result.passed:
        click.echo(_text(result))
    if not result.passed:
        raise BundleError(
            f"{printable(result.what, 300)}: {_number(result.count, 'fault')}", hint=_hint(result)
        )


def _text(result: Verification) -> str:
    lines = [_line(finding) for finding in result.findings[:_MOST]]
    if result.count > _MOST:
        lines.append(f"... and {result.count - _MOST} more (with --json)")
    statement = result.statement
    if statement is not None:
        names = (", ".join(image.names) or image.digest for image in statement.images)
        lines += [f"image     {printable(name, 200)}" for name in names]
        lines.append(f"members   {result.verified} of {len(statement.members)} are whole")
        if statement.created is not None:
            lines.append(f"created   {rfc3339(statement.created)}")
        lines.append(f"statement {result.digest}")
    if result.required:
        lines.append(
            f"required  {_number(len(result.required), 'blob')} that must be there already"
        )
    lines.append(f"signature {_signature(result)}")
    if result.volumes:
        whole = result.volumes - len(result.bring)
        lines.append(f"volumes   {whole} of {result.volumes} are whole")
    lines.append(f"read      {megabytes(result.read)} MB")
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    parts = [printable(finding.path, 200)] if finding.path else []
    if finding.what:
        parts.append(f"({printable(finding.what, 200)})")
    place = ""
    if finding.begin is not None and finding.end is not None:
        place = f" [bytes {finding.begin} to {finding.end}]"
    if finding.volumes:
        shown = ", ".join(printable(name, 100) for name in finding.volumes[:5])
        more = len(finding.volumes) - 5
        place += f" [in {shown}{f' and {more} more' if more > 0 else ''}]"
    subject = f"{' '.join(parts)}: " if parts else ""
    return f"{finding.kind:<9} {subject}{printable(finding.message, 500)}{place}"


def _signature(result: Verification) -> str:
    return {
        "none": "none",
        "not checked": "not checked: give the sender's public key with --key",
        "good": "good: made with the given key",
        "bad": "BAD",
    }[result.signature]


def _hint(result: Verification) -> str:
    if result.bring and len(result.bring) < result.volumes:
        names = ", ".join(printable(name, 100) for name in result.bring[:20])
        return f"bring {names} again; the other volumes are whole"
    kinds = {finding.kind for finding in result.findings}
    if kinds <= {"signature"}:
        return "do not use the bundle before its sender has told you why"
    if kinds <= {"age"}:
        return (
            "an old bundle may have been sent again; ask its sender for the latest one, with its "
            "date (`slimpack bundle create --created`)"
        )
    return "bring the bundle again, or ask its sender for another one"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
