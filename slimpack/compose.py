"""From configuration, base and environment to the image's own configuration."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from slimpack.base import Base
from slimpack.config import Config, ImageConfig
from slimpack.env.activation import Activation
from slimpack.env.meta import Installed
from slimpack.errors import InputError
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.names import familiar_name
from slimpack.oci.plan import LayerPlan
from slimpack.tree import Kind, Tree, under

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_LINKS = 40  # as the kernel's MAXSYMLINKS


def references(image: ImageConfig) -> tuple[str, ...]:
    """Return what the image is called: NAME:TAG for each tag, or NAME, or nothing.

    Raises InputError for a name that no engine or registry takes.
    """
    names = image.references
    if not names and image.name:
        names = tuple(f"{image.name}:{tag}" for tag in image.tags) or (image.name,)
    return tuple(familiar_name(name) for name in names)


def layer_names(plans: Sequence[LayerPlan], installed: Installed) -> list[str]:
    """Return the layers' names for humans: a lone package with its version and build."""
    dists = {package.name: package.dist for package in installed.packages}
    return [
        dists.get(plan.owners[0], plan.name) if plan.name == plan.owners[0] else plan.name
        for plan in plans
    ]


def image_config(
    config: Config, base: Base, activation: Activation, tree: Tree, *, prefix: str, epoch: int
) -> OciConfig:
    """Return how containers of the image start, without what the base already says.

    PATH: folders that activation scripts add, the environment's ``bin``, then
    the base's. The user's variables win over activation's.

    Raises InputError when the entrypoint is not in the image.
    """
    image = config.image
    path = dict(base.image.config.env).get("PATH", _DEFAULT_PATH)
    path = ":".join([*activation.path, f"{prefix}/bin", path])
    env = {**dict(activation.env), "PATH": path, **dict(image.env)}
    cmd = image.cmd
    if not (image.entrypoint or cmd) and under(prefix, "bin/python") in tree:
        cmd = (f"{prefix}/bin/python",)
    if command := (*image.entrypoint, *cmd):
        _check_command(command[0], env["PATH"], tree, base)
    return OciConfig(
        architecture=base.image.config.architecture,
        os=base.image.config.os,
        variant=base.image.config.variant,
        env=tuple(sorted(env.items())),
        entrypoint=image.entrypoint,
        cmd=cmd,
        user=image.user,
        workdir=image.workdir,
        labels=dict(image.labels),
        exposed_ports=image.expose,
        created=epoch,
    )


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
    name = posixpath.normpath(place).strip("/")
    for _ in range(_MAX_LINKS):
        entry = tree.get(name)
        if entry is None:
            return name in base.view
        if entry.kind is not Kind.SYMLINK:
            return entry.kind is Kind.FILE and bool(entry.mode & 0o111)
        name = posixpath.normpath(posixpath.join("/", posixpath.dirname(name), entry.link))
        name = name.strip("/")
    return False
