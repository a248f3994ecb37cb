"""Every source file that ships gets bytecode that needs no check at start.

``unchecked-hash`` bytecode (PEP 552) is loaded without a look at the source,
so it survives the fixed mtimes of an image, is the same in every build, and was
the fastest to start from in our measurements (docs/architecture.md). What a
package ships is kept where Python would have used it, with another header;
the rest is compiled by an interpreter of the environment's own version.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from slimpack.errors import InstallError
from slimpack.progress import SILENT, Progress
from slimpack.slim.compiled import Group, Outcome
from slimpack.tree import Entry, Kind, Tree

_CACHED = re.compile(
    r"(?P<folder>.*/)__pycache__/(?P<stem>[^/]+?)\.[A-Za-z][\w-]*(?:\.opt-\w+)?\.pyc\Z"
)
# Fails where the interpreter is too old for PEP 552 (Python 3.6).
_PROBE = (
    "import sys, importlib.util; importlib.util.source_hash; "
    "print(sys.implementation.cache_tag, sys.version.split()[0])"
)
# Only these reach the compiling interpreter: its output must depend on nothing else.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class BytecodeReport:
    """What was done: counts of files, and sources that no interpreter can compile.

    note: what a reader should know of who wrote it, "" for the environment's own Python.
    """

    kept: int = 0
    moved: int = 0
    compiled: int = 0
    dropped: int = 0
    failed: tuple[tuple[str, str], ...] = field(default=())
    note: str = ""

    def __add__(self, other: BytecodeReport) -> BytecodeReport:
        """Return what was done in both."""
        return BytecodeReport(
            kept=self.kept + other.kept,
            moved=self.moved + other.moved,
            compiled=self.compiled + other.compiled,
            dropped=self.dropped + other.dropped,
            failed=(*self.failed, *other.failed),
            note=self.note or other.note,
        )


@dataclass(frozen=True)
class _Job:
    source: Entry
    target: str
    shipped: Entry | None


def add_bytecode(
    tree: Tree,
    *,
    python: Sequence[Path],
    tag: str,
    scratch: Path,
    scripts: str = "",
    reusable: Callable[[Entry], Path | None] = lambda entry: None,
    checked: bool = False,
    progress: Progress = SILENT,
) -> tuple[Tree, BytecodeReport]:
    """Return the tree with one hash-based ``.pyc`` for each ``.py``.

    python: interpreters to try in order; the first that runs and has cache tag
        `tag` (``cpython-311``) is used.
    scratch: an empty folder that outlives the tree.
    scripts: folder of programs, which nobody imports (``opt/env/bin``).
    reusable: gives the file on disk of an entry that is exactly as its package
        ships it, with its mtime, else None; only of such a source can shipped
        timestamp bytecode be valid.
    checked: whether Python shall compare source and bytecode at each import: for
        places where somebody may edit a source. It costs reading every source.

    Bytecode of other versions, of other optimisation levels and without a
    source is dropped: Python would never load it in the image. Raises
    InstallError when no interpreter fits or the compiling process fails.
    """
    sources = [entry for entry in tree if _is_source(entry, scripts)]
    if not sources:
        return tree, BytecodeReport()
    interpreter = find_interpreter(python, tag)
    jobs = [_job(entry, tree, tag) for entry in sources]
    groups, outcome = _run(jobs, interpreter, scratch, reusable, checked, progress)
    made = [entry for group in groups for entry in group.entries(outcome)]
    kept = tree.filter(lambda entry: not _is_cached(entry))
    hows = [one.how for one in outcome.values()]
    shipped = sum(_is_cached(entry) for entry in tree)
    report = BytecodeReport(
        kept=hows.count("kept"),
        moved=hows.count("moved"),
        compiled=hows.count("compiled"),
        dropped=shipped - hows.count("kept") - hows.count("moved"),
        failed=tuple(
            (f"/{jobs[number].source.path}", one.message)
            for number, one in sorted(outcome.items())
            if not one.is_there
        ),
    )
    return kept.merge(made), report


def identify(interpreter: Path) -> tuple[str, str]:
    """Return an interpreter's cache tag and version (``cpython-311``, ``3.11.2``).

    Both are "" when it does not run here, or is too old for bytecode with hashes.
    """
    try:
        status = interpreter.stat()
    except OSError:
        return "", ""
    return _asked(interpreter, status.st_ino, status.st_mtime_ns)


@cache  # a build asks the same one more than once
def _asked(interpreter: Path, *_version: int) -> tuple[str, str]:
    try:
        done = subprocess.run(
            [str(interpreter), "-I", "-S", "-c", _PROBE],
            capture_output=True,
            env=_ENVIRONMENT,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    tag, _, version = done.stdout.decode("ascii", "replace").strip().partition(" ")
    return (tag, version) if done.returncode == 0 else ("", "")


def cache_tag(interpreter: Path) -> str:
    """Return the interpreter's cache tag (``cpython-311``), "" when it does not run here."""
    return identify(interpreter)[0]


