"""Solving for GPUs: what is held, and CPU builds that nobody asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from slimpack.env.cpubuilds import Gpu, check_distributions, check_locked, cpu_distributions
from slimpack.env.engine import Engine, choose_engine
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locking import Locked, solve_for
from slimpack.env.locks.lock import LockedPackage, PypiPackage
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InputError, SolveError
from slimpack.installing import target_of
from tests.support.channel import MiniChannel, Run
from tests.support.micromamba import stand_in

ENGINES = ("rattler", "micromamba")


@pytest.fixture
def cuda(mini: MiniChannel) -> MiniChannel:
    """A channel like conda-forge's: a framework for CPUs and for two versions of CUDA."""
    for version in ("12.6", "12.8", "12.9", "13.0"):
        mini.add("cuda-version", {}, version=version, noarch="generic")
    for version in ("12.6.77", "12.8.90", "12.9.79"):
        minor = ".".join(version.split(".")[:2])
        needs = [f"cuda-version >={minor},<13.0a0", "__cuda"]
        mini.add("cuda-cudart", {f"share/cudart-{minor}": ""}, version=version, depends=needs)
    framework = {"name": "pytorch", "version": "2.9.0"}
    for minor in ("12.6", "12.8"):
        built = f"cuda{minor.replace('.', '')}_generic_h0_0"
        cudart = f"cuda-cudart >={minor},<13.0a0"
        needs = [f"cuda-version {minor}.*", cudart, f"libtorch 2.9.0 {built}"]
        mini.add(files={}, build=built, build_number=200, depends=needs, **framework)
        mini.add("libtorch", {}, version="2.9.0", build=built, depends=needs[:2])
    mini.add(files={}, build="cpu_generic_h0_0", build_number=0,
             depends=["libtorch 2.9.0 cpu_generic_h0_0"], **framework)  # fmt: skip
    mini.add("libtorch", {}, version="2.9.0", build="cpu_generic_h0_0")
    mini.add("pytorch-cpu", {}, version="2.9.0", depends=["pytorch 2.9.0 cpu_*"])
    mini.add("xgboost", {}, version="3.0", build="cpu_h0_0", build_number=9)
    mini.add("xgboost", {}, version="3.0", build="cuda128_h0_0", depends=["cuda-version 12.8.*"])
    mini.add("libarrow", {}, build="h1_0_cpu", build_number=9)
    mini.add("libarrow", {}, build="h1_0_cuda", depends=["cuda-version >=12.6"])
    mini.add("pyarrow", {}, depends=["libarrow"])
    mini.add("plain", {})
    return mini


@pytest.fixture(params=ENGINES)
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    if request.param == "micromamba":
        monkeypatch.setenv("PATH", str(stand_in(tmp_path / "bin").parent), prepend=":")
    return choose_engine(request.param, tmp_path / "pkgs", tmp_path / "repodata")


@pytest.fixture
def reader(tmp_path: Path) -> RattlerEngine:
    return RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")


def solved(
    spec: EnvSpec, engine: Engine, reader: RattlerEngine, cuda: str = "12.8", *allow: str
) -> Locked:
    target = target_of("linux/amd64", "2.36", cuda)
    return solve_for(spec, target, engine, reader, Gpu(cuda, allow))


def versions(locked: Locked) -> dict[str, str]:
    return {package.name: f"{package.version} {package.build}" for package in locked.lock.packages}


