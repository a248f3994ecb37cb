"""Another base below an environment that stays as it is, byte for byte.

A base is exchanged by its layers and its part of the configuration; the layers of the
environment keep their digests, and need not be at hand. `slimpack.own` is what an image
tells of itself for that, `abi` what the new base must have.
"""

from slimpack.rebase.proving import PROOFS, Proof
from slimpack.rebase.rebasing import Rebased, rebase

__all__ = ["PROOFS", "Proof", "Rebased", "rebase"]
