"""First lines of scripts, as installers rewrite them.

The kernel cuts a first line at 127 bytes (Linux < 5.1) and at blanks. Where the
interpreter's path is too long or has a blank, conda writes ``#!/usr/bin/env NAME``
(our archives ``#!/usr/bin/env -S NAME OPTIONS``);
rattler, pip and distlib write two lines that ``sh`` runs and Python takes for a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONG = re.compile(
    rb"#!/bin/sh\n'''exec' [\"']?(?P<exe>/[^\"'\n]+?)[\"']?(?P<options>(?: [^\s\"']+)*)"
    rb" \"\$0\" \"\$@\"(?: #'''|\n' ''')\n"
)
_ENV = re.compile(rb"#!/usr/bin/env (?:-S )?(?P<name>[^\s/=-][^\s/=]*)(?P<options>[^\n]*)")


def shortened(data: bytes) -> bytes:
    """Return the script with one plain first line where an installer wrote the long form."""
    match = LONG.match(data)
    if not match:
        return data
    return b"#!" + match["exe"] + match["options"] + b"\n" + data[match.end() :]


def originals(data: bytes, placeholder: bytes) -> Iterator[bytes]:
    """Yield what the script may have been before an installer changed its first line.

    Which of them is right only the digest of the packaged file can tell.
    """
    short = shortened(data)
    if short is not data:
        yield short
    match = _ENV.match(data)
    if match:
        head = b"#!" + placeholder + b"/bin/" + match["name"] + match["options"]
        yield head + data[match.end() :]
