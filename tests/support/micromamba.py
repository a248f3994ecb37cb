"""A stand-in for micromamba 2.8.1, for machines that have none.

`stand_in` writes an executable of that name. It answers as the recordings in
tests/data/micromamba do, and where a test needs packages it acts: solves and
installs with slimpack's embedded engine, and does to ``$HOME``, the prefix and
its exit code what the real one does. Environment variables set by a test:

STANDIN_REPLAY  name of the recording to answer a dry run with, in JSON;
                ``NAME,TEXT-NAME`` gives the one for the text mode too
STANDIN_CHANNEL URL that the recording's channel gets
STANDIN_FAULT   what goes wrong, see `_FAULTS` and `main`
STANDIN_LOG     file that gets a JSON line a call: argv, environment, input file
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import Lock, read_explicit
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InstallError, SolveError

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDINGS = ROOT / "tests" / "data" / "micromamba"
CHANNEL = "file:///CHANNEL"  # in the recordings


def stand_in(folder: Path) -> Path:
    """Write the executable into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "micromamba"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.support.micromamba import main\nmain()\n"
    )
    program.chmod(0o755)
    return program


def recording(name: str) -> dict[str, Any]:
    """Return a recording: argv, exit, stdout, stderr, ..."""
    answer: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return answer


def main() -> None:
    """Be micromamba."""
    fault = os.environ.get("STANDIN_FAULT", "")
    if sys.argv[1:] == ["--version"]:
        recorded = str(recording("version")["stdout"]).strip()
        print(fault.removeprefix("version:") if fault.startswith("version:") else recorded)
        sys.exit(9 if fault == "broken" else 0)
    call = _arguments()
    _log(call)
    if fault == "hang":
        time.sleep(600)
    if fault == "garbage":
        print("{")
        sys.exit(0)
    if call.dry_run:
        _dry_run(call)
    else:
        _create(call, fault)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=["create"])
    for flag in ("--json", "--dry-run", "--yes", "--no-rc", "--no-pyc"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--channel-priority", choices=["strict", "disabled"], default="strict")
    parser.add_argument("--platform", required=True)
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    return parser.parse_args()


def _log(call: argparse.Namespace) -> None:
    if "STANDIN_LOG" in os.environ:
        entry = {
            "argv": sys.argv[1:],
            "environment": dict(os.environ),
            "file": call.file.read_text(),
            "pid": os.getpid(),
        }
        with open(os.environ["STANDIN_LOG"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")


def _replay(name: str) -> None:
    answer = recording(name)
    channel = os.environ.get("STANDIN_CHANNEL", CHANNEL)
    sys.stdout.write(answer["stdout"].replace(CHANNEL, channel))
    sys.stderr.write(answer["stderr"])
    sys.exit(answer["exit"])


def _engine() -> RattlerEngine:
    packages = Path(yaml.safe_load(f"[{os.environ['CONDA_PKGS_DIRS']}]")[0])
    return RattlerEngine(packages, packages / "cache")


def _dry_run(call: argparse.Namespace) -> None:
    replay = os.environ.get("STANDIN_REPLAY", "").split(",")
    if replay[0]:
        _replay(replay[0] if call.json else replay[-1])
    content = yaml.safe_load(call.file.read_text())
    channels = content["channels"]
    assert channels.pop() == "nodefaults", "the user's own channels would be asked too"
    spec = EnvSpec("t", tuple(channels), tuple(content["dependencies"]), source="t")
    try:
        lock = _engine().solve(
            spec,
            call.platform,
            _virtual_packages(),
            strict_priority=call.channel_priority == "strict",
        )
    except SolveError as error:
        if call.json:
            _replay("unsolvable-json")
        explanation = "".join(f"    {line}\n" for line in error.details.splitlines())
        sys.stderr.write(f"error    libmamba Could not solve for environment specs\n{explanation}")
        sys.stderr.write("critical libmamba Could not solve for environment specs\n")
        sys.exit(1)
    except InstallError:
        _replay("missing-channel-json")
    records = [_record(package.url) for package in lock.packages]
    actions = {"FETCH": records, "LINK": records, "PREFIX": str(call.prefix)}
    print(json.dumps({"actions": actions, "dry_run": True, "success": True}, indent=4))


def _virtual_packages() -> list[tuple[str, str, str]]:
    def override(name: str) -> str:
        return os.environ[f"CONDA_OVERRIDE_{name}"]

    packages = [
        ("__unix", "0", "0"),
        ("__linux", override("LINUX") or "0", "0"),
        ("__archspec", "1", override("ARCHSPEC")),
    ]
    offered = [name for name in ("GLIBC", "CUDA") if override(name)]
    return [*packages, *((f"__{name.lower()}", override(name), "0") for name in offered)]


def _record(url: str) -> dict[str, Any]:
    path = Path(unquote(urlsplit(url).path))
    repodata = json.loads((path.parent / "repodata.json").read_text())
    known = {**repodata["packages"], **repodata.get("packages.conda", {})}[path.name]
    return {
        "constrains": [],
        "license": "",
        "timestamp": 0,
        "track_features": "",
        **known,
        "build_string": known["build"],
        "channel": path.parent.parent.as_uri(),
        "fn": path.name,
        "url": url,
    }


def _create(call: argparse.Namespace, fault: str) -> None:
    prefix: Path = call.prefix
    if prefix.exists():
        sys.stderr.write("error    libmamba Non-conda folder exists at prefix\n")
        sys.stderr.write("critical libmamba Aborting.\n")
        sys.exit(1)
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / ".mambarc").write_text(f"platform: {call.platform}")
    (prefix / "conda-meta" / "history").write_text(f"# cmd: {' '.join(sys.argv)}\n")
    registry = Path(os.environ["HOME"], ".conda", "environments.txt")
    registry.parent.mkdir(parents=True, exist_ok=True)
    registry.write_text(f"{prefix}\n")
    if fault == "empty":
        _replay("create-from-conda-lock-other-name")
    entries = read_explicit(call.file)
    for entry in entries:
        _check_digest(entry.url, entry.algorithm, entry.digest)
    lock = _engine().resolve_explicit(entries, call.platform, source=str(call.file))
    _engine().install(lock, prefix)
    print("Transaction starting")
    for entry in entries:
        print(f"Linking {Path(entry.url).stem}", flush=True)
    for script in sorted(prefix.glob("bin/.*-post-link.sh")):
        subprocess.run(["sh", script], env={"PREFIX": str(prefix)}, check=True)
    if fault in _FAULTS:
        _FAULTS[fault](lock, prefix)
    print("\nTransaction finished")


def _check_digest(url: str, algorithm: str, digest: str) -> None:
    path = Path(unquote(urlsplit(url).path))
    actual = hashlib.new(algorithm or "md5", path.read_bytes()).hexdigest()
    if digest and actual != digest:
        # As recorded in create-from-explicit-wrong-md5.
        print(f"{path.name} tarball has incorrect {algorithm.upper()}")
        sys.stderr.write(
            f"error    libmamba File not valid: {algorithm.upper()} doesn't match expectation "
            f'"{path}"\n    Expected: {digest}\n    Actual: {actual}\n    \n'
            "critical libmamba Found incorrect downloads. Aborting\n"
        )
        sys.exit(1)


def _first_record(lock: Lock, prefix: Path) -> Path:
    return prefix / "conda-meta" / f"{lock.packages[0].dist}.json"


def _without_one(lock: Lock, prefix: Path) -> None:
    _first_record(lock, prefix).unlink()


def _of_another_build(lock: Lock, prefix: Path) -> None:
    path = _first_record(lock, prefix)
    path.rename(path.with_name(path.name.replace(".json", "9.json")))


def _changed(key: str, value: str) -> Callable[[Lock, Path], None]:
    def change(lock: Lock, prefix: Path) -> None:
        path = _first_record(lock, prefix)
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


def _damaged(lock: Lock, prefix: Path) -> None:
    _first_record(lock, prefix).write_text("[")


_FAULTS: dict[str, Callable[[Lock, Path], None]] = {
    "missing": _without_one,
    "build": _of_another_build,
    "sha256": _changed("sha256", "0" * 64),
    "url": _changed("url", "file:///elsewhere/noarch/b-2.0-0.conda"),
    "version": _changed("version", "9"),
    "damaged": _damaged,
}
