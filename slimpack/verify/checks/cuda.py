"""What a GPU needs: a driver that is new enough, the host's own libraries, coherent variables."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from slimpack.cuda.driver import floor, is_driver_library, numbers, shipped_with
from slimpack.cuda.found import cuda_versions
from slimpack.cuda.requirement import (
    NAME,
    Alternative,
    oldest_cuda,
    read_requirement,
    requirement_for,
)
from slimpack.tree import Entry, Kind
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, Severity, SkippedError
from slimpack.verify.subject import Subject

CAPABILITIES = ("all", "compute", "compat32", "display", "graphics", "ngx", "utility", "video")
"""What NVIDIA_DRIVER_CAPABILITIES may name (the toolkit's internal/config/image)."""

_RUNTIME = re.compile(r"libcudart(?:-[0-9a-f]+)?\.so\.(?P<version>\d+\.\d+)\.[\d.]+\Z")
_NOTHING = ("", "void", "none")
_TAKE = "take the runtime cuda (--runtime cuda), or set it under [image.env]"


def cuda_of(subject: Subject) -> tuple[str, ...]:
    """Return the versions of CUDA in a subject: its packages', else its libcudart's."""
    packages = [
        (one.name.lower().replace("_", "-"), one.version) for one in subject.records.packages
    ]
    found = cuda_versions(packages)
    if found:
        return found
    matches = (_RUNTIME.match(posixpath.basename(entry.path)) for entry in subject.files)
    return tuple(sorted({match["version"] for match in matches if match}, key=numbers))


def _driver(subject: Subject, context: Context) -> Iterator[Finding]:
    cuda = max(cuda_of(subject), key=numbers, default="")
    if not cuda:
        return
    oldest, own = floor(cuda), shipped_with(cuda)
    yield Finding("", _needs(cuda, oldest, own), severity="info", fix="docs/cuda.md tells more")
    gpu = context.runner.gpu if context.runner else None
    if gpu and gpu.driver and oldest and numbers(gpu.driver) < numbers(oldest):
        yield Finding("", f"the driver of this machine, {gpu.driver}, is older", severity="warning")
    if subject.kind != "image":
        return
    said = dict(subject.start.env).get(NAME)
    required = requirement_for(cuda)
    if said is None:
        yield Finding(
            "",
            f"{NAME} is not set: too old a driver is only told by the program that fails",
            severity="warning",
            fix=f"{_TAKE}: {required}",
        )
        return
    try:
        alternatives = read_requirement(said)
    except ValueError:
        return  # the check of the variables tells
    compat = any(_is_compat(entry.path) for entry in subject.files)
    for alternative in alternatives or ((),):
        known = oldest_cuda(alternative)
        if known and known[0] < numbers(cuda)[0] and not compat:
            yield Finding(
                "",
                f"{NAME} lets drivers start it that know CUDA {_dotted(known)} "
                f"({_text(alternative)}), on which CUDA {cuda} does not run",
            )
        elif not known:
            yield Finding(
                "",
                f"{NAME} lets any driver start it ({_text(alternative) or 'it is empty'})",
                severity="warning",
            )


def _needs(cuda: str, oldest: str, own: str) -> str:
    """Say which driver a version of CUDA needs, and what an older one cannot do."""
    major = numbers(cuda)[0]
    if not oldest:
        return f"CUDA {cuda} needs a driver that knows CUDA {major} (nothing more is known of it)"
    text = f"CUDA {cuda} needs a driver from {oldest} on (minor-version compatibility)"
    if own and own != oldest:
        text += f"; code that is compiled when it runs, from PTX, needs {own}, which came with it"
    return f"{text}; on data centre GPUs, cuda-compat serves older ones (forward compatibility)"


def _text(alternative: Alternative) -> str:
    return ",".join(f"{one.name}{one.operator}{one.value}" for one in alternative)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _is_compat(path: str) -> bool:
    """Tell whether this is NVIDIA's libcuda for older drivers: conda-forge's, or its images'."""
    folder, name = posixpath.split(path)
    place = posixpath.basename(folder)
    return place in ("cuda-compat", "compat") and name.startswith("libcuda.so.")


def _libraries(subject: Subject, context: Context) -> Iterator[Finding]:
    found = [
        entry
        for entry in subject.tree
        if entry.kind is not Kind.DIRECTORY and is_driver_library(posixpath.basename(entry.path))
    ]
    if not found:
        return
    searched = _searched(subject)
    for entry in found:
        folder = posixpath.dirname(entry.path)
        if posixpath.basename(folder) == "stubs":
            if folder in searched:
                yield _finding(
                    subject,
                    entry,
                    "is a stub, for linking only, in a folder that the loader searches",
                )
        elif posixpath.basename(folder) in ("cuda-compat", "compat"):
            if folder in searched:
                yield _finding(
                    subject,
                    entry,
                    "is always found instead of the host's, which fails on newer drivers",
                    mild=True,
                )
        else:
            yield _finding(
                subject,
                entry,
                "is a library of the GPU's driver: it may be found "
                "instead of the host's, and fits no other",
            )


def _finding(subject: Subject, entry: Entry, message: str, *, mild: bool = False) -> Finding:
    mild = mild or entry.path in subject.below
    severity: Severity | None = "warning" if mild else None
    return Finding(entry.path, message, subject.owner(entry.path), severity)


def _searched(subject: Subject) -> set[str]:
    """Return the folders of the tree in which any program or library has libraries looked up."""
    resolver = subject.libraries.resolver
    folders = [*resolver.env_library_path, *resolver.default_dirs]
    for path, elf in subject.elf.files.items():
        origin = f"{subject.place.rstrip('/')}/{posixpath.dirname(path)}"
        folders += [
            text.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin)
            for text in (*elf.rpath, *elf.runpath)
        ]
    found = (subject.lookup.resolve(folder) for folder in folders if folder.startswith("/"))
    return {folder for folder in found if folder}


