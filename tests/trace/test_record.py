"""Where paths lead, and the trace file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import InputError
from slimpack.trace.record import Trace, make_trace, merge, read_trace
from slimpack.trace.walk import walk

LINKS = {"lib": "usr/lib", "usr/lib/a.so": "a.so.1", "abs": "/usr/lib", "loop": "loop"}


@pytest.mark.parametrize(
    ("path", "passed", "end"),
    [
        ("/lib/a.so", ("lib", "usr/lib/a.so"), "usr/lib/a.so.1"),
        ("usr//lib/./b", (), "usr/lib/b"),
        ("/abs/../x", ("abs",), "usr/x"),
        ("/../../x", (), "x"),
        ("/", (), ""),
    ],
)
def test_links_are_passed_as_the_kernel_does(path: str, passed: tuple[str, ...], end: str) -> None:
    assert walk(LINKS, path) == (passed, end)


def test_a_loop_ends() -> None:
    assert walk(LINKS, "loop/x")[1] == ""
    assert walk({"a": "a/" * 2000}, "a")[1] == ""


def trace(**changes: object) -> Trace:
    fields: dict[str, object] = {
        "image": "sha256:1",
        "commands": (("python", "-c", "1"),),
        "opened": ("a", "b\udcff"),
        "statted": ("c",),
        "listed": ("d",),
    }
    return Trace(**{**fields, **changes})  # type: ignore[arg-type]


def test_only_what_the_image_has_is_told() -> None:
    made = make_trace(
        image="sha256:1",
        command=["p"],
        opened=["/lib/a.so", "/usr", "/proc/self/maps", "/tmp/x91", "/gone/../lib/b"],
        statted=["/lib/a.so", "/lib"],
        listed=["/lib"],
        links=LINKS,
        folders=["usr", "usr/lib"],
        paths=["lib", "usr", "usr/lib", "usr/lib/a.so", "usr/lib/a.so.1", "usr/lib/b"],
    )
    assert made.opened == ("lib", "usr/lib/a.so", "usr/lib/a.so.1", "usr/lib/b")
    assert made.statted == ("usr", "usr/lib")
    assert made.listed == ("lib", "usr/lib")


def test_a_file_gives_the_trace_back() -> None:
    assert read_trace(trace().to_json(), "t") == trace()


def test_several_traces_become_one() -> None:
    other = trace(commands=(("q",),), opened=("c", "z"), statted=("y",))
    both = merge([trace(), other])
    assert both == merge([other, trace()])
    assert both.opened == ("a", "b\udcff", "c", "z")
    assert both.statted == ("y",)
    assert both.commands == (("python", "-c", "1"), ("q",))


def test_traces_of_two_images_are_not_merged() -> None:
    with pytest.raises(InputError, match="2 images"):
        merge([trace(), trace(image="sha256:2")])
    with pytest.raises(InputError, match="0 images"):
        merge([])


def changed(**changes: object) -> bytes:
    return json.dumps({**json.loads(trace().to_json()), **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        changed(opened="text"),
        changed(opened=[1]),
        changed(opened=["/absolute"]),
        changed(opened=["a/../../b"]),
        changed(statted=[""]),
        changed(commands=["text"]),
        changed(image=None),
        changed(version=2),
        b'{"version": 1}',
    ],
)
def test_what_is_no_trace_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^t: "):
        read_trace(data, "t")


@given(st.binary(max_size=200))
def test_no_file_brings_the_reader_down(data: bytes) -> None:
    with pytest.raises(InputError):
        read_trace(data, "t")
