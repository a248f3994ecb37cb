"""Native code: the libraries that it needs are there, in versions that it was built for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slimpack.cuda.driver import is_driver_library
from slimpack.elf.read import Elf
from slimpack.elf.resolve import Loaded, Need, missing_versions
from slimpack.platforms import here
from slimpack.tree import under
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, Severity, SkippedError
from slimpack.verify.modules import extension_module
from slimpack.verify.subject import Subject


def _needed(subject: Subject, context: Context) -> Iterator[Finding]:
    for path, why in subject.elf.damaged:
        yield Finding(path, f"is damaged: {why}", subject.owner(path), severity="warning")
    _check_known(subject)
    missing = list(_all_missing(subject))
    grave = [one for one in missing if one.severity is None]
    before = _broken_before(context.before()) if context.before and grave else set()
    modules = {one.path: extension_module(subject, one.path) for one in grave}
    names = sorted({*modules.values()} - {""})
    failed = (context.baseline(names) if context.baseline else None) or set()
    for one in missing:
        known = modules.get(one.path, "") in failed or (_key(subject, one.path), one.name) in before
        message = f"needs {one.name}, which is {one.why}" if one.name else one.why
        yield Finding(
            one.path,
            f"{message}; it was so before slimming" if one.severity is None and known else message,
            subject.owner(one.path),
            severity="warning" if one.severity is None and known else one.severity,
        )


def _check_known(subject: Subject) -> None:
    """Raise SkippedError where nobody knows what the machine has that it will be used on."""
    if subject.kind != "image" and subject.platform != here():
        raise SkippedError(f"the C library is that of a machine for {subject.platform}")


@dataclass(frozen=True)
class _Missing:
    """A need that the loader does not find. name: of the library, "" for the loader itself."""

    path: str
    name: str
    why: str
    severity: Severity | None


def _broken_before(before: Subject) -> set[tuple[str, str]]:
    """Return what was missing in the environment before slimming: (path below it, library)."""
    return {(_key(before, one.path), one.name) for one in _all_missing(before)}


def _key(subject: Subject, path: str) -> str:
    return path.removeprefix(under(subject.prefix, ""))


def _all_missing(subject: Subject) -> Iterator[_Missing]:
    python = subject.interpreter
    for path, elf in subject.elf.files.items():
        yield from _missing(subject, path, elf, None if elf.kind == "executable" else python)


def _missing(subject: Subject, path: str, elf: Elf, program: Loaded | None) -> Iterator[_Missing]:
    loader = elf.interpreter
    if elf.kind == "executable" and loader and subject.libraries.elf_at(loader) is None:
        yield _Missing(path, "", f"its loader {loader} is not there", None)
        return
    for need in subject.libraries.needs(subject.in_place(path), elf, program):
        if need.path is None and not is_driver_library(need.name):
            severity = _severity(subject, path, elf, need)
            if severity != "info":
                yield _Missing(path, need.name, need.why, severity)


def _severity(subject: Subject, path: str, elf: Elf, need: Need) -> Severity | None:
    """Judge a library that the loader would not find by itself.

    Packages open libraries of their own before they import what needs them (torch,
    onnxruntime), so one of the same package is as good as found. A file that nothing
    needs and Python does not import is a plugin, opened only where it is wanted; and a
    program that is on nobody's PATH may be started by its package with a search path.
    """
    owner = subject.owner(path)
    there = subject.libraries.sonames.get(need.name, ())
    own = bool(owner) and any(subject.owner(one) == owner for one in there)
    if elf.kind == "executable":
        folder = subject.absolute(path).rpartition("/")[0]
        hidden = own and folder not in subject.start.path
        return "warning" if hidden or path in subject.below else None
    if own:
        return "info"
    if path in subject.below:
        return "warning"
    if extension_module(subject, path):
        return None
    names = {elf.soname, path.rpartition("/")[2]}
    return None if names & subject.libraries.wanted else "warning"


def _versions(subject: Subject, context: Context) -> Iterator[Finding]:
    _check_known(subject)
    python = subject.interpreter
    for path, elf in subject.elf.files.items():
        if not elf.version_needs:
            continue
        program = None if elf.kind == "executable" else python
        needs = subject.libraries.needs(subject.in_place(path), elf, program)
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
