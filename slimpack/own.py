"""What an image says by itself, whatever lies below it, and the record of that in a label.

`configure` puts it on a base, when an image is built and when it gets another base. The
label holds what cannot be told from the finished image: which of its variables, labels
and commands are its own, how many layers are the base's, where it has files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slimpack.base import Base
from slimpack.config import COMPRESSIONS, Compression, Config, CopyRule
from slimpack.cuda.driver import numbers
from slimpack.cuda.requirement import NAME as REQUIREMENT
from slimpack.cuda.requirement import oldest_cuda, read_requirement, requirement_for
from slimpack.env.activation import Activation
from slimpack.errors import ImageError
from slimpack.oci import jsontext
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.config import Pairs
from slimpack.oci.image import BASE_DIGEST, BASE_NAME, Image
from slimpack.oci.jsontext import Object, canonical
from slimpack.tree import Tree, under

LABEL = "slimpack.rebase"
COMMENT = "slimpack"  # in the history of our own layers
# Of manifests: OCI image-spec v1.1, annotations.md, 'Pre-Defined Annotation Keys'.
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_LABEL = 1 << 20


@dataclass(frozen=True)
class Own:
    """The part of an image's configuration that no base has a say in.

    path: folders that come before the base's PATH.
    env: variables but for the PATH that follows from `path`; one in `env` wins.
    python: whether there is ``bin/python`` in `prefix`, for a base that starts nothing.
    cuda: version in the environment, "" without; compat: with libraries for older drivers.
    places: absolute paths that hold all its files.
    compression, level: of the layers; level None for the compressor's default.
    """

    prefix: str
    path: tuple[str, ...] = ()
    env: Pairs = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    created: int = 0
    python: bool = False
    cuda: str = ""
    compat: bool = False
    places: tuple[str, ...] = ()
    compression: Compression = "zstd"
    level: int | None = None


@dataclass(frozen=True)
class Recorded:
    """What the label of an image tells. layers: how many are the base's. glibc: of the base."""

    own: Own
    layers: int
    glibc: str


def own_of(
    config: Config, activation: Activation, tree: Tree, *, prefix: str, epoch: int, cuda: str
) -> Own:
    """Return what an image that is being built says by itself."""
    image = config.image
    return Own(
        prefix=prefix,
        path=(*activation.path, f"{prefix}/bin"),
        env=tuple(sorted({**_without_path(activation.env), **dict(image.env)}.items())),
        entrypoint=image.entrypoint,
        cmd=image.cmd,
        user=image.user,
        workdir=image.workdir,
        labels=dict(image.labels),
        exposed_ports=image.expose,
        created=epoch,
        python=under(prefix, "bin/python") in tree,
        cuda=cuda,
        compat=config.env.cuda_compat,
        places=tuple(sorted({prefix, *map(_place, config.app.copy)})),
        compression=image.compression,
        level=image.compression_level,
    )


def _place(rule: CopyRule) -> str:
    """Return where all files of a rule are (`slimpack.app` copies a file into ``folder/``)."""
    into = rule.target.endswith("/") and rule.source.is_file()
    return f"/{rule.target.strip('/')}" + (f"/{rule.source.name}" if into else "")


def _without_path(env: Pairs) -> dict[str, str]:
    return {name: value for name, value in env if name != "PATH"}


def configure(own: Own, base: Base) -> OciConfig:
    """Return how containers of the image start, without what the base already says.

    PATH: folders that activation scripts add, the environment's ``bin``, then the
    base's. A runtime for GPUs gets NVIDIA_REQUIRE_CUDA.
    """
    below = base.image.config
    path = ":".join([*own.path, dict(below.env).get("PATH", _DEFAULT_PATH)])
    env = {**dict(base.env), **_required(base, own.cuda, compat=own.compat)}
    env |= {"PATH": path, **dict(own.env)}
    cmd = own.cmd
    if own.python and not (own.entrypoint or cmd or below.entrypoint or below.cmd):
        cmd = (f"{own.prefix}/bin/python",)
    return OciConfig(
        architecture=below.architecture,
        os=below.os,
        variant=below.variant,
        env=tuple(sorted(env.items())),
        entrypoint=own.entrypoint,
        cmd=cmd,
        user=own.user or below.user or base.user,
        workdir=own.workdir,
        labels={**own.labels, LABEL: _text(own, base)},
        exposed_ports=own.exposed_ports,
        created=own.created,
    )


def base_annotations(base: Base) -> dict[str, str]:
    """Return what a manifest tells of a base that was pulled; {} for any other.

    Its name is without the digest where it has a tag, for whoever looks for a newer one.
    """
    if not base.reference:
        return {}
    name = base.reference.partition("@")[0]
    tagged = ":" in name.rpartition("/")[2]
    return {BASE_NAME: name if tagged else base.reference, BASE_DIGEST: base.image.digest}


