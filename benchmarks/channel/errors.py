"""The one error of the channel builder: a line that says what is wrong and what to do next."""

from __future__ import annotations


class ChannelError(Exception):
    """Shown as one line, without a traceback."""
