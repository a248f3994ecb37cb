"""All checks, in the order in which they are told."""

from slimpack.verify.checks import (
    build_paths,
    bytecode,
    cuda,
    cuda_libraries,
    elf,
    entrypoint,
    imports,
    interpreters,
    licences,
    modes,
    records,
    secrets,
    smoke,
)
from slimpack.verify.model import Check

CHECKS: tuple[Check, ...] = (
    elf.NEEDED,
    elf.VERSIONS,
    cuda_libraries.CHECK,
    cuda.DRIVER,
    cuda.LIBRARIES,
    cuda.VARIABLES,
    interpreters.CHECK,
    entrypoint.CHECK,
    build_paths.CHECK,
    bytecode.CHECK,
    modes.CHECK,
    secrets.CHECK,
    records.CHECK,
    licences.CHECK,
    imports.CHECK,
    smoke.CHECK,
)
