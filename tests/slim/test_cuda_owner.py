"""CUDA's libraries that conda packages and wheels both bring become one, where that is sound."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from slimpack.slim.cuda_owner import Owned, one_owner
from slimpack.slim.ruleset import Keep, Rule, Rules, shipped_rules
from slimpack.tree import Kind
from tests.elf.builder import make_elf
from tests.slim.files import PREFIX, SITE, scope, tree
from tests.support.channel import MiniChannel, Run

TARGET = "targets/x86_64-linux/lib"
RULE = Rule("cuda-one-owner", "r", action="one-owner")
Files = dict[str, Any]
# What conda's Python is: its libraries, and those that they open, are looked for in lib.
PYTHON: Files = {
    "bin/python3.11": make_elf(interpreter="/lib64/ld-linux-x86-64.so.2", rpath="$ORIGIN/../lib")
}


def conda(package: str, version: str, *sonames: str, needed: tuple[str, ...] = ()) -> Files:
    """Libraries in targets, with links from lib, all of one version."""
    files: Files = {f"conda-meta/{package}-{version}-h0_0.json": (package, "{}")}
    for soname in sonames:
        name = f"{soname.partition('.so')[0]}.so.{version}"
        elf = make_elf(soname=soname, needed=needed, rpath="$ORIGIN")
        files[f"{TARGET}/{name}"] = (package, elf)
        files[f"{TARGET}/{soname}"] = (package, f"-> {name}")
        files[f"lib/{soname}"] = (package, f"-> ../{TARGET}/{name}")
    return files


def wheel(
    package: str, version: str, folder: str, *sonames: str, needed: tuple[str, ...] = ()
) -> Files:
    owner, name = f"pypi:{package}", package.replace("-", "_")
    files: Files = {f"{SITE}/{name}-{version}.dist-info/METADATA": (owner, "")}
    for soname in sonames:
        elf = make_elf(soname=soname, needed=needed, runpath="$ORIGIN")
        files[f"{SITE}/nvidia/{folder}/lib/{soname}"] = (owner, elf)
    return files


def owned(files: Files, *rules: Rule, keeps: tuple[Keep, ...] = ()) -> Owned:
    return one_owner(tree({**PYTHON, **files}), Rules(rules or (RULE,), keeps), scope())


def links(done: Owned) -> dict[str, str]:
    """Links in the place of files: path -> target."""
    changed = {change.path for change in done.changes}
    return {
        path: done.tree[f"{PREFIX}/{path}"].link
        for path in changed
        if f"{PREFIX}/{path}" in done.tree
    }


CUBLAS = ("libcublas.so.13", "libcublasLt.so.13")


def test_one_of_two_copies_stays() -> None:
    done = owned(
        conda("libcublas", "13.1.1.3", *CUBLAS)
        | wheel("nvidia-cublas", "13.0.2.14", "cu13", *CUBLAS)
    )
    up = "../../../../../.."
    assert links(done) == {
        f"{SITE}/nvidia/cu13/lib/{soname}": f"{up}/{TARGET}/{soname[:-2]}13.1.1.3"
        for soname in CUBLAS
    }
    assert {change.rule for change in done.changes} == {"cuda-one-owner"}
    assert all(change.bytes > 8000 and not change.removed for change in done.changes)
    assert {change.owner for change in done.changes} == {"pypi:nvidia-cublas"}
    (note,) = done.notes
    assert note.startswith("CUDA: came more than once: cuBLAS (libcublas 13.1.1.3, 0.0 MB; ")
    assert "nvidia-cublas 13.0.2.14" in note


def test_of_equal_versions_that_of_conda_stays() -> None:
    done = owned(
        conda("nccl", "2.30.7", "libnccl.so.2")
        | wheel("nvidia-nccl-cu13", "2.30.7", "nccl", "libnccl.so.2")
    )
    assert list(links(done)) == [f"{SITE}/nvidia/nccl/lib/libnccl.so.2"]


def test_the_newer_one_stays_wherever_it_is() -> None:
    done = owned(
        conda("libcublas", "13.0.2.14", *CUBLAS)
        | wheel("nvidia-cublas", "13.1.1.3", "cu13", *CUBLAS)
    )
    assert links(done) == {
        f"{TARGET}/{soname[:-2]}13.0.2.14": f"../../../{SITE}/nvidia/cu13/lib/{soname}"
        for soname in CUBLAS
    }
    # Links lead on through it.
    assert done.tree[f"{PREFIX}/lib/libcublas.so.13"].link.endswith("libcublas.so.13.0.2.14")


def test_what_opens_its_own_version_gets_it() -> None:
    nvrtc = ("libnvrtc.so.13",)
    files = conda("cuda-nvrtc", "13.0.88", *nvrtc, "libnvrtc-builtins.so.13.0")
    files |= wheel("nvidia-cuda-nvrtc", "13.1.7", "cu13", *nvrtc, "libnvrtc-builtins.so.13.1")
    done = owned(files)
    gone = {change.path for change in done.changes if change.removed}
    assert gone == {f"{TARGET}/libnvrtc-builtins.so.13.0.88"}
    for folder in (TARGET, "lib"):
        entry = done.tree[f"{PREFIX}/{folder}/libnvrtc-builtins.so.13.1"]
        assert entry.kind is Kind.SYMLINK
        assert entry.link.endswith("nvidia/cu13/lib/libnvrtc-builtins.so.13.1")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        pytest.param(
            conda("libcudnn", "9.24", "libcudnn.so.9")
            | wheel("nvidia-cudnn-cu13", "9.20", "cudnn", "libcudnn.so.9", "libcudnn_ops.so.9"),
            "the copy of libcudnn has no libcudnn_ops.so.9",
            id="a part is missing",
        ),
        pytest.param(
            conda("libcudnn", "9.24", "libcudnn.so.9")
            | conda("cuda-cudart", "13.0.96", "libcudart.so.13")
            | wheel("nvidia-cudnn-cu12", "9.20", "cudnn", "libcudnn.so.9"),
            "there are CUDA 12 and 13, and it may be for either",
            id="for another CUDA",
        ),
        pytest.param(
            conda("libcufft", "12.0", "libcufft.so.12")
            | {f"{SITE}/nvidia/cu13/lib/libcufft.so.12": ("", make_elf(soname="libcufft.so.12"))},
            "versions are not known",
            id="of no package",
        ),
        pytest.param(
            conda("libcusolver", "12.0", "libcusolver.so.12")
            | wheel("nvidia-cusparse", "12.6", "cusparse", "libcusparse.so.12")
            | wheel("nvidia-cusolver", "12.1", "cusolver", "libcusolver.so.12",
                    needed=("libcusparse.so.12",)),
            f"/{PREFIX}/lib/libcusolver.so.12 would not find libcusparse.so.12",
            id="out of sight",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_one_is_left_and_told(files: Files, why: str) -> None:
    done = owned(files)
    assert not done.changes
    assert [note.rpartition("; left so: ")[2] for note in done.notes] == [why]


def test_two_major_versions_are_two_libraries() -> None:
    done = owned(
        conda("libcublas", "13.1.1.3", *CUBLAS)
        | wheel("nvidia-cublas-cu12", "12.8.4.1", "cublas", "libcublas.so.12", "libcublasLt.so.12")
    )
    assert (done.changes, done.notes) == ((), ())


def test_libraries_that_a_package_carries_for_itself_are_its_own() -> None:
    own = {f"{SITE}/triton/lib/libcupti.so.13": ("pypi:triton", make_elf(soname="libcupti.so.13"))}
    done = owned(conda("cuda-cupti", "13.0.85", "libcupti.so.13") | own)
    assert (done.changes, done.notes) == ((), ())


def test_no_rule_no_change() -> None:
    files = conda("nccl", "2.30.7", "libnccl.so.2")
    files |= wheel("nvidia-nccl-cu13", "2.29.1", "nccl", "libnccl.so.2")
    told = "; left so: no rule of this profile makes them one"
    for rules in (
        shipped_rules().of("safe").resolved(),
        Rules((RULE,), (Keep("k", "r", (SITE,)),)),
    ):
        done = one_owner(tree({**PYTHON, **files}), rules, scope())
        assert not done.changes
        assert done.notes[0].endswith(told)
    served = one_owner(tree({**PYTHON, **files}), shipped_rules().of("serve").resolved(), scope())
    assert len(served.changes) == 1


def test_records_tell_of_what_is_read(mini: MiniChannel, run: Run, tmp_path: Path) -> None:
    """From packages to a folder: the older copy is a link, and the records are true."""
    old, new = (
        make_elf(soname="libnccl.so.2"),
        make_elf(soname="libnccl.so.2", needed=("libc.so.6",)),
    )
    mini.add("nccl", {"lib/libnccl.so.2": old}, version="2.29.1")
    dist = f"{SITE}/nvidia_nccl_cu13-2.30.7.dist-info"
    library = f"{SITE}/nvidia/nccl/lib/libnccl.so.2"
    mini.add("nvidia-nccl-cu13", {
        library: new,
        f"{dist}/METADATA": "Metadata-Version: 2.1\nName: nvidia-nccl-cu13\nVersion: 2.30.7\n",
        f"{dist}/RECORD": "nvidia/nccl/lib/libnccl.so.2,,\n",
    }, version="2.30.7")  # fmt: skip
    (tmp_path / "slimpack.toml").write_text(
        f"[env]\nspecs = ['nccl', 'nvidia-nccl-cu13']\nchannels = ['{mini.url}']\n"
        "[slim]\nprofile = 'serve'\ndisable = ['cuda-libraries']\n"
    )
    done = run("pack", "-o", "env/", "--json", cwd=tmp_path)
    assert (tmp_path / "env/lib/libnccl.so.2").readlink() == Path(library).relative_to("lib")
    assert any("the first serves all now" in note for note in json.loads(done.stdout)["notes"])
    verified = json.loads(run("verify", "env", "--check", "records", "--json", cwd=tmp_path).stdout)
    assert verified["checks"][0]["passed"]
    record = json.loads(next((tmp_path / "env/conda-meta").glob("nccl-*.json")).read_text())
    (item,) = record["paths_data"]["paths"]

    assert (
        item["sha256_in_prefix"]
        == hashlib.sha256((tmp_path / "env" / library).read_bytes()).hexdigest()
    )
