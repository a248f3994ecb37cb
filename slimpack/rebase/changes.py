"""Which Debian packages two bases differ in, as their labels tell (`slimpack.base.LABEL`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slimpack.base import LABEL
from slimpack.debian.versions import Version


@dataclass(frozen=True)
class Change:
    """A package of which two bases have different versions; "" where one has none."""

    name: str
    old: str
    new: str

    @property
    def goes_back(self) -> bool:
        """Whether the new version is older; False for what is no Debian version."""
        try:
            return bool(self.old and self.new) and Version(self.new) < Version(self.old)
        except ValueError:
            return False


def runtime_name(labels: Mapping[str, str]) -> str:
    """Return the name of the runtime that an image has below it, "" when nothing tells."""
    return labels.get(LABEL, "").partition(" ")[0]


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    """Compare the labels of two images, package by package, in order of name."""
    before, after = _packages(old), _packages(new)
    return tuple(
        Change(name, before.get(name, ""), after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )


def _packages(labels: Mapping[str, str]) -> dict[str, str]:
    words = labels.get(LABEL, "").split(" ")[1:]
    return {name: version for name, _, version in (word.partition("=") for word in words) if name}
