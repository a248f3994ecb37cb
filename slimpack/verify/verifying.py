"""All checks of one subject: those that read files here, those that start programs beside them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from slimpack.config import VerifyConfig
from slimpack.errors import DaemonError, InputError, SlimpackError, VerifyError
from slimpack.platforms import here
from slimpack.progress import SILENT, Progress, Task
from slimpack.sandbox import Bind, Sandbox, choose_sandbox, find_gpu
from slimpack.verify.checks import CHECKS
from slimpack.verify.context import Baseline, Context, Runner, Watched
from slimpack.verify.importing import baseline as baseline_of
from slimpack.verify.model import Check, Finding, Result, SkippedError, Verification
from slimpack.verify.once import once
from slimpack.verify.subject import Subject

Choose = Callable[[str, str], Sandbox]
"""As `choose_sandbox`."""

NONE = "none"
_SHOWN = 10
_DEFAULT = VerifyConfig()


@dataclass(frozen=True)
class Running:
    """How programs are run. sandbox: its name, "" for not at all; why_not: says why."""

    runner: Runner | None
    sandbox: str = ""
    why_not: str = ""


def verify(
    subject: Subject,
    config: VerifyConfig = _DEFAULT,
    *,
    checks: Sequence[Check] = CHECKS,
    scan: bool = True,
    forbidden: tuple[bytes, ...] = (),
    before: Callable[[], Subject] | None = None,
    known: Mapping[str, Result] = MappingProxyType({}),
    watched: Watched | None = None,
    choose: Choose = choose_sandbox,
    progress: Progress = SILENT,
) -> Verification:
    """Make every check of `subject` and return what came of it; see `raise_if_failed`.

    checks: which of them. scan: False when every byte was searched for build paths already.
    forbidden: paths of this machine's builds that must not be in it.
    before: gives the same environment before slimming, and is asked once at most, where
        something is wrong; what failed there is no error here.
    known: what came of some checks, by name, which are not made again.
    watched: learns which files importing reads.
    choose: gives the sandbox of the subject, from somebody who has tried them out already.

    Programs run in the sandbox that `config` names. Where ``auto`` finds none that works,
    checks that need one are skipped, which the result says. Environments and archives
    run on this machine itself. Raises DaemonError when a named sandbox does not work,
    InputError for an unknown name.
    """
    begin = time.monotonic()
    stop = threading.Event()
    earlier = once(before) if before else None
    with ExitStack() as stack:
        stack.callback(stop.set)
        running = stack.enter_context(_running(subject, config.sandbox, stop, choose))
        context = Context(
            config=config,
            runner=running.runner,
            why_not=running.why_not,
            scan=scan,
            forbidden=forbidden,
            before=earlier,
            baseline=stack.enter_context(_baseline(earlier, config.sandbox, running, stop)),
            watched=watched,
        )
        task = stack.enter_context(progress.task("verify", total=len(checks), unit="check"))
        results = _all(checks, subject, context, known, task, stop)
    return Verification(
        subject=subject.name,
        kind=subject.kind,
        platform=subject.platform,
        sandbox=running.sandbox,
        results=results,
        seconds=time.monotonic() - begin,
    )


def choose_checks(only: Sequence[str], skip: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks named in `only` (all of them for none) without those in `skip`.

    Raises InputError for a name that is none.
    """
    names = [check.name for check in CHECKS]
    for name in (*only, *skip):
        if name not in names:
            near = get_close_matches(name, names, 1)
            raise InputError(
                f"there is no check {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"they are {', '.join(names)}",
            )
    return tuple(
        check for check in CHECKS if (not only or check.name in only) and check.name not in skip
    )


def raise_if_failed(verification: Verification) -> None:
    """Raise VerifyError, with the first findings, unless the verification passed."""
    if verification.passed:
        return
    lines = []
    for result in verification.failed:
        errors = [one for one in result.findings if result.severity_of(one) == "error"]
        lines += [describe(result.name, one) for one in errors[:_SHOWN]]
        if len(errors) > _SHOWN:
            lines.append(f"{result.name}: and {len(errors) - _SHOWN} more")
    names = [result.name for result in verification.failed]
    first = verification.failed[0]
    raise VerifyError(
        f"{verification.subject}: the {'checks' if len(names) > 1 else 'check'} "
        f"{', '.join(names)} failed",
        details="\n".join(lines),
        hint=f"{first.fix} (`slimpack verify --list` explains the checks; "
        f'[verify] ignore = ["{first.name}"] delivers all the same)',
    )


def describe(check: str, finding: Finding) -> str:
    """Return a finding on one line: check, path, package, message."""
    where = f"{finding.path}: " if finding.path else ""
    owner = f" ({finding.package})" if finding.package else ""
    return f"{check}: {where}{finding.message}{owner}"


