"""The direction of imports, as docs/architecture.md draws it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "slimpack"
# Room -> rooms that it may import. What is not listed may not be imported.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "closing": set(),
    "elf": set(),
    "progress": set(),
    "files": {"errors"},
    "tree": set(),
    "globs": set(),
    "toml": {"errors"},
    "cuda": {"elf"},
    "platforms": {"errors"},
    "cache": {"errors", "files", "oci", "progress", "registry", "sizes", "tree"},
    "sizes": set(),
    "config": {"sizes"},
    "config_file": {"config", "env", "errors", "registry", "sizes", "slim", "toml"},
    "reading": {"errors", "tree"},
    "network": set(),
    "oci": {"closing", "errors", "files", "progress", "tree"},
    "registry": {"closing", "errors", "files", "network", "oci", "progress"},
    "patch": {"closing", "errors", "files", "oci", "progress"},
    "daemon": {"errors", "oci", "platforms", "progress"},
    "slices": set(),
    "debian": {"errors", "globs", "network", "progress", "slices", "tree", "runtimes"},
    "runtimes": {"errors", "debian", "toml"},
    "env": {"errors", "files", "progress", "toml"},
    "prefix": {"env", "errors", "progress", "reading", "tree"},
    "relocate": {"env", "errors", "prefix", "reading", "tree"},
    "archive": {"errors", "files", "oci", "progress", "tree"},
    "portable": {"errors", "files", "tree"},
    "slim": {"cuda", "elf", "errors", "globs", "progress", "slices", "toml", "tree"},
    "verify": {
        *("archive", "config", "cuda", "elf", "errors", "oci", "platforms", "portable"),
        *("env", "prefix", "progress", "reading", "rootfs", "sandbox", "slim", "tree"),
    },
    "deliver": {
        *("archive", "attestation", "config", "daemon", "errors", "hpc", "oci", "outputs"),
        *("platforms", "progress", "registry"),
    },
    "hpc": {"archive", "errors", "files", "oci", "outputs", "progress", "rootfs", "tree"},
    "outputs": {"registry"},
    "means": {"cache", "oci", "progress", "registry"},
    "bytecode": {"progress", "slim", "tree"},
    "part": {"cache", "env", "result", "slim", "tree", "verify"},
    "cold": {
        *("application", "base", "bytecode", "cache", "compat", "config", "content", "cuda", "env"),
        *("environment", "means", "part", "preparing", "progress", "relocate", "result"),
        *("slimming", "stages", "tree", "verify"),
    },
    "obtaining": {
        *("base", "bytecode", "cold", "config", "env", "environment", "means", "part", "stages"),
        *("tree", "warm"),
    },
    "application": {"app", "config", "errors", "prefix", "reading", "tree"},
    "layering": {
        *("app", "cache", "compose", "config", "means", "oci", "result", "tree"),
    },
    "warm": {
        *("app", "application", "base", "bytecode", "cache", "cold", "config", "content", "cuda"),
        *(
            "debian",
            "env",
            "environment",
            "errors",
            "files",
            "installing",
            "layering",
            "means",
            "oci",
            "part",
            "platforms",
        ),
        *("reading", "relocate", "result", "runtimes", "slices", "slim", "slimming", "tree"),
        "verify",
    },
    "proving": {
        *("cache", "config", "cuda", "env", "errors", "means", "oci", "part", "sandbox"),
        *("verify", "warm"),
    },
    "app": {"config", "errors", "tree"},
    "preparing": {"app", "errors", "oci", "platforms", "rootfs", "sandbox"},
    "result": {"env", "outputs", "slim", "verify"},
    "inspection": {"oci", "slim"},
    "report": {"errors", "inspection", "oci", "slim"},
    "sbom": {"debian", "env", "errors", "inspection", "oci", "slim"},
    "provenance": {"config", "debian", "env", "oci", "sbom", "slim"},
    "attestation": {"errors", "files", "oci", "provenance", "sbom"},
    "signing": {"attestation", "env", "errors"},
    "attaching": {"attestation", "errors", "oci", "registry", "signing"},
    "dockerfile": {
        *("app", "base", "cache", "compat", "compose", "config", "content", "cuda", "env"),
        *(
            "deliver",
            "environment",
            "errors",
            "globs",
            "oci",
            "own",
            "platforms",
            "progress",
            "registry",
            "runtimes",
        ),
        *("slim", "stages", "tree", "verify"),
    },
    "budget": {"config", "errors", "oci", "report", "sizes"},
    "sources": {"errors", "oci", "progress", "registry"},
    "bundle": {
        *("attestation", "daemon", "env", "errors", "files", "oci", "patch", "progress"),
        *("registry", "sources", "tree"),
    },
    "base": {
        *("cache", "config", "debian", "oci", "progress", "registry", "result", "runtimes"),
        *("sources", "tree"),
    },
    "stages": set(),
    "installing": {"config", "env", "platforms", "progress"},
    "hostpython": {"cache", "config", "env", "errors", "platforms", "progress", "slim"},
    "environment": {
        *("archive", "cache", "config", "env", "errors", "hostpython", "installing", "platforms"),
        *("portable", "prefix", "progress"),
    },
    "slimming": {
        *("app", "config", "content", "cuda", "env", "environment", "errors", "relocate", "slim"),
        *("trace", "tree"),
    },
    "explain": {
        *("bytecode", "cache", "config", "content", "environment", "errors", "progress"),
        *("relocate", "slim", "slimming", "stages", "tree"),
    },
    "content": {
        "bytecode",
        "env",
        "environment",
        "errors",
        "prefix",
        "progress",
        "relocate",
        "slim",
        "tree",
    },
    "trace": {
        *("elf", "errors", "globs", "oci", "progress", "rootfs", "sandbox", "slim", "tree"),
    },
    "starting": {"config", "errors", "trace"},
    "rootfs": {"archive", "errors", "oci", "progress", "tree"},
    "sandbox": {"daemon", "elf", "errors", "files", "oci", "platforms", "tree"},
    "unpack": {"archive", "errors", "files", "portable", "progress"},
    "compat": {"errors", "tree"},
    "own": {"base", "config", "cuda", "env", "errors", "oci", "tree"},
    "compose": {"base", "config", "cuda", "env", "errors", "oci", "own", "tree"},
    "rebase": {
        *("base", "cache", "config", "debian", "elf", "errors", "oci", "own", "progress"),
        *("registry", "rootfs", "tree", "verify"),
    },
}
EVERYTHING = {"build", "bundling", "imaging", "pack", "cli", "__init__", "__main__"}
# Only the relocation engine and the solver's process may know of conda's libraries.
LIBRARIES = {"conda_pack": {"relocate"}, "rattler": {"env"}, "docker": {"daemon"}}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            if node.module == "slimpack":
                yield from (f"slimpack.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    own = room(path)
    for name in imports(path):
        head, _, rest = name.partition(".")
        if head == "slimpack" and rest and own not in EVERYTHING:
            target = rest.split(".")[0]
            allowed = ALLOWED[own] | {own, "__init__"}
            assert target in allowed or target == "__version__", f"{own} must not import {target}"
        if head in LIBRARIES:
            assert own in LIBRARIES[head], f"{own} must not import {head}"


def test_only_the_command_line_prints_or_exits() -> None:
    # Processes of their own.
    programs = {
        "env/rattler/worker.py",
        "slim/pyc_worker.py",
        "verify/import_worker.py",
        "sandbox/worker.py",
    }
    for path in modules():
        if room(path) == "cli" or str(path.relative_to(PACKAGE)) in programs:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in {"print", "sys.exit", "exit", "os._exit"}, f"{path}: {name}"
