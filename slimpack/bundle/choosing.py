"""Which images of a bundle go, and what they are called where they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimpack.bundle.model import Bundled, Statement
from slimpack.errors import BundleError, ImageError, InputError
from slimpack.oci.digest import check_digest
from slimpack.oci.names import canonical_name, is_full_name, split_name


@dataclass(frozen=True)
class Chosen:
    """An image of a bundle. names: full ones, as the far side shall know them; () for none."""

    bundled: Bundled
    names: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """Names of images: one name, all tags of a repository (tag ""), or a digest."""

    text: str
    repository: str = ""
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read ``serve:1.0``, ``ghcr.io/me/serve`` or ``sha256:...``; raise InputError."""
        if text.startswith("sha256:"):
            try:
                return cls(text, digest=check_digest(text, "an image"))
            except ImageError as error:
                raise InputError(error.message, hint=error.hint) from error
        host, path, tag = split_name(text)
        return cls(text, f"{host}/{path}", tag)

    def takes(self, bundled: Bundled, name: str) -> bool:
        """Tell whether it means the image `bundled` under its name (or under none, "")."""
        if self.digest:
            return self.digest == bundled.digest
        repository, _, tag = name.rpartition(":")
        return self.repository == repository and self.tag in ("", tag)


@dataclass(frozen=True)
class Rename:
    """Another name for what the pattern `old` means. new: without a tag, the tag stays."""

    old: Pattern
    new: Pattern

    @classmethod
    def parse(cls, text: str) -> Rename:
        """Read ``OLD=NEW``; raise InputError."""
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise InputError(f"--rename {text[:300]!r} is not OLD=NEW")
        rename = cls(Pattern.parse(old), Pattern.parse(new))
        if rename.new.digest or (rename.new.tag and not (rename.old.tag or rename.old.digest)):
            raise InputError(
                f"--rename {text[:300]!r} gives many names one",
                hint="name the tag on both sides, or on none",
            )
        return rename

    def apply(self, name: str) -> str:
        """Return the new name of what was called `name` ("" for what had none)."""
        return canonical_name(
            f"{self.new.repository}:{self.new.tag or name.rpartition(':')[2] or 'latest'}"
        )


def choose_images(
    statement: Statement, wanted: Sequence[Pattern] = (), renames: Sequence[Rename] = ()
) -> list[Chosen]:
    """Return the images that `wanted` means (all without it), with their names there.

    Raises InputError for a pattern that means nothing, BundleError for a name in the bundle
    that is none.
    """
    used: set[str] = set()
    found = []
    for bundled in statement.images:
        for name in bundled.names:
            if not is_full_name(name):
                raise BundleError(
                    f"the bundle calls an image {name[:300]!r}, which is no full name",
                    hint="its sender has to make it again",
                )
        names = [name for name in bundled.names or ("",) if _takes(wanted, bundled, name, used)]
        if names:
            new = (_renamed(renames, bundled, name, used) for name in names)
            found.append(Chosen(bundled, tuple(dict.fromkeys(filter(None, new)))))
    for pattern in (*wanted, *(rename.old for rename in renames)):
        if pattern.text not in used:
            raise InputError(
                f"the bundle has no image {pattern.text}", hint=f"it has {_shown(statement)}"
            )
    return found


def _takes(wanted: Sequence[Pattern], bundled: Bundled, name: str, used: set[str]) -> bool:
    fitting = {pattern.text for pattern in wanted if pattern.takes(bundled, name)}
    used |= fitting
    return bool(fitting) or not wanted


def _renamed(renames: Sequence[Rename], bundled: Bundled, name: str, used: set[str]) -> str:
    for rename in renames:
        if rename.old.takes(bundled, name):
            used.add(rename.old.text)
            return rename.apply(name)
    return name


def _shown(statement: Statement) -> str:
    names = [name for one in statement.images for name in one.names or (one.digest,)]
    return ", ".join(names[:20]) + (" and more" if len(names) > 20 else "") if names else "none"
