"""Activation without a shell: evaluated at build time, frozen into the image's Env.

conda activates an environment by exporting the variables of
``etc/conda/env_vars.d/*.json`` and ``conda-meta/state`` and by sourcing
``etc/conda/activate.d/*.sh`` (conda's activation docs). An image without a
shell can do neither, so this is done once here, twice over in two different
surroundings: what comes out the same is frozen, what does not is reported.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import InputError

_TIMEOUT_SECONDS = 60
UNSET = "***unset***"
"""How conda-meta/state says that a variable is removed."""
# Set by every shell or by activation itself; of no meaning in an image.
_IGNORED = re.compile(
    r"(PWD|OLDPWD|SHLVL|_|PS1|HOME|USER|TMPDIR|LANG|TZ|CONDA_SHLVL|CONDA_PROMPT_MODIFIER"
    r"|CONDA_DEFAULT_ENV|CONDA_BACKUP_.*|BASH_FUNC_.*|PATH)\Z"
)
# The arguments are the scripts. Functions and aliases end with this shell, so their
# names are reported too.
_DRIVER = """
for SLIMPACK_SCRIPT in "$@"; do
  . "$SLIMPACK_SCRIPT" >&2 || echo "$SLIMPACK_SCRIPT" >>"$SLIMPACK_FAILED"
  set +u +e
done
{ declare -F; alias; } >"$SLIMPACK_NAMES" 2>/dev/null
# What scripts set for the environment's programs is not for the Python that reports.
SLIMPACK_LD_LIBRARY_PATH=$LD_LIBRARY_PATH; SLIMPACK_LD_PRELOAD=$LD_PRELOAD
export SLIMPACK_LD_LIBRARY_PATH SLIMPACK_LD_PRELOAD
unset LD_LIBRARY_PATH LD_PRELOAD
exec "$SLIMPACK_PYTHON" -I -c 'import json, os; print("\\n" + json.dumps(dict(os.environ)))'
"""
# As bash and dash say it; the latter does not name the script.
_FOREIGN = re.compile(
    r"^(?P<script>[^\n:]+): (?:line )?\d+: (?P<program>[^\n:]+): (?:[^\n]*: )?Exec format error$",
    re.MULTILINE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_READS = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_ASSIGNS = re.compile(
    r"(?:^|[\s;])(?:export\s+|local\s+|for\s+)?([A-Za-z_][A-Za-z0-9_]*)(?:=|\s+in\s)"
)


@dataclass(frozen=True)
class Activation:
    """What activation comes to.

    env: variables for the image, in order of name; values name the image's prefix.
    path: folders that scripts put before ``bin`` on PATH, in order.
    notes: what could not be frozen, one sentence each.
    """

    env: tuple[tuple[str, str], ...]
    path: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Outcome:
    env: dict[str, str]
    failed: tuple[str, ...]
    names: tuple[str, ...]
    foreign: tuple[tuple[str, str], ...] = ()


def freeze(
    prefix: Path,
    dest_prefix: str,
    variables: tuple[tuple[str, str], ...] = (),
    *,
    origin: str = "",
) -> Activation:
    """Evaluate the activation of `prefix` for an image where it lies at `dest_prefix`.

    variables: those of an environment.yml, which conda would keep in
    conda-meta/state. origin: the path that its files name, "" when that is `prefix`.
    Raises InputError for state files that are not JSON objects of strings.
    """
    declared = declared_variables(prefix, variables)
    scripts = sorted((prefix / "etc" / "conda" / "activate.d").glob("*.sh"))
    notes = [_unrun(path) for path in sorted((prefix / "bin").glob(".*-post-link.sh"))]
    env = dict(declared)
    path: tuple[str, ...] = ()
    if scripts:
        first = _evaluate(prefix, scripts, declared, "one")
        second = _evaluate(prefix, scripts, declared, "two")
        env, differing = _agreeing(first.env, second.env)
        # These the evaluation sets itself, but the user's word counts.
        env.update((name, value) for name, value in declared.items() if _IGNORED.match(name))
        path = _path_additions(first.env.get("PATH", ""), prefix)
        notes += [f"{name} depends on where activation runs and is left out" for name in differing]
        notes += [f"{_short(script, prefix)} failed" for script in first.failed]
        notes += [
            f"{_short(script, prefix)} runs {_short(program, prefix)}, which this machine cannot "
            "run: see what it sets, and set that under [image.env]"
            for script, program in first.foreign
        ]
        notes += [f"shell {name} does not exist in an image" for name in first.names]
        notes += [note for script in scripts for note in _reads(script, prefix, declared)]
    old = tuple(dict.fromkeys((str(prefix), origin or str(prefix))))
    frozen = {name: moved(value, old, dest_prefix) for name, value in env.items() if value != UNSET}
    frozen["CONDA_PREFIX"] = dest_prefix
    return Activation(
        env=tuple(sorted(frozen.items())),
        path=tuple(moved(entry, old, dest_prefix) for entry in path),
        notes=tuple(notes),
    )


def moved(value: str, old: Sequence[str], new: str) -> str:
    """Return `value` with every path of `old` in it, or below it, at `new`."""
    for path in old:
        # The end of a name, so that /opt/env does not match in /opt/env2.
        value = re.sub(rf"{re.escape(path)}(?![\w.+-])", lambda match: new, value)
    return value


def declared_variables(prefix: Path, variables: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the variables that activation sets without running a script.

    Those of env_vars.d (packages), of state (the user), then `variables`; the last
    wins. Raises InputError for files that are not JSON objects of strings.
    """
    env: dict[str, str] = {}
    for path in sorted((prefix / "etc" / "conda" / "env_vars.d").glob("*.json")):
        env.update(_variables(path, _json(path)))
    state = prefix / "conda-meta" / "state"
    if state.is_file():
        data = _json(state)
        env.update(_variables(state, data.get("env_vars", {}) if isinstance(data, dict) else data))
    env.update(variables)
    return env