def find_interpreter(candidates: Sequence[Path], tag: str) -> Path:
    """Return the first interpreter that runs here and writes bytecode for `tag`."""
    for candidate in candidates:
        if cache_tag(candidate) == tag:
            return candidate
    tried = ", ".join(str(candidate) for candidate in candidates)
    raise InstallError(
        f"no interpreter here can write bytecode for {tag} (tried {tried})",
        hint="install a Python of that version on this machine, or build on the target's platform",
    )


def source_of(path: str) -> str:
    """Return the source that a cached .pyc belongs to (PEP 3147), "" for any other path."""
    match = _CACHED.match(path)
    return f"{match['folder']}{match['stem']}.py" if match else ""


def _is_source(entry: Entry, scripts: str) -> bool:
    folder, _, name = entry.path.rpartition("/")
    return entry.kind is Kind.FILE and name.endswith(".py") and not (scripts and folder == scripts)


def _is_cached(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and bool(source_of(entry.path))


def _job(source: Entry, tree: Tree, tag: str) -> _Job:
    folder, _, name = source.path.rpartition("/")
    target = f"{folder}/__pycache__/{name[:-3]}.{tag}.pyc".lstrip("/")
    return _Job(source=source, target=target, shipped=tree.get(target))


def _run(
    jobs: list[_Job],
    interpreter: Path,
    scratch: Path,
    reusable: Callable[[Entry], Path | None],
    checked: bool,
    progress: Progress,
) -> tuple[list[Group], dict[int, Outcome]]:
    """Compile; return where the bytecode is, and what came of each job, by its number."""
    groups: dict[str, list[list[object]]] = {}
    targets: dict[str, dict[int, str]] = {}
    sources = scratch / "sources"
    sources.mkdir()
    for number, job in enumerate(jobs):
        on_disk = reusable(job.source)
        shipped = reusable(job.shipped) if on_disk and job.shipped else None
        if shipped and job.shipped:
            job.shipped.read()  # what is kept must be what the package declares
        if on_disk is None:
            on_disk = sources / str(number)
            on_disk.write_bytes(job.source.read())
        targets.setdefault(job.source.owner, {})[number] = job.target
        groups.setdefault(job.source.owner, []).append(
            [number, str(on_disk), f"/{job.source.path}", str(shipped) if shipped else None]
        )
    request = {
        "out": str(scratch),
        "jobs": len(os.sched_getaffinity(0)),
        "checked": checked,
        # The worker takes groups from the end: the largest must start first.
        "groups": sorted(groups.values(), key=len),
    }
    outcome = _converse(request, interpreter, len(jobs), progress)
    return [Group(scratch, owner, some) for owner, some in targets.items()], outcome


def _converse(
    request: dict[str, object], interpreter: Path, total: int, progress: Progress
) -> dict[int, Outcome]:
    program = Path(__file__).with_name("pyc_worker.py").read_text(encoding="utf-8")
    outcome: dict[int, Outcome] = {}
    with (
        tempfile.TemporaryFile() as stderr,
        tempfile.TemporaryFile() as stdin,
        progress.task("bytecode", total=total, unit="file") as task,
    ):
        stdin.write(json.dumps(request).encode())
        stdin.seek(0)
        worker = subprocess.Popen(
            [str(interpreter), "-S", "-s", "-B", "-c", program],
            # -I would also drop the hash seed; without it the current folder is on
            # sys.path, so that must be one without modules.
            cwd=str(request["out"]),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
        assert worker.stdout is not None
        try:
            for line in worker.stdout:
                number, *told = json.loads(line)
                outcome[number] = Outcome(*told)
                task.advance()
            worker.wait()
        finally:
            _end(worker)
        if worker.returncode or len(outcome) != total:
            stderr.seek(0)
            raise InstallError(
                f"compiling bytecode failed (exit code {worker.returncode})",
                details=stderr.read()[-4000:].decode("utf-8", "replace").strip(),
                hint="a full disk is the usual reason",
            )
    return outcome


def _end(worker: subprocess.Popen[bytes]) -> None:
    """End the worker and the processes it forked (they share its process group)."""
    if worker.poll() is None:
        os.killpg(worker.pid, 9)
        worker.wait()


def interpreter_tag(version: str) -> str:
    """Return CPython's cache tag for a version: ``3.11.2`` -> ``cpython-311``."""
    major, minor = version.split(".")[:2]
    return f"cpython-{major}{minor}"


def candidates(prefix: Path, version: str) -> tuple[Path, ...]:
    """Return interpreters worth trying for `prefix`, its own first."""
    return (prefix / "bin" / "python", *on_path(version))


def on_path(version: str) -> tuple[Path, ...]:
    """Return this machine's interpreters of that minor version, by their names, and our own."""
    name = "python" + ".".join(version.split(".")[:2])
    found = [Path(folder, name) for folder in os.get_exec_path() if Path(folder, name).is_file()]
    return (*found, Path(sys.executable))
