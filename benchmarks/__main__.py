"""``python -m benchmarks``: measure, compare two runs, draw and write what was measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.catalogue import methods, workload_names
from benchmarks.compare import EXACT, NOISY, as_json, as_text, changes, is_regression
from benchmarks.demo import ROOT, say
from benchmarks.ending import ended
from benchmarks.gate import gate, update
from benchmarks.parts import PARTS, PICTURES, RESULTS, Ask, rewrite, run
from benchmarks.records import read_all
from benchmarks.summaries import fill_all
from benchmarks.targets import PAGE, markdown, read_targets, verdicts
from slimpack.files import atomic_file

_ONE = "Only this one; more than once for several."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure slimpack beside what people use today."""


@main.command("run")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--workload", "names", multiple=True, type=click.Choice(workload_names()), help=_ONE)
@click.option("--method", "ways", multiple=True, type=click.Choice(list(methods())), help=_ONE)
@click.option("--case", "cases", multiple=True, help=_ONE)
@click.option("--runs", type=click.IntRange(1), help="Of all that takes time.")
@click.option("--quick", is_flag=True, help="What shows most in a few minutes.")
@click.option("--full", is_flag=True, help="Of scaling, the largest sizes, too: an hour, 40 GB.")
@click.option("--channel", default="", help="A channel's name or URL, instead of choosing one.")
@click.option(
    "--results",
    default=RESULTS,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what is measured.",
)
def run_command(
    parts: tuple[str, ...],
    names: tuple[str, ...],
    ways: tuple[str, ...],
    cases: tuple[str, ...],
    runs: int | None,
    quick: bool,
    full: bool,
    channel: str,
    results: Path,
) -> None:
    """Measure PARTS, all of them without a name; what is not measured stays as it was."""
    ask = Ask(names, ways, cases, runs, quick, full, channel)
    results.mkdir(parents=True, exist_ok=True)

    def work() -> None:
        for part in parts or PARTS:
            say(f"part {part}")
            run(part, ask, results)
            click.echo((results / f"{part}.md").read_text(encoding="utf-8"))

    _finish(work, interrupted="what was measured until now is in the results")


@main.command("compare")
@click.argument("old", type=click.Path(path_type=Path, exists=True))
@click.argument("new", type=click.Path(path_type=Path, exists=True))
@click.option("--exact", default=EXACT, show_default=True, help="Ratio for sizes and counts.")
@click.option("--noisy", default=NOISY, show_default=True, help="Ratio for seconds and memory.")
@click.option("--all", "everything", is_flag=True, help="Show also what did not change.")
@click.option("--json", "machine", is_flag=True, help="For machines.")
def compare_command(
    old: Path, new: Path, exact: float, noisy: float, everything: bool, machine: bool
) -> None:
    """Compare two runs, files or folders; exit code 3 when something got worse.

    Only parts that both have are compared.
    """

    def work() -> None:
        found = changes(read_all(old), read_all(new), exact=exact, noisy=noisy)
        click.echo(as_json(found) if machine else as_text(found, everything=everything))
        if is_regression(found):
            sys.exit(3)

    _finish(work)


@main.command("report")
@click.option(
    "--results",
    default=RESULTS,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of what was measured.",
)
@click.option(
    "--pictures",
    default=PICTURES,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for pictures.",
)
def report_command(results: Path, pictures: Path) -> None:
    """Write tables and pictures anew from the results, and measure nothing."""

    def work() -> None:
        written = [part for part in PARTS if rewrite(part, results)]
        say(f"written: {', '.join(written) or 'nothing, there are no results'}")
        if written:
            from benchmarks.plots import draw_all  # which nobody else needs

            found = read_all(results)
            page = markdown(verdicts(read_targets(), found))
            with atomic_file(results / PAGE, durable=False) as stream:
                stream.write(page.encode())
            if results.resolve() == RESULTS.resolve():  # documents show those that are committed
                say(f"filled: {', '.join(one.name for one in fill_all(found)) or 'nothing new'}")
            say(f"drawn: {', '.join(one.name for one in draw_all(results, pictures))}")

    _finish(work)


@main.command("gate")
@click.option("--workload", "names", multiple=True, type=click.Choice(workload_names()), help=_ONE)
@click.option("--update", "writes", is_flag=True, help="Write what is measured into the budget.")
def gate_command(names: tuple[str, ...], writes: bool) -> None:
    """Hold sizes, layers, bytes sent again and digests to benchmarks/budget.toml.

    Exit code 3 when one is another; times are not looked at.
    """
    folder = ROOT / "build" / "gate"

    def work() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        found = update(folder, names=names) if writes else gate(folder, names=names)
        for line in found:
            click.echo(line)
        if found and not writes:
            say("If this is meant: python -m benchmarks gate --update, and say why in the commit.")
            sys.exit(3)
        say("The budget is written." if writes else "Everything is within the budget.")

    _finish(work, scratch=folder)


def _finish(
    work: Callable[[], None],
    *,
    scratch: Path | None = None,
    interrupted: str = "nothing was written",
) -> None:
    code = ended(work, scratch, interrupted=interrupted)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