def _variables(subject: Subject, context: Context) -> Iterator[Finding]:
    env = dict(subject.start.env)
    cuda = max(cuda_of(subject), key=numbers, default="")
    if not cuda and not any(name.startswith("NVIDIA_") for name in env):
        return
    if subject.kind != "image":
        raise SkippedError("only an image has variables of its own")
    if cuda:
        yield from _visible(env)
    yield from _capabilities(env, cuda)
    for name in sorted(env):
        if name.startswith("NVIDIA_REQUIRE_"):
            yield from _required(name, env[name], cuda)


def _visible(env: dict[str, str]) -> Iterator[Finding]:
    name = "NVIDIA_VISIBLE_DEVICES"
    if name not in env:
        message = f"{name} is not set: where the NVIDIA runtime is the default, no GPU gets in"
        yield Finding("", message, severity="warning", fix=f"{_TAKE}: all")
    elif env[name] in _NOTHING:
        yield Finding("", f"{name} is {env[name]!r}: no GPU gets in", severity="warning")


def _capabilities(env: dict[str, str], cuda: str) -> Iterator[Finding]:
    name = "NVIDIA_DRIVER_CAPABILITIES"
    if name not in env:
        if cuda:
            message = f"{name} is not set: what is brought in depends on the host's configuration"
            yield Finding("", message, severity="warning", fix=f"{_TAKE}: compute,utility")
        return
    words = env[name].split(",")
    for word in words:
        if word not in CAPABILITIES:
            yield Finding("", f"{name} names {word!r}, which is none of {', '.join(CAPABILITIES)}")
    if cuda and not {"all", "compute"} & set(words):
        yield Finding("", f"{name} is {env[name]!r}: without compute, libcuda is not brought in")


def _required(name: str, text: str, cuda: str) -> Iterator[Finding]:
    try:
        alternatives = read_requirement(text)
    except ValueError as error:
        yield Finding("", f"{name} cannot be read, and the container does not start: {error}")
        return
    if name != NAME:
        return
    if not cuda:
        yield Finding("", f"{name} is {text!r}, but there is no CUDA in it", severity="warning")
        return
    asked = [oldest_cuda(alternative) for alternative in alternatives]
    least = min(asked, default=())
    if least[:1] > numbers(cuda)[:1]:
        yield Finding(
            "",
            f"{name} asks for CUDA {_dotted(least)}, but that of the image is {cuda}: "
            "drivers on which it runs are refused",
        )
    elif least > numbers(cuda):
        yield Finding(
            "",
            f"{name} asks for CUDA {_dotted(least)}, newer than that of the image, {cuda}",
            severity="warning",
        )


DRIVER = Check(
    name="cuda-driver",
    severity="error",
    explanation="CUDA needs a driver of the host that is new enough; NVIDIA_REQUIRE_CUDA lets the "
    "container toolkit refuse others with a sentence, and not the program in its first request.",
    fix="leave NVIDIA_REQUIRE_CUDA to the runtime cuda, which computes it from the environment",
    run=_driver,
)
LIBRARIES = Check(
    name="driver-libraries",
    severity="error",
    explanation="The driver's libraries (libcuda, libnvidia-*) are the host's and fit its kernel "
    "module alone; one in the image, or a stub where the loader looks, is found instead.",
    fix="remove the file where it comes from, or drop it under [slim]",
    run=_libraries,
)
VARIABLES = Check(
    name="nvidia-variables",
    severity="error",
    explanation="The container toolkit reads from NVIDIA_* what to bring in, and whether it may; "
    "what contradicts the environment or cannot be read keeps the GPU out.",
    fix="correct it under [image.env], or leave it to the runtime cuda",
    run=_variables,
)
