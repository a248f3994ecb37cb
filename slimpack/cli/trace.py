"""``slimpack trace``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from slimpack.cli.images import image_options
from slimpack.cli.telling import telling_options
from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.oci.image import Image
from slimpack.progress import Progress
from slimpack.sandbox import Bind, choose_sandbox
from slimpack.sources import Source
from slimpack.trace.record import MAX_TRACE, merge, read_trace
from slimpack.trace.run import SANDBOXES, Traced, Workload, trace_image
from slimpack.trace.service import Request


@click.command("trace", short_help="Record which files of an image a workload needs.")
@image_options
@click.argument("command", nargs=-1, metavar="[-- COMMAND]...")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default="trace.json",
    show_default=True,
    help="Where the trace is written.",
)
@click.option("--append", is_flag=True, help="Add to the trace in FILE, of the same image.")
@click.option(
    "--request",
    "requests",
    multiple=True,
    metavar="REQUEST",
    help="COMMAND is a service: ask it, then stop it. URL, or 'METHOD URL BODY'. "
    "More than once for several, in order.",
)
@click.option("--ready-url", metavar="URL", help="Asked until the service answers.")
@click.option("--for", "seconds", type=float, metavar="SECONDS", help="Stop COMMAND after a time.")
@click.option(
    "--timeout",
    type=float,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="After that it has failed.",
)
@click.option(
    "-e", "--env", "variables", multiple=True, metavar="NAME=VALUE", help="Variable for COMMAND."
)
@click.option(
    "--bind",
    "binds",
    multiple=True,
    metavar="HOST:INSIDE",
    help="File or folder of this machine, shown read-only at an absolute path.",
)
@click.option("--network", is_flag=True, help="Let COMMAND use this machine's network.")
@click.option(
    "--sandbox",
    type=click.Choice(("auto", *SANDBOXES)),
    default="auto",
    show_default=True,
    help="How COMMAND is kept apart from this machine.",
)
@telling_options("Print nothing.")
def trace_command(
    source: Source,
    image: Image,
    ref: str,
    command: tuple[str, ...],
    output: Path,
    append: bool,
    requests: tuple[str, ...],
    ready_url: str | None,
    seconds: float | None,
    timeout: float,
    variables: tuple[str, ...],
    binds: tuple[str, ...],
    network: bool,
    sandbox: str,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Run COMMAND in IMAGE, and record which files it opens.

    The record is for `slimpack build --profile traced`. COMMAND is the whole command line
    [default: the image's]. What it does is what will be sure to work: let it do all of its work.
    strace follows it into a sandbox; nothing has to be in the image.
    """
    workload = Workload(
        argv=command,
        env=tuple(_variable(text) for text in variables),
        binds=tuple(_bind(text) for text in binds),
        requests=tuple(map(Request.parse, requests)),
        ready=Request.parse(ready_url) if ready_url else None,
        seconds=seconds,
        timeout=timeout,
        network=network,
    )
    earlier = [read_trace(_content(output), str(output))] if append and output.exists() else []
    with tempfile.TemporaryDirectory(prefix="slimpack-trace-") as scratch:
        Path(scratch).chmod(0o755)  # the image's user has to get in
        chosen = choose_sandbox(sandbox, str(image.platform))
        traced = trace_image(image, workload, chosen, scratch=Path(scratch), progress=progress)
    trace = merge([*earlier, traced.trace])
    with atomic_file(output) as stream:
        stream.write(trace.to_json())
    if as_json:
        click.echo(json.dumps(_summary(traced, output), indent=2))
    elif not quiet:
        rows = _summary(traced, output).items()
        click.echo("\n".join(f"{name:<12}{value}" for name, value in rows))


def _summary(traced: Traced, output: Path) -> dict[str, object]:
    trace = traced.trace
    return {
        "opened": len(trace.opened),
        "asked for": len(trace.statted),
        "listed": len(trace.listed),
        "unresolved": traced.unresolved,
        "seconds": round(traced.finished.seconds, 1),
        "written": str(output),
    }


def _content(path: Path) -> bytes:
    if path.stat().st_size > MAX_TRACE:
        raise InputError(f"{path}: too large for a trace")
    return path.read_bytes()


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--env: expected NAME=VALUE, got {text[:200]!r}")
    return name, value


def _bind(text: str) -> Bind:
    host, _, inside = text.rpartition(":")
    if not host or not inside.startswith("/"):
        raise InputError(f"--bind: expected HOST:INSIDE, got {text[:200]!r}")
    return Bind(Path(host), inside)
