"""The rules of cuda.toml: on small trees of both layouts, and on the packages of the local channel.

The big libraries (cuBLAS, cuDNN, cuSOLVER and others) are tried by hand: docs/cuda.md.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from slimpack.slim.gpu import Devices
from slimpack.slim.record import RECORD, read_record
from slimpack.slim.ruleset import Rules, shipped_rules
from slimpack.slim.slimming import Choice, choose
from tests.slim.files import SITE, scope, taken, tree
from tests.support.channel import Run

Files = dict[str, str | bytes | tuple[str, str]]
TARGET = "targets/x86_64-linux"


def slimmed(files: Files, *others: str, profile: str = "safe") -> Choice:
    """Apply the shipped rules to an environment. others: packages that have no files here."""
    owners = {value[0] for value in files.values() if isinstance(value, tuple)}
    graph = dict.fromkeys({"pkg", *owners, *others}, ())
    return choose(tree(files), shipped_rules().of(profile).resolved(), scope(graph))


def library(name: str, *needed: str) -> str:
    # Every fixture is text: what a library needs is in it as it is in an ELF file.
    return "\0".join((name, *needed))


def conda(package: str, name: str, *needed: str) -> Files:
    """A library as conda-forge lays it out."""
    soname = name[: name.index(".so.") + 4] + name[name.index(".so.") + 4 :].split(".")[0]
    return {
        f"{TARGET}/lib/{name}": (package, library(soname, *needed)),
        f"{TARGET}/lib/{soname}": (package, f"-> {name}"),
        f"lib/{name}": (package, f"-> ../{TARGET}/lib/{name}"),
        f"lib/{soname}": (package, f"-> ../{TARGET}/lib/{name}"),
    }


def wheel(package: str, folder: str, *names: str) -> Files:
    return {f"{SITE}/nvidia/{folder}/lib/{name}": (f"pypi:{package}", name) for name in names}


MATHS: Files = {
    **conda("libcublas", "libcublas.so.13.1.1.3", "libcublasLt.so.13"),
    **conda("libcublas", "libcublasLt.so.13.1.1.3"),
    **conda("libcublas", "libnvblas.so.13.1.1.3", "libcublas.so.13"),
    **conda("libcusolver", "libcusolver.so.12.0.4.66", "libcublas.so.13"),
    **conda("libcusolver", "libcusolverMg.so.12.0.4.66", "libcublas.so.13"),
    **conda("libnpp", "libnppc.so.13.0.1"),
    **conda("cuda-nvrtc", "libnvrtc.so.13.0.88", "libnvrtc-builtins.so.13.0"),
    **conda("cuda-nvrtc", "libnvrtc.alt.so.13.0.88", "libnvrtc-builtins.alt.so.13.0"),
    **conda("cuda-nvrtc", "libnvrtc-builtins.alt.so.13.0.88"),
}


def names(choice: Choice, rule: str) -> set[str]:
    """The libraries that a rule took, by their names up to .so."""
    found = {path.rpartition("/")[2] for path, by in taken(choice).items() if by == rule}
    return {name.partition(".so")[0] for name in found}


def test_libraries_that_nothing_needs_or_opens_go() -> None:
    choice = slimmed({**MATHS, "lib/libuser.so": "\0libcusolver.so.12\0"})
    unused = {"libnvblas", "libcusolverMg", "libnppc", "libnvrtc.alt", "libnvrtc-builtins.alt"}
    assert names(choice, "cuda-libraries") == unused
    # All names of a library go together.
    gone = {path for path in taken(choice) if "libnppc" in path}
    assert len(gone) == 4


@pytest.mark.parametrize(
    "source",
    [
        'handle = CDLL("libnppc.so.13")',
        "patterns = {'npp': 'libnppc.so.*[0-9]'}",
        'load_nvidia_dynamic_lib("nppc")',
        "open_cudalib('nppc')",
    ],
)
def test_a_source_that_names_a_library_keeps_it(source: str) -> None:
    user = {f"{SITE}/user/gpu.py": source}
    assert "libnppc" not in names(slimmed({**MATHS, **user}), "cuda-libraries")
    plain = {f"{SITE}/user/gpu.py": "x = nppc  # it is fast"}
    assert "libnppc" in names(slimmed({**MATHS, **plain}), "cuda-libraries")


def test_a_table_of_all_libraries_is_no_use_of_them() -> None:
    table = {f"{SITE}/cuda/pathfinder/_dynamic_libs/catalog.py": 'name="nppc", ("libnppc.so.13",)'}
    assert "libnppc" in names(slimmed({**MATHS, **table}), "cuda-libraries")


def test_what_opens_libraries_by_composed_names_keeps_all() -> None:
    choice = slimmed(MATHS, "jaxlib")
    assert not names(choice, "cuda-libraries")
    assert "the rule 'cuda-libraries' rests: the environment has jaxlib" in choice.notes
    # Where there is nothing to take, nothing is told.
    assert slimmed({"lib/libz.so.1": "x"}, "jaxlib").notes == ()


def test_what_compilers_in_libraries_open_stays() -> None:
    found = conda("libnvjitlink", "libnvJitLink.so.13.0.88")
    found |= conda("cuda-cudart_linux-64", "libcudart.so.13.0.96")
    found |= conda("cuda-nvrtc", "libnvrtc-builtins.so.13.0.88")
    assert not taken(slimmed(found, profile="tight"))


def test_libraries_of_wheels_go_in_the_same_way() -> None:
    files = {
        **wheel("nvidia-cusolver", "cu13", "libcusolver.so.12", "libcusolverMg.so.12"),
        **wheel("nvidia-cuda-nvrtc", "cu13", "libnvrtc.so.13", "libnvrtc.alt.so.13"),
        f"{SITE}/torch/lib/libtorch_cuda_linalg.so": ("pypi:torch", "\0libcusolver.so.12\0"),
        # NVIDIA's licence lists what may be passed on.
        f"{SITE}/nvidia_cusolver-12.0.dist-info/licenses/License.txt": "libcusolverMg.so",
    }
    assert names(slimmed(files), "cuda-libraries") == {"libcusolverMg", "libnvrtc.alt"}


def test_parts_of_cudnn_stay_with_it() -> None:
    parts = ("ops", "cnn", "adv", "graph")
    shim = library("libcudnn.so.9", *(f"libcudnn_{part}.so" for part in parts))
    files: Files = {"lib/libcudnn.so.9.24.0": ("libcudnn", shim)}
    files |= {f"lib/libcudnn_{part}.so.9.24.0": ("libcudnn", part) for part in parts}
    user: Files = {"lib/libtorch_cuda.so": "\0libcudnn.so.9\0"}
    assert not taken(slimmed({**files, **user}))
    assert len(taken(slimmed(files))) == 5


BACKEND = f"{SITE}/triton/backends/nvidia"
TRITON: Files = {
    f"{BACKEND}/{name}": ("pypi:triton", name)
    for name in (
        *("bin/ptxas", "bin/ptxas-blackwell", "driver.c", "compiler.py"),
        *("lib/cupti/libcupti.so.12", "lib/cupti-blackwell/libcupti.so.13", "lib/libdevice.10.bc"),
    )
}


def test_tritons_profiler_has_no_libraries_in_a_service() -> None:
    assert not taken(slimmed(TRITON))
    libraries = ("lib/cupti/libcupti.so.12", "lib/cupti-blackwell/libcupti.so.13")
    assert taken(slimmed(TRITON, profile="serve")) == dict.fromkeys(
        (f"{BACKEND}/{name}" for name in libraries), "triton-profiler"
    )


@pytest.mark.parametrize(
    ("devices", "with_ptx", "goes"),
    [
        ((75, 90), False, True),
        ((90, 100), False, False),
        ((120,), False, False),
        # PTX stays for newer devices: so does what serves them.
        ((90,), True, False),
    ],
)
def test_tools_for_newer_gpus_go_where_none_is_named(
    devices: tuple[int, ...], with_ptx: bool, goes: bool
) -> None:
    rules = Rules(Devices(devices, with_ptx).rules)
    gone = {
        path.removeprefix(f"{BACKEND}/"): rule
        for path, rule in taken(choose(tree(TRITON), rules, scope())).items()
    }
    newer = ("bin/ptxas-blackwell", "lib/cupti-blackwell/libcupti.so.13")
    assert gone == (dict.fromkeys(newer, "gpu-arch-tools") if goes else {})


DEVELOPMENT: Files = {
    f"{TARGET}/include/cuda_runtime.h": ("cuda-cudart-dev_linux-64", "//"),
    f"{TARGET}/include/cuda/std/array": ("cuda-cccl_linux-64", "//"),
    f"{TARGET}/lib/stubs/libcuda.so": ("cuda-driver-dev_linux-64", "x"),
    f"{TARGET}/lib/libcudart_static.a": ("cuda-cudart-static_linux-64", "x"),
    f"{SITE}/nvidia/cu13/include/cuda_fp16.h": ("pypi:nvidia-cuda-runtime", "//"),
    f"{SITE}/nvidia/cu13/lib/libcudadevrt.a": ("pypi:nvidia-cuda-runtime", "x"),
    "nvvm/libnvvm-samples/simple.c": ("cuda-nvvm-dev_linux-64", "x"),
    "nvvm/bin/cicc": ("cuda-nvvm-tools", "x"),
    "bin/cudafe++": ("cuda-nvcc-tools", "x"),
    "bin/ptxas": ("cuda-nvcc-tools", "x"),
    "bin/cuda-gdb": ("cuda-gdb", "x"),
}


def test_what_only_compilers_and_linkers_read() -> None:
    assert taken(slimmed(DEVELOPMENT)) == {
        f"{TARGET}/include/cuda_runtime.h": "cuda-development",
        f"{TARGET}/include/cuda/std/array": "cuda-development",
        f"{TARGET}/lib/stubs/libcuda.so": "cuda-stubs",
        f"{TARGET}/lib/libcudart_static.a": "static-libraries",
        f"{SITE}/nvidia/cu13/include/cuda_fp16.h": "cuda-development",
        f"{SITE}/nvidia/cu13/lib/libcudadevrt.a": "static-libraries",
        "nvvm/libnvvm-samples/simple.c": "cuda-samples",
    }
    more = taken(slimmed(DEVELOPMENT, profile="serve"))
    assert more["nvvm/bin/cicc"] == more["bin/cudafe++"] == "cuda-nvcc"
    assert more["bin/cuda-gdb"] == "cuda-tools"
    assert "bin/ptxas" not in more  # Triton and XLA start it.


@pytest.mark.parametrize("package", ["cupy-core", "pypi:cupy-cuda13x", "numba-cuda"])
def test_headers_stay_for_those_who_compile_while_they_run(package: str) -> None:
    left = set(DEVELOPMENT) - set(taken(slimmed(DEVELOPMENT, package)))
    assert {path for path in DEVELOPMENT if "/include/" in path} <= left
    assert f"{TARGET}/lib/stubs/libcuda.so" not in left


def test_with_nvcc_all_of_it_stays() -> None:
    stays = taken(slimmed(DEVELOPMENT, "cuda-nvcc", profile="tight"))
    assert not {path for path in stays if path.startswith(("targets", "nvvm/bin", "bin/cudafe"))}


def test_the_nvvm_library_stays_for_numba() -> None:
    files: Files = {"nvvm/lib64/libnvvm.so.4": ("cuda-nvvm-impl", "libnvvm.so.4")}
    assert taken(slimmed(files, profile="serve")) == {"nvvm/lib64/libnvvm.so.4": "cuda-nvvm"}
    assert not taken(slimmed(files, "numba-cuda", profile="serve"))
    assert not taken(slimmed({**files, f"{SITE}/a.py": "open('nvvm')"}, profile="serve"))


CUPY = (
    *("cupy-core", "cuda-nvrtc", "cuda-cudart-dev_linux-64", "libcurand", "libcufile"),
    *("cuda-nvtx", "cuda-nvvm-tools", "cuda-nvvm-impl", "libnvjitlink"),
)
NEVER_THERE = {
    *("libcublas.so.13", "libcufft.so.12", "libcusolver.so.12", "libcusparse.so.12"),
    *("libcutensor.so.2", "libcutensorMg.so.2", "libnccl.so.2"),
}
ALONE = ("cuda-cudart-dev_linux-64", "libcurand", "cuda-nvrtc")
# The kernel needs headers, the compiler, and the file that the compiler opens by its version.
COMPILE = """
import sys
from cupy.cuda import nvrtc
source = '''#include <cuda_fp16.h>
extern "C" __global__ void f(__half *x) { x[0] = __hadd(x[0], x[1]); }'''
program = nvrtc.createProgram(source, "f.cu", (), ())
include = sys.prefix + "/targets/x86_64-linux/include"
nvrtc.compileProgram(program, ("--gpu-architecture=compute_90", "-I" + include))
assert b".entry f" in nvrtc.getPTX(program)
"""


def packed(run: Run, folder: Path, channel: str, specs: tuple[str, ...], profile: str) -> Path:
    place = folder / "env"
    (folder / "slimpack.toml").write_text(
        f"[env]\nspecs = {json.dumps(['python 3.11.*', *specs])}\nchannels = ['{channel}']\n"
        f"cuda = '13.0'\nglibc = '2.36'\n[slim]\nprofile = '{profile}'\n"
    )
    run("pack", "-o", f"{place}/", "--dest-prefix", place, "--quiet", cwd=folder)
    return place


def taken_by_package(prefix: Path) -> Counter[tuple[str, str]]:
    """(rule, package) -> bytes, from the record that a result has of its slimming."""
    found: Counter[tuple[str, str]] = Counter()
    for item in read_record((prefix / RECORD).read_bytes(), RECORD).applied:
        found[item.rule, item.owner] += item.bytes
    return found


@pytest.mark.channel
def test_real_packages_around_cupy(cuda_channel: str, run: Run, tmp_path: Path) -> None:
    place = packed(run, tmp_path, cuda_channel, CUPY, "tight")
    try:
        found = taken_by_package(place)
        least = {
            ("cuda-libraries", "cuda-nvrtc"): 110_000_000,  # the alternative compiler
            ("cuda-libraries", "libcufile"): 3_000_000,
            ("cuda-libraries", "cuda-nvtx"): 2_000_000,
            ("static-libraries", "cuda-cudart-static_linux-64"): 2_000_000,
            ("cuda-nvcc", "cuda-nvvm-tools"): 70_000_000,
            ("cuda-nvvm", "cuda-nvvm-impl"): 60_000_000,
        }
        assert not {rule: found[rule] for rule, size in least.items() if found[rule] < size}
        assert not {owner for rule, owner in found if rule == "cuda-development"}
        # CuPy has its name, and opens it when random numbers are wanted.
        assert (place / "lib/libcurand.so.10").exists()
        told = run("verify", place, "--json", cwd=tmp_path, code=11).stdout
        checks = {check["name"]: check for check in json.loads(told)["checks"]}
        assert checks["imports"]["passed"]
        assert checks["records"]["passed"]
        # Modules of CuPy need libraries that this environment never had, and nothing else.
        missing = {item["message"].split()[1] for item in checks["elf-needed"]["findings"]}
        assert missing == {f"{name}," for name in NEVER_THERE}
        done = subprocess.run([place / "bin/python", "-c", COMPILE], capture_output=True,
                              text=True, check=False, env={"HOME": str(tmp_path)})  # fmt: skip
        assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.channel
def test_real_packages_that_nobody_uses(cuda_channel: str, run: Run, tmp_path: Path) -> None:
    place = packed(run, tmp_path, cuda_channel, ALONE, "safe")
    try:
        found = taken_by_package(place)
        assert found["cuda-development", "cuda-cccl_linux-64"] > 10_000_000
        assert found["cuda-development", "cuda-cudart-dev_linux-64"] > 2_000_000
        assert found["cuda-libraries", "libcurand"] > 130_000_000
        # What compiles for GPUs has too many names.
        assert (place / "lib/libnvrtc.so.13").exists()
    finally:
        shutil.rmtree(place, ignore_errors=True)
