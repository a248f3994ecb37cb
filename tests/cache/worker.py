"""A build that does nothing but use its cache, in a process of its own.

``python -m tests.cache.worker use FOLDER SEED ROUNDS`` exits with 1 when anything that
the cache gave was wrong. ``... kill FOLDER SEED KILLS`` forks such processes, kills
each with SIGKILL at a random moment, and prints how many temporary files they left.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path

from slimpack.cache import Cache
from slimpack.cache.building import open_caches
from slimpack.cache.check import check
from slimpack.cache.contents import is_temporary
from slimpack.cache.layers import LayerCache
from slimpack.cache.limits import trim
from slimpack.cache.memo import Memo, digest_of
from slimpack.oci.blobs import BlobStore
from tests.cache.plans import Maker, ask, content

LAYERS = 5
MEMOS = 8


@functools.cache
def makers() -> tuple[Maker, ...]:
    """Return layers from 20 KB to 1 MB, the same in every process."""
    return tuple(Maker(f"layer{number}", 20_000 + number * 250_000) for number in range(LAYERS))


def result(number: int) -> tuple[str, bytes]:
    """Return key and data of a stage's result; larger than a page, so that it can be torn."""
    key = digest_of("stage", number)
    return key, hashlib.sha256(key.encode()).digest() * (1000 * (number + 1))


def use(folder: Path, seed: int, rounds: int) -> None:
    """Do what builds do, in any order; exit with 1 for a wrong answer."""
    chance = random.Random(seed)
    cache = Cache(folder)
    spare = BlobStore(folder.parent / f"spare{os.getpid()}", durable=False)
    for _ in range(rounds):
        caches = open_caches(cache, spare)
        step = chance.randrange(10)
        if step < 4:
            _use_layer(caches.layers, chance.choice(makers()))
        elif step < 8:
            _use_memo(caches.memos, chance.randrange(MEMOS))
        else:
            trim(cache, chance.choice([0, 100_000, 1_000_000]))
        if caches.notes.texts:
            fail(f"notes: {caches.notes.texts}")


def _use_layer(layers: LayerCache, maker: Maker) -> None:
    layer = ask(layers, maker)
    if hashlib.sha256(content(layer)).hexdigest() != layer.diff_id[7:]:
        fail(f"wrong layer {maker.name}")


def _use_memo(memos: Memo, number: int) -> None:
    key, data = result(number)
    found = memos.get("stage", key)
    if found is None:
        memos.put("stage", key, data)
    elif found != data:
        fail(f"wrong result {number}")


def kill(folder: Path, seed: int, kills: int) -> None:
    """Kill users of a cache at random moments; see what they leave after each."""
    chance = random.Random(seed)
    cache = Cache(folder)
    makers()  # before any fork
    for number in range(10 * kills):
        if number >= kills and left(folder):
            break
        child = os.fork()
        if not child:
            try:
                use(folder, seed + number, 10**6)
            finally:
                os._exit(1)  # nobody killed it: something was wrong
        time.sleep(chance.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            fail("a user found something wrong")
        if wrong := check(cache).wrong:
            fail(f"after {number + 1} kills these are damaged: {wrong}")
    use(folder, seed, 100)
    print(left(folder))


def left(folder: Path) -> int:
    """Return how many temporary files there are."""
    return sum(is_temporary(path.name) for path in folder.rglob("*"))


def fail(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    {"use": use, "kill": kill}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
