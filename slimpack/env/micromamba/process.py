"""Running micromamba so that only what the user means to apply applies.

Every call has a ``HOME`` and a root prefix of its own in a scratch folder:
nothing is written to the user's ``~/.conda/environments.txt``, ``~/.mamba`` or
``~/.cache``. ``.condarc`` and ``.mambarc`` are not read (``--no-rc``), nor are
the ``CONDA_*``, ``MAMBA_*`` and ``XDG_*`` variables: a channel, a pin or a
platform that is set there would end up in the image without anybody having
written it down.

What it takes to reach the channels does apply: the proxy and certificate
variables (``HTTPS_PROXY``, ``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE`` and the
like, all passed on), mamba's own network variables (`_NETWORK`), and
credentials: ``NETRC``, ``~/.netrc``, what ``micromamba auth login`` stored, and
the tokens of anaconda-client (`_CREDENTIALS`). ``ssl_verify`` and
``proxy_servers`` of an rc file have to be given as variables.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from slimpack.errors import InputError

_FOREIGN = re.compile(r"(?:_?CONDA|_CE|MAMBA|XDG)_|(?:CONDARC|MAMBARC|HOME)\Z")
_NETWORK = re.compile(r"MAMBA_(?:SSL_|CACERT_PATH\Z|REMOTE_|NO_LOW_SPEED_LIMIT\Z)")
_CREDENTIALS = (".netrc", ".mamba/auth", ".continuum/anaconda-client/tokens")
# Virtual package -> variable that sets it.
_OVERRIDES = {
    "__glibc": "CONDA_OVERRIDE_GLIBC",
    "__linux": "CONDA_OVERRIDE_LINUX",
    "__cuda": "CONDA_OVERRIDE_CUDA",
    "__osx": "CONDA_OVERRIDE_OSX",
    "__win": "CONDA_OVERRIDE_WIN",
}
_ARCHSPEC = "CONDA_OVERRIDE_ARCHSPEC"


@dataclass(frozen=True)
class Answer:
    """What one call gave: exit code, and both streams as text."""

    code: int
    stdout: str
    stderr: str


def surroundings(scratch: Path, packages: Path) -> dict[str, str]:
    """Return the environment of a call and make its folders in `scratch`.

    packages: micromamba's package cache.
    """
    home = scratch / "home"
    home.mkdir(exist_ok=True)
    _link_credentials(Path(os.path.expanduser("~")), home)  # noqa: PTH111 (Path raises without a home)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not _FOREIGN.match(name) or _NETWORK.match(name)
    }
    return {
        **kept,
        "HOME": str(home),
        "MAMBA_ROOT_PREFIX": str(scratch / "root"),
        "CONDA_PKGS_DIRS": _list_item(str(packages)),
        # A variable and not the option: before 2.9 micromamba knows neither,
        # and would refuse the option.
        "MAMBA_SKIP_RUN_LINK_SCRIPTS": "true",
    }


def overrides(virtual_packages: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Return the variables that make micromamba see these virtual packages and no others.

    virtual_packages: (name, version, build). ``__unix`` and ``__linux`` are
    always there for a Linux platform, ``__archspec`` for every platform (conda's
    CEP 30); an unknown processor is its build 0. Raises InputError for one that
    micromamba cannot be told of.
    """
    values = dict.fromkeys(_OVERRIDES.values(), "") | {_ARCHSPEC: "0"}
    for name, version, build in virtual_packages:
        if name == "__archspec":
            values[_ARCHSPEC] = build
        elif name in _OVERRIDES:
            values[_OVERRIDES[name]] = version
        elif name != "__unix":
            raise InputError(
                f"micromamba cannot be told of the virtual package {name}",
                hint="use --engine rattler",
            )
    return values


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    on_line: Callable[[str], object] | None = None,
) -> Answer:
    """Run a program to its end; `on_line` gets each line of its output as it comes.

    It has a process group of its own, which is killed when anything, such as
    Ctrl-C, ends the call early: nothing goes on writing into a prefix that is
    removed. Raises InputError when the program cannot be started.
    """
    lines: list[str] = []
    with tempfile.TemporaryFile() as stderr:
        process = _start(command, environment, stderr.fileno())
        assert process.stdout is not None
        try:
            with process.stdout:
                for raw in process.stdout:
                    lines.append(raw.decode("utf-8", "replace"))
                    if on_line is not None:
                        on_line(lines[-1])
            process.wait()
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        stderr.seek(0)
        return Answer(process.returncode, "".join(lines), stderr.read().decode("utf-8", "replace"))


def _start(
    command: Sequence[str | Path], environment: Mapping[str, str], stderr: int
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(
            f"{command[0]} cannot be started: {error.strerror or error}",
            hint="repair it, or use --engine rattler",
        ) from error


def _list_item(value: str) -> str:
    """Return `value` as the one item of a list variable, which mamba reads as YAML."""
    try:
        plain = yaml.safe_load(f"[{value}]") == [value]
    except yaml.YAMLError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def _link_credentials(real: Path, home: Path) -> None:
    for name in _CREDENTIALS:
        link = home / name
        if (real / name).exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(real / name)
