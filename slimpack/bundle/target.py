"""What ``--to`` names: where the images of a bundle go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimpack.bundle.far import Far
from slimpack.bundle.reader import Bundle
from slimpack.daemon import ENGINES, choose
from slimpack.errors import InputError
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import Reference

FORMS = "registry=HOST[:PORT][/PREFIX], layout=FOLDER, docker, podman, containerd or channel=FOLDER"
_WITH_PLACE = ("registry", "layout", "channel")


@dataclass(frozen=True)
class Target:
    """A kind of place, and which one of it ("" for an engine).

    kind: ``registry``, ``layout``, ``channel``, or the name of an engine.
    """

    kind: str
    place: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read one of `FORMS`; raise InputError."""
        kind, equals, place = text.partition("=")
        if (kind in ENGINES and not equals) or (kind in _WITH_PLACE and place):
            return cls(kind, place)
        raise InputError(f"{text[:300]!r} is no target", hint=f"give {FORMS}")

    def __str__(self) -> str:
        return f"{self.kind}={self.place}" if self.place else self.kind


def open_far(
    target: Target, bundle: Bundle, registries: Registries, mount_from: Sequence[Reference] = ()
) -> Far:
    """Return the far side that takes images. Nothing is asked or written yet.

    Raises InputError for what is no place of its kind.
    """
    if target.kind == "registry":
        from slimpack.bundle.to_registry import Place, RegistryFar

        return RegistryFar(Place.parse(target.place), registries, mount_from)
    if target.kind == "layout":
        from slimpack.bundle.to_layout import LayoutFar

        return LayoutFar(Path(target.place))
    if target.kind in ENGINES:
        from slimpack.bundle.to_engine import EngineFar

        return EngineFar(choose(target.kind), bundle)
    raise InputError(f"no images go to {target}", hint=f"give {FORMS}")
