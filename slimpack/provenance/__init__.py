"""How an image came to be: SLSA provenance, and the facts of a build that it rests on."""

from slimpack.provenance.facts import (
    BuildFacts,
    LockFacts,
    known_digests,
    lock_facts,
    rules_digest,
)
from slimpack.provenance.statement import (
    BUILD_TYPE,
    DEFAULT_BUILDER,
    PREDICATE,
    Run,
    provenance,
)

__all__ = [
    "BUILD_TYPE",
    "DEFAULT_BUILDER",
    "PREDICATE",
    "BuildFacts",
    "LockFacts",
    "Run",
    "known_digests",
    "lock_facts",
    "provenance",
    "rules_digest",
]
