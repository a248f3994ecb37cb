"""Every top-level module of every package imports, where it will run and as its user."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from slimpack.verify.context import Context
from slimpack.verify.importing import Failure, import_all
from slimpack.verify.model import Check, Finding, Severity, SkippedError
from slimpack.verify.modules import Importable, importable_modules
from slimpack.verify.subject import Subject


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    python = subject.python
    if python is None:
        raise SkippedError("there is no Python in it")
    runner = context.need_runner()
    modules = importable_modules(subject, context.config.skip_imports)
    known = context.watched.known if context.watched else frozenset()
    asked = [module for module in modules if module.name not in known]
    if context.watched:
        context.watched.counts[:] = len(asked), len(modules)
    failures = import_all(runner, subject.absolute(python.program), asked, context.watched)
    if context.watched:
        context.watched.failed.update((one.module, one.message) for one in failures)
    if not failures:
        return
    before = context.baseline([one.module for one in failures]) if context.baseline else None
    by_name = {module.name: module for module in asked}
    for failure in failures:
        module = by_name[failure.module]
        if before is not None and failure.module in before:
            severity: Severity | None = "info"
            message = f"{failure.message}; it could not be imported before slimming either"
        else:
            severity = None if before is not None else _severity(subject, module, failure, modules)
            message = failure.message
        yield Finding(
            module.path,
            f"import {module.name} fails: {message}",
            module.package,
            severity,
            _fix(module.package) if severity is None else "",
        )


def _severity(
    subject: Subject, module: Importable, failure: Failure, modules: list[Importable]
) -> Severity | None:
    """Judge a failure when nobody knows what failed before slimming.

    What looks for a module that nobody installed, or for another system's part of the
    standard library (winreg), never worked here.
    """
    top = failure.missing.partition(".")[0]
    gone = {name.partition(".")[0] for name in subject.record.modules} if subject.record else set()
    if not top or top in gone or any(one.name.partition(".")[0] == top for one in modules):
        return None
    if top in sys.stdlib_module_names:
        return "info" if module.stdlib else "warning"
    return "warning"


def _fix(package: str) -> str:
    keep = f"[slim.packages.{package or 'NAME'}] keep"
    return (
        f"if slimming took a file that it needs, list it under {keep}; if the module cannot work "
        "here, list it under [verify] skip_imports"
    )


CHECK = Check(
    name="imports",
    severity="error",
    explanation="A module that cannot be imported fails when the first request needs it, not when "
    "the image is built.",
    fix="add the module's dependency to the environment, or list the module under "
    "[verify] skip_imports",
    run=_run,
    runs=True,
)
