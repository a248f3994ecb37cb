"""Where a path leads inside an image: every link on the way, and the end.

As the kernel does it (path_resolution(7)), with the image as root: ``..`` of the
root is the root, a link's target is taken from the folder of the link, more than
40 links are a loop.
"""

from __future__ import annotations

from collections.abc import Mapping

_MAX_LINKS = 40
_MAX_STEPS = 10_000


def walk(links: Mapping[str, str], path: str) -> tuple[tuple[str, ...], str]:
    """Return the links that are passed on the way along `path`, and what it leads to.

    links: path -> target of the symbolic links of an image, paths as in `slimpack.tree`.
    path: from the root of the image; a leading slash changes nothing. What it leads to is ""
    for the root itself and for a loop.
    """
    passed: list[str] = []
    waiting = path.split("/")[::-1]
    here: list[str] = []
    for _ in range(_MAX_STEPS):
        if not waiting:
            return tuple(passed), "/".join(here)
        name = waiting.pop()
        if name in ("", "."):
            continue
        if name == "..":
            del here[-1:]
            continue
        place = "/".join([*here, name])
        target = links.get(place)
        if target is None:
            here.append(name)
            continue
        passed.append(place)
        if len(passed) > _MAX_LINKS:
            break
        if target.startswith("/"):
            here = []
        waiting += target.split("/")[::-1]
    return tuple(passed), ""
