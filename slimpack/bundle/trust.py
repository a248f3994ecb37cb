"""Whether a bundle is the one that its sender made, and no old one: before it is used."""

from __future__ import annotations

from pathlib import Path

from slimpack.bundle.age import age_limit, check_age
from slimpack.bundle.reader import Bundle
from slimpack.bundle.signature import check_signature


def check_trust(bundle: Bundle, key: Path | None, not_older_than: str | None) -> None:
    """Raise BundleError unless `bundle` is signed with `key` and new enough.

    key: a public key as PEM; None: the signature, if there is any, is not looked at.
    not_older_than: what `slimpack.bundle.age.age_limit` reads; None for any date. The key
    and the limit themselves raise InputError. With a good signature the statement is the
    sender's, and so is every byte that is read through `bundle`, by its digest.
    """
    if key is not None:
        check_signature(bundle.raw, bundle.signature, key)
    if not_older_than is not None:
        check_age(bundle.statement, age_limit(not_older_than))
