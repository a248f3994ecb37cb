"""What an image runs and where: `Platform`, `ImageConfig`, `History`.

Format: OCI image-spec v1.1, config.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from slimpack.errors import ImageError, InputError
from slimpack.oci import jsontext
from slimpack.oci.jsontext import Object

Pairs = tuple[tuple[str, str], ...]

_MACHINES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Platform:
    """Operating system and processor, in Go's words (``linux``, ``amd64``, variant ``v8``)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/amd64`` or ``linux/arm64/v8``; raise InputError for anything else."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(
            part and part.isascii() and part.replace("_", "").replace("-", "").isalnum()
            for part in parts
        ):
            raise InputError(
                f"{text!r} is not a platform", hint="write it like linux/amd64 or linux/arm64/v8"
            )
        if parts[1] in _MACHINES:
            raise InputError(
                f"images do not know the architecture {parts[1]}",
                hint=f"write {parts[0]}/{_MACHINES[parts[1]]}",
            )
        return cls(*parts)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def matches(self, other: Platform) -> bool:
        """Tell whether they are the same machine; arm64 means arm64/v8, arm means arm/v7."""
        return (self.os, self.architecture, self._variant) == (
            other.os,
            other.architecture,
            other._variant,
        )

    @property
    def _variant(self) -> str:
        default = {"arm64": "v8", "arm": "v7", "amd64": "v1"}.get(self.architecture, "")
        return self.variant or default


@dataclass(frozen=True)
class ImageConfig:
    """How a container of the image starts.

    env: (name, value) in the order they are set. entrypoint, cmd: the command
    line's fixed and its replaceable part. user: ``uid``, ``uid:gid`` or names.
    workdir: absolute. exposed_ports: ``8000/tcp``. volumes: absolute paths.
    created: seconds since the epoch, of the image and of each of its layers.
    """

    architecture: str = "amd64"
    os: str = "linux"
    variant: str = ""
    env: Pairs = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    created: int = 0

    @property
    def platform(self) -> Platform:
        """Where the image runs."""
        return Platform(self.os, self.architecture, self.variant)

    def on(self, base: ImageConfig) -> ImageConfig:
        """Return this config as it is when built on top of `base`.

        Env: the base's order, our values, then what only we have. Labels, ports
        and volumes: both, ours winning. User, workdir, stop signal: ours or the
        base's. An entrypoint of ours drops the base's cmd, as in a Dockerfile.
        Raises InputError when the two are for different platforms.
        """
        if not self.platform.matches(base.platform):
            raise InputError(
                f"the base is for {base.platform}, the image for {self.platform}",
                hint="choose a base of the image's platform",
            )
        cmd = self.cmd if self.cmd or self.entrypoint else base.cmd
        return replace(
            self,
            variant=self.variant or base.variant,
            env=tuple({**dict(base.env), **dict(self.env)}.items()),
            entrypoint=self.entrypoint or base.entrypoint,
            cmd=cmd,
            user=self.user or base.user,
            workdir=self.workdir or base.workdir,
            labels={**base.labels, **self.labels},
            exposed_ports=tuple(sorted({*base.exposed_ports, *self.exposed_ports})),
            volumes=tuple(sorted({*base.volumes, *self.volumes})),
            stop_signal=self.stop_signal or base.stop_signal,
        )

    def to_json(self, diff_ids: list[str], history: list[Object]) -> Object:
        """Return the config file as JSON data; empty fields are left out."""
        run: Object = {
            "Env": [f"{name}={value}" for name, value in self.env],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "User": self.user,
            "WorkingDir": self.workdir,
            "Labels": dict(self.labels),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Volumes": {volume: {} for volume in self.volumes},
            "StopSignal": self.stop_signal,
        }
        result: Object = {
            "architecture": self.architecture,
            "os": self.os,
            "created": rfc3339(self.created),
            "config": {key: value for key, value in run.items() if value},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        }
        if self.variant:
            result["variant"] = self.variant
        return result

    @classmethod
    def from_json(cls, data: Object, what: str) -> ImageConfig:
        """Read a config file; raise ImageError, naming `what`, for wrong types.

        Keys that this class does not have (Healthcheck, OnBuild, Shell) are passed over.
        """
        run = jsontext.mapping(data, "config", what)
        env = [item.partition("=") for item in jsontext.texts(run, "Env", what)]
        return cls(
            architecture=jsontext.text(data, "architecture", what),
            os=jsontext.text(data, "os", what),
            variant=jsontext.text(data, "variant", what),
            env=tuple((name, value) for name, _, value in env),
            entrypoint=tuple(jsontext.texts(run, "Entrypoint", what)),
            cmd=tuple(jsontext.texts(run, "Cmd", what)),
            user=jsontext.text(run, "User", what),
            workdir=jsontext.text(run, "WorkingDir", what),
            labels=jsontext.text_mapping(run, "Labels", what),
            exposed_ports=tuple(jsontext.mapping(run, "ExposedPorts", what)),
            volumes=tuple(jsontext.mapping(run, "Volumes", what)),
            stop_signal=jsontext.text(run, "StopSignal", what),
            created=_epoch(jsontext.text(data, "created", what)),
        )


@dataclass(frozen=True)
class History:
    """One line of ``docker history``; `empty` when the step made no layer."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty: bool = False

    def to_json(self) -> Object:
        """Return the JSON form; empty fields are left out."""
        result: Object = {
            "created": self.created,
            "created_by": self.created_by,
            "comment": self.comment,
            "author": self.author,
            "empty_layer": self.empty,
        }
        return {key: value for key, value in result.items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], what: str) -> History:
        """Read one item of a config's history."""
        return cls(
            created=jsontext.text(data, "created", what),
            created_by=jsontext.text(data, "created_by", what),
            comment=jsontext.text(data, "comment", what),
            author=jsontext.text(data, "author", what),
            empty=data.get("empty_layer") is True,
        )


def rfc3339(epoch: int) -> str:
    """Format seconds since the epoch as ``1970-01-01T00:00:00Z``."""
    try:
        moment = datetime.fromtimestamp(epoch, timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise ImageError(f"an image cannot be created at the time {epoch}") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _epoch(text: str) -> int:
    """Read a date of others, to the second; 0 for none or one that is no RFC 3339."""
    try:
        moment = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return 0
    return int(moment.replace(tzinfo=timezone.utc).timestamp())
