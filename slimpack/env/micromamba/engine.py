"""The other engine: the user's micromamba, found on PATH.

It solves into a `Lock` like the embedded engine's and installs any lock. Facts
about micromamba 2.8.1 that shape this module, each with a test:

- an exit code of 0 does not mean that anything was solved or installed, so an
  empty plan is an error and the prefix is compared with the lock;
- what a file is for is guessed from its name (``*.yml`` a specification,
  ``*-lock.yml`` a conda-lock file), so it is only ever given files that are
  written here: ``environment.yml`` to solve, ``explicit.txt`` to install;
- why specs cannot be met is told in text mode only;
- a failed install leaves a prefix with ``conda-meta/history`` in it.

Channels and specs stand in files and not in the arguments: those have a limit,
could be taken for options, and every user of the machine can read them, with
the credentials of channels.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import yaml

from slimpack.env.check import check_channels, check_installed
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.env.micromamba.output import errors, failure, read_plan, solver_problems
from slimpack.env.micromamba.process import Answer, overrides, run, surroundings
from slimpack.env.nearby import at_places, near_packages, restore_origins
from slimpack.env.rattler.engine import RattlerEngine, held_spec, is_held
from slimpack.env.redact import redacted
from slimpack.env.specs import spec_name
from slimpack.errors import InputError, InstallError, SlimpackError, SolveError
from slimpack.files import explained
from slimpack.progress import SILENT, Progress

MINIMUM_VERSION = (2, 8)
"""The series whose output is on record; older ones print and write other things
(what an ``@EXPLICIT`` list left in the records, for one: mamba issue 4052)."""

_OBEYS_SKIP_SCRIPTS = (2, 9)  # mamba pull request 4325
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?\S*\s*\Z")
_ARCHIVE_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s#]+\.(?:conda|tar\.bz2)\Z")
_LINK_SCRIPTS = ("bin/.*-pre-link.sh", "bin/.*-post-link.sh")


@dataclass(frozen=True)
class MicromambaEngine:
    """Solves and installs with micromamba.

    program: the executable.
    packages: its package cache; not that of py-rattler, which has another layout.
    repodata: channel indexes of py-rattler, which writes the lock.
    nearby: folders whose packages are taken before any is fetched (`slimpack.env.nearby`).
    """

    name: ClassVar[str] = "micromamba"
    program: Path
    packages: Path
    repodata: Path
    nearby: tuple[Path, ...] = ()

    def solve(
        self,
        spec: EnvSpec,
        subdir: str,
        virtual_packages: Sequence[tuple[str, str, str]],
        *,
        strict_priority: bool = True,
        held: Sequence[tuple[str, str]] = (),
    ) -> Lock:
        """Find the packages for `spec`; see `RattlerEngine.solve`.

        micromamba knows no way to hold a package that nothing asks for, so one that came
        in another version is asked for, and the environment is solved once more.

        Raises SolveError with the solver's explanation, InputError for a
        malformed spec, InstallError when a channel cannot be read, SlimpackError
        when micromamba prints no plan.
        """
        check_channels(spec)
        records = self._planned(spec, subdir, virtual_packages, strict_priority)
        asked = [held_spec(*pair) for pair in held if not _all_held(records, *pair)]
        if asked:
            narrower = replace(spec, specs=(*spec.specs, *asked))
            records = self._planned(narrower, subdir, virtual_packages, strict_priority)
        maker = RattlerEngine(self.packages, self.repodata)
        return maker.lock_records(records, subdir, spec.channels, source=spec.source)

    def _planned(
        self,
        spec: EnvSpec,
        subdir: str,
        virtual_packages: Sequence[tuple[str, str, str]],
        strict_priority: bool,
    ) -> list[dict[str, Any]]:
        with self._surroundings() as (scratch, environment):
            environment |= overrides(virtual_packages)
            arguments = (
                *("create", "--dry-run", "--yes", "--no-rc", "--platform", subdir),
                *("--channel-priority", "strict" if strict_priority else "disabled"),
                *("--prefix", scratch / "none", "--file", _specification(spec, scratch)),
            )
            answer = run((self.program, *arguments, "--json"), environment)
            if answer.code and solver_problems(answer.stdout) is not None:
                again = run((self.program, *arguments), environment)
                raise _unsolvable(answer, again, spec)
        if answer.code:
            raise _redacted(failure(answer.stderr, answer.code, spec.source))
        records = [_usable(record, spec, subdir) for record in read_plan(answer.stdout)]
        if not records:
            raise SolveError(
                f"{spec.source}: micromamba planned no packages, and did not say why",
                details=redacted(errors(answer.stderr)),
                hint="run it again with --engine rattler, which explains more",
            )
        return records

    def install(self, lock: Lock, prefix: Path, *, progress: Progress = SILENT) -> None:
        """Install a lock into an empty prefix and check that exactly it is there.

        Nothing is left of a prefix when that fails. micromamba 2.8 runs the link
        scripts of packages (a warning names them), later ones are told not to.
        Raises InstallError, and InputError for a lock whose URLs are none.
        """
        prefix = prefix.absolute()
        with explained(prefix):
            if prefix.exists():
                prefix.rmdir()  # micromamba refuses a folder that it did not make
        places = near_packages(lock, self.nearby)
        try:
            self._install(at_places(lock, places), prefix, progress)
            restore_origins(lock, places, prefix)
            check_installed(lock, prefix)
        except BaseException:
            shutil.rmtree(prefix, ignore_errors=True)
            raise
        _forget(prefix)
        self._tell_of_scripts(prefix, progress)

    def version(self) -> tuple[int, int, int]:
        """Return the program's version; InputError when it does not run or is something else."""
        with self._surroundings() as (_, environment):
            answer = run((self.program, "--version"), environment)
        match = _VERSION.match(answer.stdout)
        if answer.code or match is None:
            raise InputError(
                f"{self.program} is no working micromamba (exit code {answer.code})",
                details=errors(answer.stderr) or answer.stdout[:500].strip(),
                hint="repair it, or use --engine rattler",
            )
        return int(match[1]), int(match[2]), int(match[3] or 0)

    def _install(self, lock: Lock, prefix: Path, progress: Progress) -> None:
        with (
            self._surroundings() as (scratch, environment),
            progress.task("install", total=len(lock.packages), unit="package") as task,
        ):

            def on_line(line: str) -> None:
                if line.startswith("Linking "):
                    task.advance()

            command = (
                *(self.program, "create", "--yes", "--no-rc", "--no-pyc"),
                *("--platform", lock.platform, "--prefix", prefix),
                *("--file", _explicit(lock, scratch)),
            )
            answer = run(command, environment, on_line)
        if answer.code:
            raise InstallError(
                f"{prefix}: the packages could not be installed",
                details=redacted(errors(answer.stderr)),
                hint="a damaged download is fetched again when the build is repeated",
            )

    def _tell_of_scripts(self, prefix: Path, progress: Progress) -> None:
        scripts = sorted(path.name for pattern in _LINK_SCRIPTS for path in prefix.glob(pattern))
        if scripts and self.version() < _OBEYS_SKIP_SCRIPTS:
            progress.warn(
                f"micromamba before 2.9 runs link scripts: {', '.join(scripts)}; "
                "what they changed is in the result (--engine rattler runs none)"
            )

    @contextmanager
    def _surroundings(self) -> Iterator[tuple[Path, dict[str, str]]]:
        with tempfile.TemporaryDirectory(prefix="slimpack-micromamba-") as folder:
            scratch = Path(folder)
            yield scratch, surroundings(scratch, self.packages)


