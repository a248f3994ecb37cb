"""Kinds of memos (`slimpack.cache.memo`) that builds keep."""

PART = "part"
FAMILY = "family"
BYTECODE = "bytecode"
SHARING = "sharing"
DUPLICATES = "duplicates"
WHOLE = "whole"
BASE = "base"
LOCK = "lock"
PROOF = "proof"
IMPORTED = "imported"
MEMBERS = "members"

SHARED = (PART, FAMILY, BYTECODE, SHARING, DUPLICATES)
"""Those that make sense on other machines."""
