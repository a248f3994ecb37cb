"""What a build can use of earlier builds: on this disk, and in a registry.

`folders` says what lies where, `memo` keeps results of stages, `layers` keeps layers,
`limits` keeps all of it small, `remote` shares memos and layers with other machines.
Whatever is wrong with a cache, a build goes on without it, and tells.
"""

from __future__ import annotations

from slimpack.cache.folders import Cache, default_cache

__all__ = ["Cache", "default_cache"]
