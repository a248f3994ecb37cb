"""What is in a layer, as it was listed when the layer was read the first time.

To unpack an image, all layers are listed before any is read for its files. A base's layer that an
earlier build listed is then decompressed once instead of twice; of the others it is known what
they were written of (`slimpack.oci.members`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from operator import attrgetter

from slimpack.cache.kinds import MEMBERS
from slimpack.cache.memo import MALFORMED, Memo, digest_of
from slimpack.oci.layer import Layer
from slimpack.oci.rootfs import layer_members
from slimpack.oci.untar import Member
from slimpack.warm.code import own_code
from slimpack.warm.restore import rows

_ROW = (str, str, int, int, int, int, int, str, int, str)
# dataclasses.astuple copies every field of every member.
_row_of = attrgetter(*(field.name for field in fields(Member)))


def known_members(memos: Memo) -> Callable[[Layer], list[Member]]:
    """Return `layer_members`, for layers that may be known."""

    def members(layer: Layer) -> list[Member]:
        key = digest_of(own_code(), layer.diff_id)
        data = memos.get(MEMBERS, key)
        if data is not None:
            with suppress(*MALFORMED):
                return [Member(*row) for row in rows(json.loads(data), *_ROW)]
        found = layer_members(layer)
        memos.put(MEMBERS, key, json.dumps([_row_of(one) for one in found]).encode())
        return found

    return members
