"""Files that no package brought: the application, and what installers left."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from slimpack.inspection import Contents
from slimpack.oci.digest import CHUNK
from slimpack.oci.image import Image
from slimpack.oci.rootfs import iter_layer_members
from slimpack.sbom.model import FileItem


def unowned(contents: Contents, first_layer: int) -> list[str]:
    """Return the regular files of no package in the layers from `first_layer` up, in order."""
    return [
        path
        for path, placed in contents.view.items()
        if path not in contents.owners
        and placed.layer >= first_layer
        and placed.source is not None
        and placed.source.kind == "file"
    ]


def digests_of(image: Image, contents: Contents, paths: Collection[str]) -> tuple[FileItem, ...]:
    """Hash files of an image as they pass, each layer that holds one once; in order of path.

    A hard link has the digest of what it links to. Raises ImageError for damaged layers.
    """
    wanted: dict[tuple[int, int], list[str]] = {}
    for path in paths:
        placed = contents.view[path]
        assert placed.source is not None
        wanted.setdefault((placed.layer, placed.source.offset), []).append(path)
    found = []
    for number in sorted({layer for layer, _ in wanted}):
        for member, read in iter_layer_members(image.layers[number]):
            names = wanted.get((number, member.offset), ())
            if not names:
                continue
            strong, weak = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
            for start in range(0, member.size, CHUNK):
                data = read(min(CHUNK, member.size - start))
                strong.update(data)
                weak.update(data)
            digests = strong.hexdigest(), weak.hexdigest()
            found += [FileItem(path, *digests, member.size) for path in names]
    return tuple(sorted(found, key=lambda item: item.path))
