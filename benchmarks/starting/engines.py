"""Docker, podman and containerd, as far as a cold start needs them: by their own programs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.running import RunError
from benchmarks.starting.progress import Pulled, Said, ctr_pull, timed

_PYTHON = "python"


@dataclass(frozen=True)
class Running:
    """A container that runs. pid: of its first process. address: where it is reached."""

    pid: int
    address: str


class Engine(Protocol):
    """What pulls images and runs containers. References are ``HOST:PORT/NAME:TAG``."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def programs(self) -> Sequence[str]:
        """What it consists of; it is in memory before a start is measured."""

    def forget(self, reference: str) -> None:
        """Remove an image, if it is there, and all that only it has."""

    def pull(self, reference: str) -> Pulled:
        """Pull an image."""

    def create(self, reference: str, name: str) -> None:
        """Make a container of an image as it wants to be run."""

    def start(self, name: str) -> None:
        """Start a container, and come back when that is done."""

    def attached(self, name: str) -> tuple[str, ...]:
        """Return the command that starts a container and has its output."""

    def running(self, name: str) -> Running:
        """Return where a started container is."""

    def logs(self, name: str) -> str:
        """Return what a container wrote, for an error's message."""

    def remove(self, name: str) -> None:
        """End a container and remove it, if it is there."""

    def python(self, reference: str, name: str, arguments: Sequence[str]) -> str:
        """Run an image's Python in a container `name`; return what it prints."""


@dataclass(frozen=True)
class Docker:
    """The programs docker and podman, which have one command line.

    command: the program with its global options. reader: of what ``pull`` prints.
    pull_options, run_options: what else it is told.
    """

    command: tuple[str, ...]
    version: str
    programs: Sequence[str]
    reader: Callable[[Said], Pulled]
    pull_options: tuple[str, ...] = ()
    run_options: tuple[str, ...] = ()

    def forget(self, reference: str) -> None:
        """Remove an image."""
        if reference in self._call("images", "--format", "{{.Repository}}:{{.Tag}}").split():
            self._call("rmi", "--force", reference)

    def pull(self, reference: str) -> Pulled:
        """Pull an image."""
        return self.reader(timed((*self.command, "pull", *self.pull_options, reference)))

    def create(self, reference: str, name: str) -> None:
        """Make a container."""
        self._call("create", *self.run_options, "--pull", "never", "--name", name, reference)

    def start(self, name: str) -> None:
        """Start a container."""
        self._call("start", name)

    def attached(self, name: str) -> tuple[str, ...]:
        """Return the command that starts a container and has its output."""
        return (*self.command, "start", "--attach", name)

    def running(self, name: str) -> Running:
        """Ask the engine; services are reached at their own addresses, not at forwarded ports.

        Docker's forwarder accepts connections before there is anybody to take them.
        """
        form = "{{.State.Pid}} {{.NetworkSettings.IPAddress}}"
        pid, _, address = self._call("inspect", "--format", form, name).strip().partition(" ")
        if not address:
            raise RunError(f"{name} has ended:\n{self.logs(name)}")
        return Running(int(pid), address)

    def logs(self, name: str) -> str:
        """Return what it wrote."""
        done = subprocess.run([*self.command, "logs", name], capture_output=True, text=True)
        return done.stdout + done.stderr

    def remove(self, name: str) -> None:
        """Remove a container."""
        # podman waits ten seconds for a program that does not end by itself.
        for command in (("kill",), ("rm", "--force", "--volumes")):
            subprocess.run([*self.command, *command, name], check=False, capture_output=True)

    def python(self, reference: str, name: str, arguments: Sequence[str]) -> str:
        """Run Python."""
        options = (*self.run_options, "--rm", "--pull", "never", "--name", name)
        return self._call("run", *options, "--entrypoint", _PYTHON, reference, *arguments)

    def _call(self, *arguments: str) -> str:
        return said(*self.command, *arguments)


@dataclass(frozen=True)
class Containerd:
    """containerd by ``ctr``, which makes no network: containers get one that is there.

    command: ctr with its global options. network: a network namespace. address: of the
    services in it. folder: for what containers write.
    """

    command: tuple[str, ...]
    version: str
    programs: Sequence[str]
    network: Path
    address: str
    folder: Path

    def forget(self, reference: str) -> None:
        """Remove an image; its content and snapshots are collected before this ends."""
        if reference in self._call("images", "list", "--quiet").split():
            self._call("images", "remove", "--sync", reference)

    def pull(self, reference: str) -> Pulled:
        """Pull an image."""
        return ctr_pull(timed((*self.command, "images", "pull", "--plain-http", reference)))

    def create(self, reference: str, name: str) -> None:
        """Make a container."""
        self._call("containers", "create", *self._network, reference, name)

    def start(self, name: str) -> None:
        """Start a container."""
        log = self._log(name).as_uri()
        self._call("tasks", "start", "--detach", "--log-uri", log, name)

    def attached(self, name: str) -> tuple[str, ...]:
        """Return the command that starts a container and has its output."""
        return (*self.command, "tasks", "start", name)

    def running(self, name: str) -> Running:
        """Ask containerd."""
        for line in self._call("tasks", "list").splitlines():
            fields = line.split()
            if fields[0] == name and fields[2] == "RUNNING":
                return Running(int(fields[1]), self.address)
        raise RunError(f"{name} has ended:\n{self.logs(name)}")

    def logs(self, name: str) -> str:
        """Return what it wrote."""
        path = self._log(name)
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def remove(self, name: str) -> None:
        """Remove a container."""
        for command in (("tasks", "delete", "--force"), ("containers", "delete")):
            subprocess.run([*self.command, *command, name], check=False, capture_output=True)
        self._log(name).unlink(missing_ok=True)

    def python(self, reference: str, name: str, arguments: Sequence[str]) -> str:
        """Run Python."""
        command = ("run", "--rm", *self._network, reference, name, _PYTHON, *arguments)
        return self._call(*command)

    @property
    def _network(self) -> tuple[str, str]:
        return "--with-ns", f"network:{self.network}"

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _call(self, *arguments: str) -> str:
        return said(*self.command, *arguments)


def files_of(programs: Sequence[str]) -> tuple[Path, ...]:
    """Return the files of those programs that are here."""
    found = (shutil.which(program) for program in programs)
    return tuple(Path(path) for path in found if path)


def said(*command: str) -> str:
    """Run a command that has no input and return what it prints; RunError when it fails."""
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise RunError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()
