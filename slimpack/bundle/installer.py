"""``install.sh``: how one who has neither slimpack nor Python loads the images of a bundle.

The program is ``install.sh`` beside this file. What it has to know of the bundle's JSON is
written into it as a table, because sh reads none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files

from slimpack.bundle.contents import Contents, Packed, Part, docker_manifest
from slimpack.bundle.model import Blob, Statement
from slimpack.oci.archive import index_entries, json_blobs
from slimpack.oci.config import Platform
from slimpack.oci.digest import hex_of
from slimpack.oci.index import images_of
from slimpack.oci.jsontext import canonical
from slimpack.oci.names import familiar_name

PATH = "install.sh"
_ZSTD = "+zstd"
_DELTA = (
    "this bundle holds only what has changed: slimpack puts it together with what the far side "
    "has. Run `slimpack bundle apply`, or take a full bundle"
)


def installer(statement: Statement, contents: Contents) -> Part:
    """Return install.sh of the bundle that has this statement, without its texts."""
    index = next(one.digest for one in statement.files if one.path == "index.json")
    fields = {
        "INDEX": hex_of(index),
        "DELTA": _quoted(_DELTA if statement.is_delta else ""),
        "TABLE": "\n".join(_table(contents.images)),
    }
    text = files("slimpack.bundle").joinpath(PATH).read_text("utf-8")
    return Part.of(PATH, re.sub(r"@([A-Z]+)@", lambda match: fields[match[1]], text).encode())


def _table(images: Iterable[Packed]) -> Iterator[str]:
    """Yield ``NUMBER WORD VALUE``, one line each; values have no line breaks.

    image: megabytes. name: a short one. platform: ``linux/amd64``. index: an entry of an
    index.json. docker:PLATFORM: an item of a docker-archive's manifest.json. blob: the path of
    one that belongs to it. zstd: a path of a layer that is compressed so.
    """
    for number, packed in enumerate(images, 1):
        yield f"{number} image {packed.target.size / 1e6:.1f} MB"
        yield from (f"{number} name {familiar_name(name)}" for name in packed.names)
        for entry in index_entries(packed.target, packed.names):
            yield f"{number} index {canonical(entry).decode()}"
        paths = {Blob(digest, 0).path for digest in json_blobs(packed.target)}
        zstd = set()
        for image in images_of(packed.target):
            platform = _platform(image.platform)
            yield f"{number} platform {platform}"
            item = canonical(docker_manifest(packed.names, image)).decode()
            yield f"{number} docker:{platform} {item}"
            for layer in image.layers:
                paths.add(Blob(layer.digest, 0).path)
                if layer.media_type.endswith(_ZSTD):
                    zstd.add(Blob(layer.digest, 0).path)
        yield from (f"{number} blob {path}" for path in sorted(paths))
        yield from (f"{number} zstd {path}" for path in sorted(zstd))


def _platform(platform: Platform) -> str:
    """Return it as `uname -m` can be told in: without the variant that every arm64 has."""
    return str(platform).removesuffix("/v8")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
