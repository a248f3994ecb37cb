"""From arguments to the images of a bundle and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slimpack.bundle.bases import bases_of
from slimpack.bundle.contents import Extra
from slimpack.bundle.images import (
    Opened,
    Registered,
    fetched,
    joined,
    of_platforms,
    open_other,
    open_path,
    open_reference,
)
from slimpack.bundle.shelves import documents_of
from slimpack.bundle.since import Old, old_images
from slimpack.bundling.arguments import Argument, understood
from slimpack.bundling.building import Made, Means, Spec, built, spec_of
from slimpack.errors import InputError
from slimpack.oci.config import Platform
from slimpack.oci.names import canonical_name
from slimpack.platforms import resolve
from slimpack.registry.reference import Reference


@dataclass(frozen=True)
class Wanted:
    """What is to go into a bundle.

    arguments: references, files, folders, specifications. platforms: only these, () for all.
    refs: only images of these names, of files with several. names: (argument, NAME:TAG) for
    images that get other names than their own. documents: also what tells of the images.
    bases: also the images that they stand on.
    """

    arguments: tuple[str, ...]
    platforms: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    documents: bool = True
    bases: bool = False


@dataclass(frozen=True)
class Gathered:
    """Images, each once, and files beside them. made: those that were built for it."""

    images: tuple[Opened, ...]
    extras: tuple[Extra, ...] = field(default=())
    made: tuple[Made, ...] = ()


def gather(wanted: Wanted, registered: Registered, means: Means, scratch: Path) -> Gathered:
    """Open all images, and build what is none yet below `scratch`.

    What is wrong with arguments and names is told before anything is built. The images are
    usable as long as `scratch` and `registered.registries` are. Raises the children of
    SlimpackError.
    """
    arguments = [understood(text) for text in dict.fromkeys(wanted.arguments)]
    names = _names(wanted, arguments)
    specs = _specs(arguments, wanted, names)
    opened: list[Opened] = []
    for argument in arguments:
        if argument.text not in specs:
            opened += _named(_open(argument, wanted, registered), names.get(argument.text))
    _check_refs(wanted, opened)
    made: list[Made] = []
    for number, spec in enumerate(specs.values()):
        folder = scratch / f"spec{number}"
        folder.mkdir()
        made.append(built(spec, folder, means))
        (image,) = open_path(made[-1].layout)
        opened.append(replace(image, source=spec.text, names=spec.names))
    order = {argument.text: number for number, argument in enumerate(arguments)}
    opened.sort(key=lambda one: order[one.source])
    platforms = [Platform.parse(resolve(text)) for text in wanted.platforms]
    opened = [of_platforms(one, platforms, means.progress) for one in opened]
    if wanted.bases:
        opened += bases_of(opened, registered)
    if wanted.documents:
        opened = [replace(one, documents=documents_of(one, registered)) for one in opened]
    extras = distinct([one.lock for one in made if one.lock])
    return Gathered(tuple(fetched(joined(opened), registered)), extras, tuple(made))


def old_images_of(texts: Sequence[str], registered: Registered) -> list[Old]:
    """Return images that the far side has, to make patches from.

    Raises InputError for what is no image, and what opening one raises.
    """
    found: list[Old] = []
    for argument in map(understood, dict.fromkeys(texts)):
        if argument.kind in ("spec", "configuration"):
            raise InputError(
                f"{argument.text} is no image that the far side could have",
                hint="give the image that was sent: a reference, a layout, a tar, a bundle",
            )
        for one in fetched(_opened(argument, registered), registered):
            found += old_images(one.names, one.target)
    return found


def _open(argument: Argument, wanted: Wanted, registered: Registered) -> list[Opened]:
    found = _opened(argument, registered)
    if not wanted.refs or argument.kind == "reference":
        return found
    return [one for one in found if any(one.is_called(ref) for ref in wanted.refs)]


def _opened(argument: Argument, registered: Registered) -> list[Opened]:
    opener: Callable[[], list[Opened]] = {
        "reference": lambda: [
            open_reference(argument.text, Reference.parse(argument.text), registered)
        ],
        "bundle": lambda: open_other(argument.path),
        "images": lambda: open_path(argument.path, registered.progress),
    }[argument.kind]
    return [replace(one, source=argument.text) for one in opener()]


def _names(wanted: Wanted, arguments: Sequence[Argument]) -> dict[str, tuple[str, ...]]:
    """Return the full names that arguments get instead of their own."""
    found: dict[str, tuple[str, ...]] = {}
    known = {argument.text for argument in arguments}
    for text, name in wanted.names:
        if text not in known:
            raise InputError(
                f"--name {text}={name}: {text} is not among the arguments",
                hint="write it as it stands there: --name IMAGE=NAME:TAG",
            )
        found[text] = (*found.get(text, ()), canonical_name(name))
    return found


def _named(opened: list[Opened], names: tuple[str, ...] | None) -> list[Opened]:
    if not names:
        return opened
    if len(opened) > 1:
        source = opened[0].source
        raise InputError(
            f"--name {source}={names[0]}: it holds {len(opened)} images: "
            + ", ".join(_label(one) for one in opened),
            hint="choose one of them with --ref",
        )
    return [replace(one, names=names) for one in opened]


def _label(one: Opened) -> str:
    return next(iter((*one.labels, *one.names)), one.target.digest)


def _specs(
    arguments: Sequence[Argument], wanted: Wanted, names: dict[str, tuple[str, ...]]
) -> dict[str, Spec]:
    """Return what has to be built, by argument; all have names, or nothing is begun."""
    found: dict[str, Spec] = {}
    taken: dict[str, str] = {}
    for argument in arguments:
        if argument.kind not in ("spec", "configuration"):
            continue
        spec = spec_of(argument, wanted.platforms, names.get(argument.text, ()))
        if not spec.names:
            raise InputError(
                f"{argument.text}: the image that is built from it has no name",
                hint=f"give it one with --name {argument.text}=NAME:TAG, or under [image] in "
                "slimpack.toml",
            )
        for name in spec.names:
            other = taken.setdefault(name, argument.text)
            if other != argument.text:
                raise InputError(
                    f"{other} and {argument.text} are two images under one name, {name}",
                    hint=f"name one of them with --name {argument.text}=NAME:TAG",
                )
        found[argument.text] = spec
    return found


def _check_refs(wanted: Wanted, opened: Sequence[Opened]) -> None:
    for ref in wanted.refs:
        if not any(one.is_called(ref) for one in opened):
            raise InputError(
                f"--ref {ref}: no image of that name is in the files that were given",
                hint="`slimpack inspect FILE` tells what is there",
            )


def distinct(extras: Sequence[Extra]) -> tuple[Extra, ...]:
    """Return files under different paths: a second one of a name gets a number."""
    found: dict[str, Extra] = {}
    for extra in extras:
        path, number = extra.part.path, 2
        while path in found and found[path].part.digest != extra.part.digest:
            path = extra.part.path.replace(".pixi.lock", f"-{number}.pixi.lock")
            number += 1
        found[path] = replace(extra, part=replace(extra.part, path=path))
    return tuple(found.values())
