"""The part lazy: what it builds and writes; starts themselves need FUSE, root and minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.catalogue import metrics, workloads
from benchmarks.lazy import part
from benchmarks.lazy.images import Form, build_options, forms, reference
from benchmarks.parts import Ask
from slimpack.config import LAZY
from slimpack.errors import InputError

PLAIN = forms()["zstd-whole"]


def test_forms_are_what_slimpack_makes_and_containerd_mounts() -> None:
    known = forms()
    assert {form.compression for form in known.values()} == {"zstd", *LAZY}
    assert {form.compression for form in known.values() if form.mounted} == {"estargz"}
    assert [form.name for form in known.values() if form.traced] == ["estargz-traced"]


def test_forms_that_differ_in_their_start_alone_share_an_image() -> None:
    known = forms()
    assert known["estargz-whole"].repository == known["estargz-mounted"].repository == "estargz"
    assert len({form.repository for form in known.values()}) == 4
    workload = workloads(("w1",))["w1"]
    assert reference("h:1", workload, known["chunked-whole"]) == "h:1/zstd-chunked/w1:1"


def test_builds_get_the_form_and_the_trace() -> None:
    traced = Form("x", "tight", "estargz", traced=True, mounted=True)
    expected = ["--profile", "tight", "--no-verify", "--compression", "estargz"]
    assert build_options(traced, Path("t.json")) == [*expected, "--trace", "t.json"]
    assert build_options(traced, None) == expected


def test_links_are_asked_for_by_name() -> None:
    with pytest.raises(InputError, match="no case 'docker'"):
        next(part.measure(Ask(cases=("docker",))))


def test_what_was_measured_becomes_records_with_the_whole_image_as_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(part, "versions", lambda: {"containerd": "1.6"})
    mounted = forms()["estargz-traced"]
    found = {
        ("w1", "zstd-whole", "compressed", ""): [50e6],
        ("w1", "estargz-traced", "compressed", ""): [100e6],
        ("w1", "zstd-whole", "pull", "100 Mbit/s"): [8.0, 4.0, 9.0],
        ("w1", "estargz-traced", "fetched", "100 Mbit/s"): [25e6],
    }
    results = part.results(found, [PLAIN, mounted])
    assert {record.metric for record in results.records} <= metrics().keys()
    (pull,) = results.find(metric="pull")
    assert (pull.median, pull.limit, pull.to_limit) == (8.0, 4.0, 2.0)
    (fetched,) = results.find(metric="fetched")
    assert (fetched.to_limit, fetched.limit_of) == (0.25, "the whole image")
    assert results.find(metric="compressed")[0].limit is None
    page = part.markdown(results)
    assert "| eStargz, mounted, the files of a start first | 100.0 | 2.00 |" in page
    assert "--snapshotter stargz" in results.commands["estargz-traced"][2]
    assert "--trace start.json" in results.commands["estargz-traced"][0]