def _required(base: Base, cuda: str, *, compat: bool) -> dict[str, str]:
    """Return what the image requires of the driver, {} where the base says it already.

    The environment's CUDA is what runs; the base's word counts for its own major version.
    """
    if not (base.gpu and cuda):
        return {}
    try:
        said = read_requirement(dict(base.image.config.env).get(REQUIREMENT, ""))
    except ValueError:
        said = ()
    if said and oldest_cuda(said[0])[:1] == numbers(cuda)[:1]:
        return {}
    required = requirement_for(cuda, compat=compat)
    return {REQUIREMENT: required} if required else {}


def _text(own: Own, base: Base) -> str:
    """Return the label's value: JSON, in which what is not there is left out."""
    record: Object = {
        "cmd": bool(own.cmd),
        "compat": own.compat,
        "compression": own.compression,
        "cuda": own.cuda,
        "entrypoint": bool(own.entrypoint),
        "env": [name for name, _ in own.env],
        "glibc": base.glibc,
        "labels": sorted(own.labels),
        "layers": len(base.image.layers),
        "level": own.level,
        "path": list(own.path),
        "places": list(own.places),
        "ports": list(own.exposed_ports),
        "prefix": own.prefix,
        "python": own.python,
        "user": bool(own.user),
        "workdir": bool(own.workdir),
    }
    return canonical({key: value for key, value in record.items() if value}).decode()


def read_own(image: Image) -> Recorded:
    """Return what the label of an image tells of it.

    Raises ImageError for an image without the label, and for one whose label or history
    does not fit: something was laid on top of it by others.
    """
    text = image.config.labels.get(LABEL, "")
    if not text:
        raise ImageError(
            f"the image has no label {LABEL}, which tells its base from the rest",
            hint="only images that `slimpack build` made can get another base: build it anew",
        )
    if len(text) > _MAX_LABEL:
        raise ImageError(f"the label {LABEL} is longer than {_MAX_LABEL} characters")
    record = jsontext.parse_object(text.encode("utf-8", "surrogateescape"), f"the label {LABEL}")
    what = f"the label {LABEL}"
    layers = jsontext.number(record, "layers", what) if "layers" in record else 0
    _check_history(image, layers)
    prefix, path = jsontext.text(record, "prefix", what), jsontext.texts(record, "path", what)
    own = Own(
        prefix=prefix,
        path=tuple(path),
        env=_chosen(dict(image.config.env), jsontext.texts(record, "env", what), "variable"),
        entrypoint=image.config.entrypoint if record.get("entrypoint") is True else (),
        cmd=image.config.cmd if record.get("cmd") is True else (),
        user=image.config.user if record.get("user") is True else "",
        workdir=image.config.workdir if record.get("workdir") is True else "",
        labels=dict(_chosen(image.config.labels, jsontext.texts(record, "labels", what), "label")),
        exposed_ports=tuple(jsontext.texts(record, "ports", what)),
        created=image.config.created,
        python=record.get("python") is True,
        cuda=jsontext.text(record, "cuda", what),
        compat=record.get("compat") is True,
        places=_places(record, prefix, what),
        compression=_compression(jsontext.text(record, "compression", what)),
        level=jsontext.number(record, "level", what) if "level" in record else None,
    )
    return Recorded(own, layers, jsontext.text(record, "glibc", what))


def _places(record: Object, prefix: str, what: str) -> tuple[str, ...]:
    places = jsontext.texts(record, "places", what)
    for place in (prefix, *places):
        if not place.startswith("/") or ".." in place.split("/"):
            raise ImageError(f"{what} names the place {place[:200]!r}")
    return tuple(places)


def _check_history(image: Image, layers: int) -> None:
    """Raise ImageError unless what lies above the base is ours, and something does."""
    steps = [step for step in image.history if not step.empty]
    if not 0 <= layers < len(image.layers) or len(steps) != len(image.layers):
        raise ImageError(
            f"the label {LABEL} tells of {layers} layers of a base, but the image has "
            f"{len(image.layers)}",
            hint="build it anew",
        )
    foreign = [step.created_by for step in steps[layers:] if step.comment != COMMENT]
    if foreign:
        raise ImageError(
            f"the image has layers on top that slimpack did not make: {foreign[0][:200]!r}",
            hint="give the new base to the image that slimpack built, and add them again",
        )


def _chosen(values: Mapping[str, str], names: list[str], kind: str) -> Pairs:
    for name in names:
        if name not in values:
            raise ImageError(
                f"the label {LABEL} names the {kind} {name[:200]!r}, which the image lacks"
            )
    return tuple((name, values[name]) for name in names)


def _compression(text: str) -> Compression:
    for kind in COMPRESSIONS:
        if kind == text:
            return kind
    raise ImageError(f"the label {LABEL} names the compression {text[:100]!r}")