def test_cuda_is_what_was_asked_for_wherever_it_comes_in(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    for minor in ("12.6", "12.8"):
        found = versions(solved(cuda.spec("pytorch"), engine, reader, minor))
        assert found["pytorch"] == f"2.9.0 cuda{minor.replace('.', '')}_generic_h0_0"
        assert found["cuda-version"].startswith(f"{minor} ")
    # Nothing but what is held keeps it from 12.9.
    found = versions(solved(cuda.spec("cuda-cudart"), engine, reader, "12.8"))
    assert (found["cuda-version"], found["cuda-cudart"]) == ("12.8 0", "12.8.90 0")


def test_an_environment_without_cuda_is_solved_all_the_same(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    assert versions(solved(cuda.spec("plain"), engine, reader)) == {"plain": "1.0 0"}


def test_another_version_by_name_contradicts(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    with pytest.raises(SolveError) as caught:
        solved(cuda.spec("cuda-cudart", "cuda-version 12.6.*"), engine, reader)
    if engine.name == "rattler":  # the stand-in's explanation is a recorded one
        assert "cuda-version" in caught.value.details
        assert "held to cuda-version 12.8 ([env] cuda, --cuda)" in caught.value.hint


def refused(
    spec: EnvSpec, engine: Engine, reader: RattlerEngine, cuda: str = "12.8", *allow: str
) -> SolveError:
    with pytest.raises(SolveError) as caught:
        solved(spec, engine, reader, cuda, *allow)
    return caught.value


def test_the_spec_that_asks_for_a_cpu_build_is_named(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    error = refused(cuda.spec("plain", "pytorch=*=cpu*"), engine, reader)
    assert error.message == (
        "environment.yml: a CPU build of libtorch and pytorch was chosen, "
        "but CUDA 12.8 is asked for"
    )
    assert error.details == (
        "pytorch-2.9.0-cpu_generic_h0_0 is a CPU build; there are 2 builds of pytorch for CUDA, "
        "the newest of version 2.9.0, which need cuda-cudart >=12.6,<13.0a0, "
        "cuda-cudart >=12.8,<13.0a0, cuda-version 12.6.*, cuda-version 12.8.*\n"
        "  the spec 'pytorch=*=cpu*' matches none of these"
    )
    assert error.hint == (
        'change that spec, or allow it: [env] allow_cpu = ["pytorch"] (--allow-cpu pytorch)'
    )
    assert error.exit_code == 3


def test_the_package_that_asks_for_a_cpu_build_is_named(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    error = refused(cuda.spec("pytorch-cpu"), engine, reader)
    assert (
        "  pytorch-cpu-2.9.0-0 (asked for by the spec 'pytorch-cpu') needs "
        "'pytorch ==2.9.0 cpu_*', which matches none of these"
    ) in error.details.splitlines()


def test_a_version_of_cuda_that_nothing_is_built_for_is_explained(
    cuda: MiniChannel, reader: RattlerEngine
) -> None:
    error = refused(cuda.spec("pytorch"), reader, reader, "12.9")
    first, second, *explanation = error.details.splitlines()
    assert first.startswith("pytorch-2.9.0-cpu_generic_h0_0 is a CPU build; there are 2 builds")
    assert second == "  with 'pytorch * *cuda*' beside the other specs, the solver says:"
    assert "cuda-version" in "\n".join(explanation)


def test_a_cpu_build_that_the_solver_just_prefers(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    error = refused(cuda.spec("xgboost"), engine, reader)
    assert error.details.splitlines()[-1] == (
        "  the solver prefers xgboost-3.0-cpu_h0_0; with 'xgboost * *cuda*' beside the other specs "
        "it works"
    )
    assert versions(solved(cuda.spec("xgboost * *cuda*"), engine, reader))["cuda-version"]


def test_a_runtime_for_gpus_without_cuda_for_the_solver(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    error = refused(cuda.spec("pytorch"), engine, reader, "")
    assert "but a runtime for GPUs is asked for" in error.message
    assert "no CUDA was offered to the solver" in error.details
    assert error.hint.startswith('set cuda = "12.8" under [env] (--cuda), or allow it:')


def test_what_is_allowed(cuda: MiniChannel, engine: Engine, reader: RattlerEngine) -> None:
    found = versions(solved(cuda.spec("pytorch=*=cpu*"), engine, reader, "12.8", "pytorch"))
    assert found["libtorch"] == "2.9.0 cpu_generic_h0_0"
    found = versions(solved(cuda.spec("pytorch", "xgboost"), engine, reader, "12.8", "xg*"))
    assert (found["xgboost"], found["pytorch"]) == (
        "3.0 cpu_h0_0", "2.9.0 cuda128_generic_h0_0",
    )  # fmt: skip
    assert refused(cuda.spec("pytorch=*=cpu*", "xgboost"), engine, reader, "12.8", "xgboost")


def test_what_came_along_is_a_note(
    cuda: MiniChannel, engine: Engine, reader: RattlerEngine
) -> None:
    (note,) = solved(cuda.spec("pyarrow"), engine, reader).notes
    assert note == (
        "libarrow-1.0-h1_0_cpu is a CPU build, and the channel has builds for CUDA; "
        "nothing asked for it by name"
    )
    assert refused(cuda.spec("pyarrow", "libarrow"), engine, reader)
    assert solved(cuda.spec("pyarrow"), engine, reader, "12.8", "lib*").notes == ()


def package(name: str, build: str, *depends: str) -> LockedPackage:
    return LockedPackage(name, "1", build, "linux-64", "file:///x", depends=depends)


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (package("pytorch", "cuda128_mkl_py311_h0_300"), True),
        (package("onnxruntime", "py311h0_0_cuda"), True),
        (package("faiss", "py311h0_0", "cuda-version >=12.8,<13"), True),
        (package("jaxlib", "py311_0", "__cuda >=12"), True),
        (package("numpy", "py311h0_0"), True),
        (package("pytorch", "py3.11_cpu_0"), False),
        (package("jaxlib", "py311_0", "cuda-nothing"), False),
        (package("libxgboost", "cpu_h0_0"), False),
        (package("onnxruntime", "py311h0_0_cpu"), False),
    ],
)
def test_locks_are_judged_by_what_is_known(found: LockedPackage, good: bool) -> None:
    if good:
        check_locked([found], (), Gpu("12.8"), "pixi.lock")
        return
    with pytest.raises(InputError, match=f"{found.dist}: a CPU build") as caught:
        check_locked([found], (), Gpu("12.8"), "pixi.lock")
    assert caught.value.message == "pixi.lock: packages for CPUs, but CUDA 12.8 is asked for"
    assert "solve it again with cuda set, or allow it" in caught.value.hint
    check_locked([found], (), Gpu("12.8", (found.name,)), "pixi.lock")


def pypi(**versions: str) -> list[PypiPackage]:
    return [
        PypiPackage(name.replace("_", "-"), version, "file:///x")
        for name, version in versions.items()
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pypi(torch="2.9.0+cpu"), "torch 2.9.0+cpu of pip: for CPUs only"),
        (pypi(tensorflow_cpu="2.20"), "tensorflow-cpu 2.20 of pip: for CPUs only"),
        (
            pypi(onnxruntime="1.23"),
            "onnxruntime 1.23 of pip: for CPUs only, without onnxruntime-gpu",
        ),
        (pypi(onnxruntime="1.23", onnxruntime_gpu="1.23"), ""),
        (
            pypi(jaxlib="0.8"),
            "jaxlib 0.8 of pip: for CPUs only, without jax-cuda12-plugin or jax-cuda13-plugin",
        ),
        (pypi(jaxlib="0.8", jax_cuda13_plugin="0.8"), ""),
        (pypi(torch="2.9.0", numpy="2.1"), ""),
        (pypi(torch="2.9.0+cu128"), ""),
    ],
)
def test_what_pip_installs(found: list[PypiPackage], expected: str) -> None:
    assert list(cpu_distributions(found, Gpu("12.8")).values()) == ([expected] if expected else [])
    assert not cpu_distributions(found, Gpu("12.8", ("*",)))


def test_the_line_of_the_pip_section_is_named() -> None:
    spec = EnvSpec("t", (), (), source="environment.yml", pip=("torch==2.9.0+cpu", "numpy"))
    with pytest.raises(SolveError, match="packages for CPUs") as caught:
        check_distributions(pypi(torch="2.9.0+cpu", numpy="2"), Gpu("12.8"), spec)
    assert caught.value.details.splitlines()[1] == "  asked for by 'torch==2.9.0+cpu'"
    check_distributions(pypi(numpy="2"), Gpu("12.8"), spec)


def test_through_the_command_line(
    cuda: MiniChannel, run: Run, install: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "environment.yml").write_text(
        f"channels: ['{cuda.url}']\ndependencies: ['pytorch=*=cpu*']\n"
    )
    arguments = ("lock", "environment.yml", "--engine", "rattler", "--glibc", "2.36")
    done = run(*arguments, "--cuda", "12.8", cwd=tmp_path, code=3)
    assert "the spec 'pytorch=*=cpu*' matches none of these" in done.stderr
    run(*arguments, "--cuda", "12.8", "--allow-cpu", "pytorch", cwd=tmp_path)
    run(*arguments, "--cuda", "12.8", "--check", cwd=tmp_path)
    done = run("lock", "pixi.lock", "-o", "again.txt", "--cuda", "12.8", cwd=tmp_path, code=2)
    assert "pytorch-2.9.0-cpu_generic_h0_0: a CPU build" in done.stderr
    prefix = install(cuda, "pytorch=*=cpu*")
    done = run("pack", prefix, "-o", "env.tar", "--cuda", "12.8", cwd=tmp_path, code=2)
    assert f"conda prefix ({prefix}): packages for CPUs" in done.stderr
    run("pack", prefix, "-o", "env.tar.zst", cwd=tmp_path)
    done = run("pack", "env.tar.zst", "-o", "b.tar", "--cuda", "12.8", cwd=tmp_path, code=2)
    assert "libtorch-2.9.0-cpu_generic_h0_0: a CPU build" in done.stderr
    assert not (tmp_path / "b.tar").exists()


def test_a_lock_of_another_version_of_cuda_is_out_of_date(
    cuda: MiniChannel, run: Run, tmp_path: Path
) -> None:
    arguments = ("lock", "cuda-version", "-c", cuda.url, "--engine", "rattler", "--glibc", "2.36")
    run(*arguments, "--cuda", "12.6", cwd=tmp_path)
    run(*arguments, "--cuda", "12.6", "--check", cwd=tmp_path)
    done = run(*arguments, "--cuda", "12.8", "--check", cwd=tmp_path, code=10)
    assert "cuda-version-12.6-0 is locked, but cuda-version is held to 12.8" in done.stderr


def test_the_record_of_an_installed_package_is_enough(
    cuda: MiniChannel, install: Callable[..., Path]
) -> None:
    from slimpack.env.meta import read_installed

    prefix = install(cuda, "xgboost")
    record = json.loads(next(prefix.glob("conda-meta/xgboost-*.json")).read_text())
    assert record["build"] == "cpu_h0_0"
    with pytest.raises(InputError):
        check_locked(read_installed(prefix).packages, (), Gpu("12.8"), "prefix")
    other = SimpleNamespace(name="xgboost", dist="x", build="h0_0", depends=("cuda-version",))
    check_locked([other], (), Gpu("12.8"), "prefix")
