from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slimpack.archive.formats import FORMATS, SUFFIXES, Packing, format_of
from slimpack.errors import InputError


@pytest.mark.parametrize(("suffix", "named"), SUFFIXES.items())
def test_a_name_tells_the_format(suffix: str, named: str) -> None:
    assert format_of(f"some/env-1.2{suffix}") == named
    assert format_of(f"env{suffix}", named) == named


def test_a_slash_or_a_folder_means_a_folder(tmp_path: Path) -> None:
    assert format_of("env/") == "folder"
    assert format_of(str(tmp_path)) == "folder"
    assert format_of("env", "folder") == "folder"
    assert format_of("env", "no-archive") == "folder"
    assert format_of("/dev/stdout", "tgz") == "tar.gz"


@pytest.mark.parametrize("name", ["env", "env.rar", ".zip", "env.tar.gz.old", "env.gz"])
def test_a_name_that_tells_nothing_is_answered_with_the_list(name: str) -> None:
    with pytest.raises(InputError) as caught:
        format_of(name)
    assert ".tar.zst" in caught.value.hint
    assert ".squashfs" in caught.value.hint


def test_a_format_that_the_name_contradicts_is_refused() -> None:
    with pytest.raises(InputError, match=r"named like a zip, but tar\.gz"):
        format_of("env.zip", "tar.gz")
    with pytest.raises(InputError, match="named like a folder"):
        format_of("env/", "zip")
    with pytest.raises(InputError, match="unknown archive format 'rar'"):
        format_of("env.zip", "rar")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"level": 23}, "1 to 22"),
        ({"level": 0}, "1 to 22"),
        ({"format": "tar.gz", "level": 10}, "1 to 9"),
        ({"format": "zip", "level": -1}, "0 to 9"),
        ({"format": "tar", "level": 3}, "no level"),
        ({"format": "folder", "level": 3}, "no level"),
        ({"format": "squashfs", "level": 23}, "1 to 22"),
        ({"format": "squashfs", "squashfs": "gzip", "level": 12}, "1 to 9"),
        ({"format": "sh", "level": 12}, "1 to 9"),
        ({"format": "sh", "payload": "none", "level": 1}, "no level"),
        ({"threads": 0}, "1 or more"),
        ({"threads": -2}, "1 or more"),
        ({"format": "rar"}, "tar.zst"),
        ({"payload": "rar"}, "zstd"),
        ({"squashfs": "lzo"}, "zstd"),
    ],
)
def test_what_does_not_exist_is_refused(wrong: dict[str, Any], hint: str) -> None:
    with pytest.raises(InputError) as caught:
        Packing(**wrong)
    assert hint in caught.value.hint


def test_every_format_has_a_default_level_that_it_allows() -> None:
    for named in FORMATS:
        packing = Packing(named)
        assert Packing(named, packing.effective_level) == Packing(named, packing.effective_level)
    assert Packing("tar.zst").effective_level == 9
    assert Packing("tar.gz").effective_level == 6
    assert Packing("zip", 0).effective_level == 0
    assert Packing("sh", 19, payload="zstd").effective_level == 19
