"""Running pip: slimpack's own, with the prefix's Python where that runs.

What the user has configured for pip counts where it says from where packages
come (indexes, proxies, certificates); what would make it install elsewhere or
differently does not. Credentials never reach arguments or messages.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slimpack.env.pypi.interpreter import Interpreter
from slimpack.env.redact import redacted
from slimpack.errors import SlimpackError

_WORKER = Path(__file__).with_name("pip_worker.py")
# Where packages come from and how they are fetched.
_SOURCES = frozenset(
    {
        "index-url",
        "extra-index-url",
        "find-links",
        "no-index",
        "trusted-host",
        "cert",
        "client-cert",
        "proxy",
        "timeout",
        "default-timeout",
        "retries",
        "resume-retries",
        "keyring-provider",
        "cache-dir",
        "no-cache-dir",
        "build-constraint",
        "use-feature",
        "use-deprecated",
    }
)
# Which of them are chosen.
_CHOICES = frozenset(
    {"no-binary", "only-binary", "prefer-binary", "pre", "constraint", "uploaded-prior-to"}
)
_DETAILS = 6000
# The date that goes into wheels built here; zip knows none before 1980.
_EPOCH = "315532800"
_FIRST_ERROR = re.compile(r"^\s*(?:ERROR:|error:|\u00d7)", re.MULTILINE)
_ADVICE = re.compile(
    r"^Additionally, some packages in these conflicts have no .*\n(?:    .*\n)+|"
    r"^(?:To fix this you could try to:|\s*\d\. (?:loosen|remove) |hint: |\[notice\]).*\n?",
    re.MULTILINE,
)


class PipError(Exception):
    """pip ended with an error; `output` is what it said, without credentials.

    It never reaches the user: who called pip knows what for (`slimpack.env.pypi.pip_errors`).
    """

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output

    @property
    def details(self) -> str:
        """Its output from the first error on, without its advice."""
        first = _FIRST_ERROR.search(self.output)
        return _ADVICE.sub("", self.output[first.start() if first else 0 :]).strip()[-_DETAILS:]


@dataclass(frozen=True)
class Pip:
    """pip for one target.

    scratch: a folder for requests and whatever pip builds.
    native: run by the prefix's Python, else by ours with the target's markers.
    variables: further environment variables, for build backends.
    """

    target: Interpreter
    scratch: Path
    native: bool
    variables: tuple[tuple[str, str], ...] = ()

    def __call__(self, command: str, *arguments: str, choices: bool = False) -> None:
        """Run one pip command; raises PipError.

        choices: the user's configuration of which packages are chosen counts too.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="pip-", dir=self.scratch) as folder:
            request = Path(folder, "request.json")
            request.write_text(json.dumps(self._request()), encoding="utf-8")
            python = self.target.python if self.native else Path(sys.executable)
            output, code = _run(
                [
                    str(python),
                    *(("-I", "-B") if self.native else ("-I", "-B", "-S")),
                    str(_WORKER),
                    str(request),
                    command,
                    "--no-color",
                    *arguments,
                ],
                {
                    **environment(self.target, Path(folder), self._configured(choices)),
                    **dict(self.variables),
                },
            )
            if code:
                raise PipError(redacted(output))

    @cached_property
    def _configuration(self) -> dict[str, str]:
        return configuration()

    def _configured(self, choices: bool) -> dict[str, str]:
        wanted = _SOURCES | (_CHOICES if choices else frozenset())
        return {name: value for name, value in self._configuration.items() if name in wanted}

    @property
    def foreign_arguments(self) -> list[str]:
        """The arguments that tell pip of a platform which this machine does not run."""
        if self.native:
            return []
        return [
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={self.target.number}",
            f"--abi={self.target.abi}",
            *(f"--platform={name}" for name in self.target.platforms),
        ]

    def _request(self) -> dict[str, object]:
        site = str(self.target.prefix / self.target.site)
        return {
            "root": str(pip_folder().parent),
            "installed": [] if self.native else [site],
            "glibc": list(self.target.glibc),
            "markers": None if self.native else self.target.markers,
        }


def pip_folder() -> Path:
    """Return the folder of slimpack's own pip; SlimpackError when it is not there."""
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        raise SlimpackError(
            "pip is not installed beside slimpack", hint="python -m ensurepip, or install slimpack"
        )
    return Path(spec.origin).parent


def environment(target: Interpreter, folder: Path, configured: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for pip and for what it builds.

    folder: for temporary files. configured: options of pip by name. The user's
    Python settings stay out; clocks and hash seeds are fixed so that what is built
    is the same each time.
    """
    # What a compiler is told: no debug sections, since they name folders of this machine.
    flags = f"-g0 -ffile-prefix-map={folder}=."
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "PYTHON", "VIRTUAL_ENV"))
    }
    settings = {
        f"PIP_{name.replace('-', '_').upper()}": value for name, value in configured.items()
    }
    return {
        **kept,
        **settings,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", _EPOCH),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "CONDA_PREFIX": str(target.prefix),
        "PATH": f"{target.prefix}/bin:{os.environ.get('PATH', os.defpath)}",
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} {flags}".strip(),
        "CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {flags}".strip(),
        "TMPDIR": str(folder),
    }


def configuration() -> dict[str, str]:
    """Return what ``pip install`` is configured to do, from files and PIP_* variables.

    In the order of pip: [global], then [install], then the variables.
    """
    done = subprocess.run(
        [sys.executable, "-I", str(pip_folder() / "__pip-runner__.py"), "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SlimpackError(
            "pip cannot read its configuration",
            details=redacted(done.stderr.decode("utf-8", "replace").strip()[-_DETAILS:]),
        )
    sections: dict[str, dict[str, str]] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        match = re.match(r"(?P<section>[\w-]+|:env:)\.(?P<name>[\w-]+)=(?P<value>.*)\Z", line)
        if match is None:
            continue
        with suppress(ValueError, SyntaxError):
            value = " ".join(str(ast.literal_eval(match["value"])).split())
            sections.setdefault(match["section"], {})[match["name"]] = value
    merged: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        merged.update({name: value for name, value in sections.get(section, {}).items() if value})
    return merged


def _run(command: Sequence[str], env: dict[str, str]) -> tuple[str, int]:
    """Run a command in a session of its own, so that nothing of it outlives this call."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait()
        finally:
            # Also on Ctrl-C: compilers that pip started must not go on.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return output.read().decode("utf-8", "replace"), code


def private_file(path: Path, text: str) -> Path:
    """Write a file that only this user can read (index URLs may hold credentials)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    return path