def _all_held(records: Sequence[dict[str, Any]], name: str, version: str) -> bool:
    versions = (str(record["version"]) for record in records if record["name"] == name)
    return all(is_held(found, version) for found in versions)


def _specification(spec: EnvSpec, scratch: Path) -> Path:
    path = scratch / "environment.yml"
    # nodefaults: these channels and no others.
    content = {"channels": [*spec.channels, "nodefaults"], "dependencies": list(spec.specs)}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def _unsolvable(answer: Answer, again: Answer, spec: EnvSpec) -> SolveError:
    explanation = errors(again.stderr) if again.code else ""
    return SolveError(
        f"{spec.source}: no environment satisfies the specs",
        details=redacted(explanation or "\n".join(solver_problems(answer.stdout) or ())),
        hint="loosen a spec that the explanation names, or add the channel that has it",
    )


def _redacted(error: SlimpackError) -> SlimpackError:
    return type(error)(error.message, hint=error.hint, details=redacted(error.details))


def _usable(record: dict[str, Any], spec: EnvSpec, subdir: str) -> dict[str, Any]:
    if record["subdir"] not in (subdir, "noarch"):
        raise SlimpackError(
            f"{spec.source}: micromamba planned {record['url']} for {subdir}",
            hint="run it again with --engine rattler",
        )
    return {**record, "url": _with_credentials(record["url"], spec.channels)}


def _with_credentials(url: str, channels: Sequence[str]) -> str:
    """Return `url` as the channel that it is from writes it: plans mask credentials."""
    plain = redacted(url)
    for channel in channels:
        start = redacted(channel).rstrip("/") + "/"
        if plain.startswith(start):
            return channel.rstrip("/") + "/" + plain[len(start) :]
    return url


def _explicit(lock: Lock, scratch: Path) -> Path:
    """Write the lock as an ``@EXPLICIT`` list, with the strongest digest that it has.

    A bare SHA-256 is understood since mamba's pull request 3866 (2025); a program
    that took it for an MD5 would refuse the package, not accept it.
    """
    lines = [f"# platform: {lock.platform}", "@EXPLICIT"]
    for package in dependency_order(lock.packages):
        if not _ARCHIVE_URL.match(package.url):
            raise InputError(f"the lock's {package.dist} has no URL of a package: {package.url!r}")
        digest = package.sha256 or package.md5
        lines.append(f"{package.url}#{digest}" if digest else package.url)
    path = scratch / "explicit.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def dependency_order(packages: Sequence[LockedPackage]) -> list[LockedPackage]:
    """Return the packages so that each comes after what it depends on, cycles aside.

    micromamba links an explicit list as it stands: URLs do not tell dependencies.
    """
    named = {package.name: package for package in packages}
    needs = {
        package.name: [name for name in map(spec_name, package.depends) if name in named]
        for package in packages
    }
    order: dict[str, LockedPackage] = {}
    for root in named:
        waiting = [(root, iter(needs[root]))]
        entered = {root}
        while waiting:
            name, rest = waiting[-1]
            following = next((n for n in rest if n not in order and n not in entered), None)
            if following is None:
                order[name] = named[name]
                waiting.pop()
            else:
                entered.add(following)
                waiting.append((following, iter(needs[following])))
    return list(order.values())


def _forget(prefix: Path) -> None:
    """Remove what micromamba writes of this machine and this call, as py-rattler does."""
    with explained(prefix):
        # An empty one still tells conda that this is an environment.
        (prefix / "conda-meta" / "history").write_bytes(b"")
        with suppress(FileNotFoundError):
            (prefix / ".mambarc").unlink()  # holds the value of --platform
