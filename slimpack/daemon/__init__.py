"""Sinks for the container engines of this machine: Docker, podman, containerd."""

from __future__ import annotations

from slimpack.daemon.choose import AUTO, ENGINES, Sink, choose, for_here, load
from slimpack.daemon.seen import Seen

__all__ = ["AUTO", "ENGINES", "Seen", "Sink", "choose", "for_here", "load"]
