"""What is told of an engine before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """What an engine has of an image, before it is loaded.

    id: that it will have there. there: digests of the image's layers that need not be sent.
    ids: name -> id of what has that name now, "" for nothing.
    """

    id: str
    there: frozenset[str]
    ids: Mapping[str, str]