def _json(path: Path) -> object:
    try:
        data: object = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    return data


def _variables(path: Path, data: object) -> dict[str, str]:
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise InputError(f"{path}: expected an object of strings")
    for name, value in data.items():
        if not _NAME.match(str(name)) or "\0" in value or not _is_text(value):
            raise InputError(f"{path}: {name!r} cannot be an environment variable")
    return {str(name): value for name, value in data.items()}


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _evaluate(prefix: Path, scripts: list[Path], declared: dict[str, str], label: str) -> _Outcome:
    """Source all scripts in a clean environment in a folder of its own."""
    shell = shutil.which("bash") or shutil.which("sh")
    if shell is None:
        raise InputError("activation scripts need bash or sh on the build machine")
    with tempfile.TemporaryDirectory(prefix=f"slimpack-{label}-") as folder:
        names, failed = Path(folder, "names"), Path(folder, "failed")
        environment = {
            **{name: value for name, value in declared.items() if value != UNSET},
            "PATH": f"{prefix}/bin:/usr/bin:/bin",
            "HOME": folder,
            "USER": label,
            "TZ": "UTC" if label == "one" else "UTC+9",
            "TMPDIR": folder,
            "LANG": "C.UTF-8",
            "CONDA_PREFIX": str(prefix),
            "CONDA_DEFAULT_ENV": str(prefix),
            "CONDA_SHLVL": "1",
            "SLIMPACK_PYTHON": sys.executable,
            "SLIMPACK_NAMES": str(names),
            "SLIMPACK_FAILED": str(failed),
        }
        try:
            done = subprocess.run(
                [shell, "-c", _DRIVER, "activate", *map(str, scripts)],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"the activation scripts of {prefix.name} did not end in {_TIMEOUT_SECONDS} s"
            ) from error
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        if done.returncode or not lines:
            raise InputError(
                "the activation scripts ended the shell",
                details=done.stderr.decode("utf-8", "replace").strip()[-2000:],
                hint="remove the package whose etc/conda/activate.d script calls exit",
            )
        env: dict[str, str] = json.loads(lines[-1])
        for name in ("LD_LIBRARY_PATH", "LD_PRELOAD"):
            if value := env.get(f"SLIMPACK_{name}"):
                env[name] = value
        return _Outcome(
            env={name: value for name, value in env.items() if not name.startswith("SLIMPACK_")},
            failed=tuple(_lines(failed)),
            names=_names("\n".join(_lines(names))),
            foreign=_foreign(done.stderr.decode("utf-8", "replace")),
        )


def _foreign(text: str) -> tuple[tuple[str, str], ...]:
    """Return (script, program) of what a shell says is for another machine."""
    found = ((match["script"], match["program"]) for match in _FOREIGN.finditer(text))
    return tuple(dict.fromkeys(found))


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.is_file() else []


def _names(text: str) -> tuple[str, ...]:
    found = re.findall(r"^declare -f\S* (\S+)$", text, re.MULTILINE)
    aliases = re.findall(r"^(?:alias )?([\w.-]+)=", text, re.MULTILINE)
    return (*(f"function {name}" for name in found), *(f"alias {name}" for name in aliases))


def _agreeing(one: dict[str, str], two: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    names = {name for name in {*one, *two} if not _IGNORED.match(name)}
    same = {
        name: one[name]
        for name in names
        if name in one and one[name] == two.get(name) and _is_text(one[name])
    }
    return same, sorted(names - set(same))


def _path_additions(path: str, prefix: Path) -> tuple[str, ...]:
    return tuple(
        entry
        for entry in path.split(":")
        if entry.startswith(f"{prefix}/") and entry != f"{prefix}/bin"
    )


def _short(path: str, prefix: Path) -> str:
    return path.removeprefix(f"{prefix}/")


def _unrun(path: Path) -> str:
    return f"the post-link script bin/{path.name} was not run"


def _reads(script: Path, prefix: Path, declared: dict[str, str]) -> list[str]:
    """Name the variables that a script asks for and nobody has set: answered as unset."""
    text = re.sub(r"(?m)^\s*#.*$", "", script.read_text(encoding="utf-8", errors="replace"))
    assigned = set(_ASSIGNS.findall(text)) | set(declared) | {"CONDA_PREFIX", "PATH"}
    return [
        f"{_short(str(script), prefix)} reads ${name} at activation; frozen as if it were not set"
        for name in sorted(set(_READS.findall(text)) - assigned)
        if not name.startswith("CONDA_BACKUP_")
    ]
