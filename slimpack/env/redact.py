"""Channel URLs may hold credentials; nothing that is kept or printed may."""

from __future__ import annotations

import re

# user:password@ before a host, and conda's /t/TOKEN/ at the start of a path.
# `git` is the user of every ssh address and no secret.
_USER = re.compile(r"(?<=://)(?!git@)[^/\s'\"]+@")
# Only behind a host: a channel may lie in a folder /t of this machine. And only at the
# start: package indexes have folders for each letter (source/t/tqdm).
_TOKEN = re.compile(r"(?P<host>://[^/\s'\"]+)/t/[^/\s'\"]+(?=/)")


def redacted(text: str) -> str:
    """Return `text` with every URL in it as somebody without credentials would write it."""
    return _TOKEN.sub(r"\g<host>", _USER.sub("", text))
