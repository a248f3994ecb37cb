"""The sum of tar-split, beside a loop over bits."""

from __future__ import annotations

import random

import pytest

from slimpack.oci.crc64 import Crc64


def bitwise(data: bytes) -> bytes:
    value = (1 << 64) - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xD800000000000000 if value & 1 else 0)
    return (value ^ (1 << 64) - 1).to_bytes(8, "big")


def summed(*parts: bytes) -> bytes:
    found = Crc64()
    for part in parts:
        found.update(part)
    return found.digest()


def test_the_check_value_of_the_catalogue() -> None:
    assert summed(b"123456789").hex() == "b90956c775a41001"


@pytest.mark.parametrize("size", [*range(40), 123, 124, 125, 1000, 4097])
def test_it_is_what_a_loop_gives_in_one_part_or_in_several(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert summed(data) == bitwise(data)
    assert summed(data[: size // 3], b"", data[size // 3 :]) == bitwise(data)


def test_zeros_count() -> None:
    assert summed(bytes(5)) != summed(bytes(6))
