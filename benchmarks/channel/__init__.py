"""A real conda channel made on this machine, from Debian packages and PyPI wheels.

For tests and demos where conda-forge cannot be reached::

    from benchmarks.channel import build_channel, write_conda, index_channel

``build_channel`` makes the whole channel (cached, pinned by ``channel.lock``); ``write_conda``
makes one small package with given files, for a fixture.
"""

from __future__ import annotations

from benchmarks.channel.build import DEFAULT_OUT, build_channel
from benchmarks.channel.conda_format import (
    PLACEHOLDER,
    Executable,
    Symlink,
    index_channel,
    write_conda,
)
from benchmarks.channel.errors import ChannelError

__all__ = [
    "DEFAULT_OUT",
    "PLACEHOLDER",
    "ChannelError",
    "Executable",
    "Symlink",
    "build_channel",
    "index_channel",
    "write_conda",
]