def _all(
    checks: Sequence[Check],
    subject: Subject,
    context: Context,
    known: Mapping[str, Result],
    task: Task,
    stop: threading.Event,
) -> tuple[Result, ...]:
    """Make the checks; programs run in a thread of their own while files are read here."""
    results: dict[str, Result] = {}

    def make(check: Check) -> None:
        results[check.name] = known.get(check.name) or _made(check, subject, context)
        task.advance()

    def run() -> None:
        for check in checks:
            if check.runs and not stop.is_set():
                make(check)

    subject.prepare()
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(run)
        try:
            for check in checks:
                if not check.runs:
                    make(check)
            beside.result()
        except BaseException:
            stop.set()
            raise
    return tuple(results[check.name] for check in checks)


def _made(check: Check, subject: Subject, context: Context) -> Result:
    begin = time.monotonic()
    findings: list[Finding] = []
    skipped = ""
    try:
        findings.extend(check.run(subject, context))
    except SkippedError as error:
        skipped = str(error)
    except (DaemonError, InputError):
        raise  # of the sandbox, not of what is verified
    except SlimpackError as error:
        findings.append(
            Finding("", f"the check could not be made: {error.message}", fix=error.hint)
        )
    return Result(
        name=check.name,
        severity=check.severity,
        explanation=check.explanation,
        fix=check.fix,
        findings=tuple(sorted(findings, key=lambda one: (one.path, one.message))),
        skipped="" if findings else skipped,
        ignored=check.name in context.config.ignore,
        seconds=time.monotonic() - begin,
    )


def import_times(subject: Subject, sandbox: str, *, seconds: float, max_output: int) -> bytes:
    """Start a subject as its user does, and return what Python printed of its imports.

    seconds: after which it is stopped; a service does not end by itself. The format is
    that of ``python -X importtime``, on stderr, of which the last `max_output` bytes are
    kept. Raises InputError when the subject starts nothing, DaemonError when nothing can
    be run here.
    """
    if not subject.start.command:
        raise InputError(
            f"{subject.name} starts nothing, so that there are no imports to time",
            hint="give the image an entrypoint, or take the times yourself: --start-up FILE",
        )
    with _running(subject, sandbox, threading.Event()) as running:
        if running.runner is None:
            raise DaemonError(f"imports cannot be timed: {running.why_not}")
        finished = running.runner.run(
            subject.start.command,
            env=(("PYTHONPROFILEIMPORTTIME", "1"),),
            timeout=seconds,
            max_output=max_output,
        )
    return finished.stderr


@contextmanager
def _running(
    subject: Subject, wanted: str, stop: threading.Event, choose: Choose = choose_sandbox
) -> Iterator[Running]:
    if wanted == NONE:
        yield Running(None, why_not="nothing is run (--sandbox none)")
        return
    foreign = subject.platform != here()
    if foreign and subject.kind != "image":
        yield Running(None, why_not=f"this machine ({here()}) does not run {subject.platform}")
        return
    try:
        host = subject.kind != "image" and wanted == "auto"
        sandbox = choose("host" if host else wanted, subject.platform)
    except DaemonError as error:
        if wanted != "auto" and not foreign:
            raise
        what = f"this machine does not run {subject.platform}" if foreign else error.message
        yield Running(None, why_not=f"{what}: {error.hint}")
        return
    with sandbox.prepare(subject.root, subject.image) as prepared:
        yield Running(Runner(prepared, subject, find_gpu(), stop), sandbox.name)


@contextmanager
def _baseline(
    before: Callable[[], Subject] | None, wanted: str, running: Running, stop: threading.Event
) -> Iterator[Baseline | None]:
    """Give what tells of the environment `before`; None when there is none.

    It is opened, and what runs it made ready, when the first module is asked for.
    """
    if before is None:
        yield None
        return
    with ExitStack() as stack:
        asked = once(lambda: stack.enter_context(_asked(before(), wanted, running, stop)))

        def ask(names: Sequence[str]) -> set[str] | None:
            if not names:
                return set()
            found = asked()
            return found(names) if found else None

        yield ask


@contextmanager
def _asked(
    before: Subject, wanted: str, running: Running, stop: threading.Event
) -> Iterator[Baseline | None]:
    """Give what tells of the environment `before`; None when nobody can run it.

    That of another platform needs a loader and a C library, which the subject has: it runs
    there, shown where it lies.
    """
    if before.python is None:
        yield None
        return
    python = before.absolute(before.python.program)
    if before.platform != here():
        there = running.runner
        shown = (Bind(before.root, str(before.root)),)
        yield (
            baseline_of(Runner(there.prepared, before, None, stop, shown), python)
            if there
            else None
        )
        return
    with _running(before, wanted if before.kind == "image" else "auto", stop) as own:
        yield baseline_of(own.runner, python) if own.runner is not None else None
