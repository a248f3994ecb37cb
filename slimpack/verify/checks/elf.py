"""Native code: the libraries that it needs are there, in versions that it was built for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slimpack.elf.read import Elf
from slimpack.elf.resolve import Loaded, Need, missing_versions
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, Severity
from slimpack.verify.modules import extension_module
from slimpack.verify.subject import Subject

# Parts of the GPU driver, which the container runtime brings from the host
# (libnvidia-container's list of driver libraries).
_DRIVER = re.compile(r"lib(?:cuda|cudadebugger|nvidia-[\w-]+|nvcuvid|nvoptix)\.so\.[\d.]+\Z")


def _needed(subject: Subject, context: Context) -> Iterator[Finding]:
    for path, why in subject.elf.damaged:
        yield Finding(path, f"is damaged: {why}", subject.owner(path), severity="warning")
    python = _python(subject)
    doubtful: list[tuple[Finding, str]] = []
    for path, elf in subject.elf.files.items():
        program = None if elf.kind == "executable" else python
        for finding in _missing(subject, path, elf, program):
            module = extension_module(subject, path)
            if module and finding.severity is None:
                doubtful.append((finding, module))
            else:
                yield finding
    yield from _judged(doubtful, context)


def _judged(doubtful: list[tuple[Finding, str]], context: Context) -> Iterator[Finding]:
    """Yield findings of extension modules; those that never worked are no fault of slimming."""
    modules = sorted({module for _, module in doubtful})
    before = context.baseline(modules) if context.baseline and modules else set()
    for finding, module in doubtful:
        yield (
            Finding(
                finding.path,
                f"{finding.message}; {module} could not be imported before slimming either",
                finding.package,
                severity="warning",
            )
            if module in before
            else finding
        )


def _python(subject: Subject) -> Loaded | None:
    if subject.python is None:
        return None
    path = subject.lookup.resolve(subject.python.program)
    return subject.libraries.program(_absolute(subject, path)) if path else None


def _absolute(subject: Subject, path: str) -> str:
    return f"{subject.place.rstrip('/')}/{path}"


def _missing(subject: Subject, path: str, elf: Elf, program: Loaded | None) -> Iterator[Finding]:
    owner = subject.owner(path)
    interpreter = elf.interpreter
    if elf.kind == "executable" and interpreter and subject.libraries.elf_at(interpreter) is None:
        yield Finding(path, f"its loader {interpreter} is not there", owner)
        return
    for need in subject.libraries.needs(_absolute(subject, path), elf, program):
        if need.path is None and not _DRIVER.match(need.name):
            severity = _severity(subject, path, elf, need, owner)
            if severity != "info":
                yield Finding(
                    path, f"needs {need.name}, which is {need.why}", owner, severity=severity
                )


def _severity(subject: Subject, path: str, elf: Elf, need: Need, owner: str) -> Severity | None:
    """Judge a library that the loader would not find by itself.

    Packages open libraries of their own before they import what needs them (torch,
    onnxruntime), so one of the same package is as good as found. A file that nothing
    needs and Python does not import is a plugin, opened only where it is wanted.
    """
    there = subject.libraries.sonames.get(need.name, ())
    if elf.kind != "executable" and owner and any(subject.owner(one) == owner for one in there):
        return "info"
    if path in subject.below:
        return "warning"
    if elf.kind == "executable" or extension_module(subject, path):
        return None
    names = {elf.soname, path.rpartition("/")[2]}
    return None if names & subject.libraries.wanted else "warning"


def _versions(subject: Subject, context: Context) -> Iterator[Finding]:
    python = _python(subject)
    for path, elf in subject.elf.files.items():
        if not elf.version_needs:
            continue
        program = None if elf.kind == "executable" else python
        needs = subject.libraries.needs(_absolute(subject, path), elf, program)
        found = {
            need.name: target
            for need in needs
            if need.path and (target := subject.libraries.elf_at(need.path)) is not None
        }
        paths = {need.name: need.path for need in needs}
        for library, version in missing_versions(elf, found):
            yield Finding(
                path,
                f"needs version {version} of {library}, which {paths[library]} does not have",
                subject.owner(path),
            )


NEEDED = Check(
    name="elf-needed",
    severity="error",
    explanation="A program or an extension module whose libraries the loader does not find cannot "
    "start: 'cannot open shared object file'.",
    fix="add the package that has the library; if slimming removed it, list it under [slim] keep",
    run=_needed,
)
VERSIONS = Check(
    name="symbol-versions",
    severity="error",
    explanation="Code that was built for a newer C library, C++ runtime or CUDA than there is ends "
    'with "version `GLIBC_2.38\' not found".',
    fix="take a newer base (--runtime distroless-trixie), or solve for the base's glibc (--glibc)",
    run=_versions,
)
