"""From configuration, base and environment to the image's own configuration."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from slimpack.base import Base
from slimpack.config import LAZY, Config
from slimpack.cuda.families import family_of
from slimpack.env.activation import Activation
from slimpack.errors import InputError, RelocationError
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.plan import LayerPlan
from slimpack.oci.sharing import Duplicate, Shared, is_library
from slimpack.own import configure, own_of
from slimpack.tree import Kind, Tree, parents

_MAX_LINKS = 40  # as the kernel's MAXSYMLINKS


def sharing_notes(identical: Sequence[Duplicate], shared: Shared) -> Iterator[str]:
    """Tell what lies in the image more than once, and what does not any more."""
    if shared.files:
        yield f"{shared.files} files are hard links to equal ones ({shared.size / 1e6:.1f} MB)"
    for item in identical:
        copies = ", ".join(f"/{path} of {owner or 'no package'}" for owner, path in item.copies)
        yield f"the same library, {item.size / 1e6:.1f} MB each: {copies}"


def gpu_notes(base: Base, cuda: str) -> Iterator[str]:
    """Tell of a runtime for GPUs whose environment has nothing to do with them."""
    if base.gpu and not cuda:
        yield (
            "the runtime is for GPUs, but no package of the environment brings CUDA; "
            "set cuda under [env], or take the runtime distroless"
        )


def lazy_notes(base: Base, compression: str) -> Iterator[str]:
    """Tell of a base that has to be fetched as a whole below layers that need not be."""
    if compression in LAZY and not all(layer.annotations for layer in base.image.layers):
        yield (
            f"layers of the base are not {compression}: engines fetch them as a whole, and "
            "containerd all that lies on them, too (docs/lazy.md)"
        )


def twice_notes(base: Base, tree: Tree) -> Iterator[str]:
    """Tell which of CUDA's libraries the base has although the environment brings them."""
    theirs: Counter[str] = Counter()
    for path, placed in base.view.items():
        family = family_of(posixpath.basename(path)) if is_library(path) else None
        if family and placed.member.kind == "file" and "/stubs/" not in path:
            theirs[family.name] += placed.member.size
    if not theirs:
        return
    ours = {
        family.name
        for entry in tree
        if is_library(entry.path)
        and entry.kind is Kind.FILE
        and (family := family_of(posixpath.basename(entry.path)))
    }
    both = [(name, size) for name, size in theirs.most_common() if name in ours]
    if both:
        listed = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in both)
        total = sum(size for _, size in both) / 1e6
        yield (
            f"the base has libraries of CUDA that the environment brings, too: {listed}; "
            f"{total:.1f} MB of its layers are of no use to the environment: "
            "take the runtime cuda, which has none"
        )


def check_places(tree: Tree, base: Base, prefix: str) -> None:
    """Raise InputError where the image's own files would hide or mix with the base's.

    A prefix that the base already fills would be two environments in one; a file
    in place of a folder of the base would hide all that is in it.
    """
    inside = f"{prefix.strip('/')}/"
    old = next((path for path in base.view if path.startswith(inside)), None)
    if old is not None:
        raise InputError(
            f"the base already has files below {prefix} (/{old})",
            hint="choose another place for the environment: --prefix /opt/other",
        )
    for entry in tree:
        placed = base.view.get(entry.path)
        if entry.kind is not Kind.DIRECTORY and placed and placed.member.kind == "directory":
            raise InputError(
                f"/{entry.path} is a folder of the base, and cannot be replaced by a file",
                hint="to copy a file into a folder, end 'to' with a slash",
            )


def check_environment(config: OciConfig, forbidden: tuple[bytes, ...]) -> None:
    """Raise RelocationError when a variable or a label names a path of the build."""
    pairs = (*config.env, *config.labels.items())
    for name, value in pairs:
        for text in forbidden:
            if text in value.encode("utf-8", "surrogateescape"):
                raise RelocationError(
                    f"the variable or label {name} contains the build path {text.decode()!r}",
                    hint=f"set {name} under [image.env], or mend the script that sets it",
                )


def layer_names(plans: Sequence[LayerPlan], titles: Mapping[str, str]) -> list[str]:
    """Return the layers' names for humans: a lone package as `titles` call it, by owner."""
    return [
        titles.get(plan.owners[0], plan.name) if plan.name == plan.owners[0] else plan.name
        for plan in plans
    ]


def image_config(
    config: Config,
    base: Base,
    activation: Activation,
    tree: Tree,
    *,
    prefix: str,
    epoch: int,
    cuda: str = "",
) -> OciConfig:
    """Return how containers of the image start, without what the base already says.

    The user's variables win over activation's. cuda: the environment's version of it,
    which decides what NVIDIA_REQUIRE_CUDA says on a runtime for GPUs.

    Raises InputError when the entrypoint is not in the image.
    """
    own = own_of(config, activation, tree, prefix=prefix, epoch=epoch, cuda=cuda)
    run = configure(own, base)
    # Behind an entrypoint of the base, cmd is only its arguments.
    command = run.entrypoint or (() if base.image.config.entrypoint else run.cmd)
    if command:
        _check_command(command[0], dict(run.env)["PATH"], tree, base)
    return run


def _check_command(program: str, path: str, tree: Tree, base: Base) -> None:
    if program.startswith("/"):
        places = [program]
    elif "/" in program:
        return  # relative to the working directory, which may be a volume
    else:
        places = [f"{folder}/{program}" for folder in path.split(":")]
    if any(_executable(place, tree, base) for place in places):
        return
    raise InputError(
        f"entrypoint: there is no program {program!r} in the image",
        hint="add the package that has it, or give its full path",
    )


def _executable(place: str, tree: Tree, base: Base) -> bool:
    """Tell whether the image has a program there, all links followed."""
    path = posixpath.normpath(place).strip("/")
    for _ in range(_MAX_LINKS):
        link = next(
            filter(None, (_link(part, tree, base) for part in (*parents(path), path))), None
        )
        if link is None:
            break
        part, target = link
        rest = path[len(part) :]
        path = posixpath.join("/", posixpath.dirname(part), target) + rest
        path = posixpath.normpath(path).strip("/")
    else:
        return False
    entry = tree.get(path)
    if entry is not None:
        return entry.kind is Kind.FILE and bool(entry.mode & 0o111)
    return path in base.view and bool(base.view[path].member.mode & 0o111)


def _link(path: str, tree: Tree, base: Base) -> tuple[str, str] | None:
    """Return (path, target) if that is a symbolic link, in the environment or the base."""
    entry = tree.get(path)
    if entry is not None:
        return (path, entry.link) if entry.link else None
    placed = base.view.get(path)
    if placed is not None and placed.member.kind == "symlink":
        return path, placed.member.link
    return None
