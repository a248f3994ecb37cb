"""What a traced start opened comes first, where layers have an order for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimpack.config import Config, ImageConfig, SlimConfig
from slimpack.errors import InputError
from slimpack.starting import first_files, without_order
from slimpack.trace.record import Trace


def trace(path: Path, *opened: str) -> Path:
    found = Trace(image="sha256:" + "0" * 64, commands=(("run",),), opened=opened)
    path.write_bytes(found.to_json())
    return path


def config(compression: str, *traces: Path, profile: str = "safe") -> Config:
    image = ImageConfig(compression=compression)  # type: ignore[arg-type]
    slim = SlimConfig(profile=profile, trace=traces)
    return Config(folder=Path(), image=image, slim=slim)


@pytest.mark.parametrize("compression", ["zstd:chunked", "estargz"])
def test_files_of_all_traces_come_first(tmp_path: Path, compression: str) -> None:
    traces = trace(tmp_path / "a", "app/main.py"), trace(tmp_path / "b", "usr/x", "app/main.py")
    asked = config(compression, *traces)
    assert first_files(asked) == {"app/main.py", "usr/x"}
    assert without_order(asked) == config(compression)
    traced = config(compression, *traces, profile="traced")
    assert without_order(traced) == traced


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_other_layers_have_no_order_and_leave_the_trace_to_slimming(
    tmp_path: Path, compression: str
) -> None:
    asked = config(compression, trace(tmp_path / "a", "app/main.py"))
    assert first_files(asked) == frozenset()
    assert without_order(asked) == asked


def test_a_trace_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{}")
    with pytest.raises(InputError, match="not a trace"):
        first_files(config("estargz", tmp_path / "a"))
    with pytest.raises(InputError, match="No such file"):
        first_files(config("estargz", tmp_path / "absent"))
