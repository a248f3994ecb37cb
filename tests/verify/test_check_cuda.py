"""Drivers, the driver's libraries, NVIDIA's variables: what is right, and every planted fault."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.config import SmokeTest, VerifyConfig
from slimpack.sandbox import Command, Finished, Gpu, Options
from slimpack.verify.context import Context, Runner
from slimpack.verify.model import Finding, SkippedError
from slimpack.verify.subject import Start, Subject
from tests.elf.builder import make_elf
from tests.verify.subjects import (
    PREFIX,
    SITE,
    Link,
    check,
    conda_record,
    findings,
    on_host,
    subject,
)

META = f"{PREFIX}/conda-meta"
LIB = f"{PREFIX}/lib"
GOOD = {
    "NVIDIA_VISIBLE_DEVICES": "all",
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    "NVIDIA_REQUIRE_CUDA": "cuda>=12.0",
}
STUB = make_elf(soname="libcuda.so.1")


def cuda(version: str = "12.8", name: str = "cuda-version") -> dict[str, Any]:
    return {f"{META}/{name}-{version}-0.json": conda_record(name, [], version=version)}


def wheel(name: str, version: str) -> dict[str, Any]:
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"{SITE}/{name.replace('-', '_')}-{version}.dist-info/METADATA": text}


def made(tmp_path: Path, files: dict[str, Any], **env: str) -> Subject:
    start = Start(entrypoint=("tool",), env=tuple({"PATH": "/usr/bin", **env}.items()))
    return subject(tmp_path, files, start=start)


def grave(name: str, on: Subject) -> list[tuple[str, str, str]]:
    return [one for one in findings(name, on) if one[0] != "info"]


def test_what_a_version_of_cuda_needs_is_told(tmp_path: Path) -> None:
    assert findings("cuda-driver", made(tmp_path, cuda(), **GOOD)) == [
        (
            "info",
            "",
            "CUDA 12.8 needs a driver from 525.60.13 on (minor-version compatibility); code that "
            "is compiled when it runs, from PTX, needs 570.26, which came with it; on data centre "
            "GPUs, cuda-compat serves older ones (forward compatibility)",
        )
    ]


@pytest.mark.parametrize(
    ("files", "version"),
    [
        (cuda("13.0"), "13.0"),
        (cuda("12.6.77", "cuda-cudart"), "12.6"),
        (wheel("nvidia_cuda_runtime_cu12", "12.4.127"), "12.4"),
        (wheel("nvidia-cuda-runtime", "13.0.88"), "13.0"),
        ({f"{SITE}/torch/lib/libcudart-9335f6a2.so.12.1.105": STUB}, "12.1"),
        ({**cuda("12.8"), **wheel("nvidia-cuda-runtime", "13.0.88")}, "13.0"),
        (cuda("15.0"), "15.0"),
    ],
)
def test_where_the_version_is_found(tmp_path: Path, files: dict[str, Any], version: str) -> None:
    ((_, _, message),) = findings(
        "cuda-driver", made(tmp_path, files, NVIDIA_REQUIRE_CUDA=f"cuda>={version}")
    )
    assert message.startswith(f"CUDA {version} needs a driver ")


@pytest.mark.parametrize("name", ["cuda-driver", "nvidia-variables"])
def test_an_image_without_cuda_is_not_judged(tmp_path: Path, name: str) -> None:
    assert findings(name, made(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("cuda>=12.0", []),
        ("cuda>=12.8 brand=tesla,driver>=535,driver<536", []),
        ("driver>=525", []),
        ("cuda>=11.4", [("error", "lets drivers start it that know CUDA 11.4 (cuda>=11.4)")]),
        (
            "cuda>=12.8 brand=tesla,driver>=470,driver<471",
            [("error", "know CUDA 11.4 (brand=tesla,driver>=470,driver<471)")],
        ),
        ("brand=tesla", [("warning", "lets any driver start it (brand=tesla)")]),
        ("", [("warning", "lets any driver start it (it is empty)")]),
        ("nonsense", []),  # told by nvidia-variables
    ],
)
def test_what_is_required_is_enough(
    tmp_path: Path, said: str, expected: list[tuple[str, str]]
) -> None:
    found = grave("cuda-driver", made(tmp_path, cuda(), NVIDIA_REQUIRE_CUDA=said))
    assert len(found) == len(expected)
    for (severity, _, message), (wanted, text) in zip(found, expected, strict=True):
        assert severity == wanted
        assert text in message


@pytest.mark.parametrize(
    "path",
    [f"{PREFIX}/cuda-compat/libcuda.so.580.65", "usr/local/cuda-13.0/compat/libcuda.so.580.65"],
)
def test_compatibility_libraries_serve_older_drivers(tmp_path: Path, path: str) -> None:
    said = "cuda>=13.0 driver>=535,driver<536"
    image = made(tmp_path, cuda("13.0"), NVIDIA_REQUIRE_CUDA=said)
    assert [one[0] for one in grave("cuda-driver", image)] == ["error"]
    (tmp_path / "with").mkdir()
    image = made(tmp_path / "with", {**cuda("13.0"), path: STUB}, NVIDIA_REQUIRE_CUDA=said)
    assert grave("cuda-driver", image) == []
    assert findings("driver-libraries", image) == []


def test_nothing_is_required(tmp_path: Path) -> None:
    ((severity, _, message),) = grave("cuda-driver", made(tmp_path, cuda()))
    assert severity == "warning"
    assert message.startswith("NVIDIA_REQUIRE_CUDA is not set")


def test_environments_have_no_variables(tmp_path: Path) -> None:
    files = {path.removeprefix(f"{PREFIX}/"): content for path, content in cuda().items()}
    prefix = subject(tmp_path, files, kind="prefix")
    assert [one[0] for one in findings("cuda-driver", prefix)] == ["info"]
    with pytest.raises(AssertionError, match="only an image has variables"):
        findings("nvidia-variables", prefix)


def test_an_older_driver_on_this_machine_is_told(tmp_path: Path) -> None:
    image = made(tmp_path, cuda(), **GOOD)
    runner = Runner(Recorded(0), image, Gpu((), (), driver="470.82.01"))
    found = list(check("cuda-driver").run(image, Context(runner=runner)))
    assert found[1].message == "the driver of this machine, 470.82.01, is older"
    runner = Runner(Recorded(0), image, Gpu((), (), driver="570.26"))
    assert len(list(check("cuda-driver").run(image, Context(runner=runner)))) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.570.26"),
        *("libnvcuvid.so.1", "libcudadebugger.so.1"),
    ],
)
def test_libraries_of_the_driver_are_not_shipped(tmp_path: Path, name: str) -> None:
    files = {f"{LIB}/{name}": STUB, f"{LIB}/libcudart.so.12": STUB}
    ((severity, path, message),) = findings("driver-libraries", made(tmp_path, files))
    assert (severity, path) == ("error", f"{LIB}/{name}")
    assert message.startswith("is a library of the GPU's driver")


def test_a_link_to_one_is_as_bad(tmp_path: Path) -> None:
    files = {f"{LIB}/libcuda.so.1": Link("other.bin"), f"{LIB}/other.bin": STUB}
    assert [one[:2] for one in findings("driver-libraries", made(tmp_path, files))] == [
        ("error", f"{LIB}/libcuda.so.1")
    ]


def test_those_of_a_foreign_base_are_a_warning(tmp_path: Path) -> None:
    path = "usr/lib/x86_64-linux-gnu/libcuda.so.1"
    image = subject(tmp_path, {path: STUB}, below=frozenset((path,)))
    assert [one[:2] for one in findings("driver-libraries", image)] == [("warning", path)]


STUBS = f"{PREFIX}/targets/x86_64-linux/lib/stubs"


def test_stubs_where_nobody_looks_are_no_fault(tmp_path: Path) -> None:
    files = {
        f"{STUBS}/libcuda.so": STUB,
        f"{LIB}/stubs/libnvidia-ml.so": Link("../../targets/x86_64-linux/lib/stubs/libcuda.so"),
        f"{LIB}/liba.so": make_elf(needed=("libcuda.so.1",), rpath="$ORIGIN"),
    }
    assert findings("driver-libraries", made(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("elf", "env"),
    [
        ({"rpath": "$ORIGIN:${ORIGIN}/../targets/x86_64-linux/lib/stubs"}, {}),
        ({"runpath": f"/{STUBS}"}, {}),
        ({}, {"LD_LIBRARY_PATH": f"/usr/lib:/{STUBS}"}),
    ],
)
def test_stubs_where_the_loader_looks(
    tmp_path: Path, elf: dict[str, Any], env: dict[str, str]
) -> None:
    files = {f"{STUBS}/libcuda.so": STUB, f"{LIB}/liba.so": make_elf(**elf)}
    ((severity, path, message),) = findings("driver-libraries", made(tmp_path, files, **env))
    assert (severity, path) == ("error", f"{STUBS}/libcuda.so")
    assert "is a stub" in message


def test_compatibility_libraries_that_always_win(tmp_path: Path) -> None:
    folder = f"{PREFIX}/cuda-compat"
    image = made(tmp_path, {f"{folder}/libcuda.so.1": STUB}, LD_LIBRARY_PATH=f"/{folder}")
    ((severity, _, message),) = findings("driver-libraries", image)
    assert (severity, "fails on newer drivers" in message) == ("warning", True)


def variables(tmp_path: Path, files: dict[str, Any], **env: str) -> list[tuple[str, str]]:
    found = findings("nvidia-variables", made(tmp_path, files, **env))
    return [(severity, message) for severity, _, message in found]


def test_the_variables_of_the_runtime_for_gpus_are_right(tmp_path: Path) -> None:
    assert variables(tmp_path, cuda(), **GOOD) == []


def test_a_gpu_image_without_variables(tmp_path: Path) -> None:
    found = variables(tmp_path, cuda())
    assert [severity for severity, _ in found] == ["warning", "warning"]
    assert found[0][1].startswith("NVIDIA_DRIVER_CAPABILITIES is not set")
    assert found[1][1].startswith("NVIDIA_VISIBLE_DEVICES is not set")
    fixes = [one.fix for one in check("nvidia-variables").run(made(tmp_path, cuda()), Context())]
    assert all("--runtime cuda" in fix for fix in fixes)


@pytest.mark.parametrize(
    ("name", "value", "severity", "text"),
    [
        ("NVIDIA_VISIBLE_DEVICES", "void", "warning", "no GPU gets in"),
        ("NVIDIA_VISIBLE_DEVICES", "", "warning", "no GPU gets in"),
        ("NVIDIA_DRIVER_CAPABILITIES", "utility", "error", "libcuda is not brought in"),
        ("NVIDIA_DRIVER_CAPABILITIES", "compute,gpu", "error", "names 'gpu', which is none of"),
        ("NVIDIA_REQUIRE_CUDA", "cuda>=13.0", "error", "asks for CUDA 13.0, but that of the image"),
        ("NVIDIA_REQUIRE_CUDA", "cuda>=12.9", "warning", "newer than that of the image, 12.8"),
        ("NVIDIA_REQUIRE_CUDA", "cuda 12.0", "error", "cannot be read"),
        ("NVIDIA_REQUIRE_OTHER", "kernel>=5", "error", "nothing is known of 'kernel'"),
    ],
)
def test_variables_that_contradict(
    tmp_path: Path, name: str, value: str, severity: str, text: str
) -> None:
    ((found, message),) = variables(tmp_path, cuda(), **{**GOOD, name: value})
    assert found == severity
    assert text in message


def test_a_requirement_without_cuda(tmp_path: Path) -> None:
    ((severity, message),) = variables(tmp_path, {}, **GOOD)
    assert (severity, "there is no CUDA in it" in message) == ("warning", True)


class Recorded:
    """A prepared sandbox that runs nothing; it tells which options it was given."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.options: list[Options] = []
        self.env: dict[str, str] = {}

    def run(self, command: Command, options: Options = Options(), **more: Any) -> Finished:  # noqa: B008
        self.options.append(options)
        self.env = dict(command.env)
        return Finished(self.code, b"", b"no device" if self.code else b"", False, 0.0)


GPU = Gpu((("/dev/null", "nvidiactl"),), ())
TESTS = VerifyConfig(
    smoke=(SmokeTest(("python", "-c", "1")), SmokeTest(("python", "gpu.py"), gpu=True))
)


def smoke(image: Subject, code: int, gpu: Gpu | None) -> tuple[list[Finding], list[Options]]:
    prepared = Recorded(code)
    context = Context(config=TESTS, runner=Runner(prepared, image, gpu))
    return list(check("smoke").run(image, context)), prepared.options


def test_a_gpu_test_gets_the_gpu_and_others_do_not(tmp_path: Path) -> None:
    found, options = smoke(made(tmp_path, {}), 0, GPU)
    assert (found, [one.gpu for one in options]) == ([], [None, GPU])
    found, _ = smoke(made(tmp_path, {}), 3, GPU)
    assert [one.message for one in found] == [
        "python -c 1 failed with exit code 3: no device",
        "python gpu.py failed with exit code 3: no device",
    ]


@pytest.mark.parametrize(
    ("files", "env", "expected"),
    [
        ({}, {}, "/tmp"),
        ({"home/nonroot/.config/app.toml": ""}, {}, None),
        ({}, {"HOME": "/data"}, "/data"),
    ],
)
def test_a_home_that_can_be_written_to(
    tmp_path: Path, files: dict[str, Any], env: dict[str, str], expected: str | None
) -> None:
    """As in a container: cupy makes a folder there when it is imported."""
    image = made(tmp_path, files, **env)
    prepared = Recorded(0)
    Runner(prepared, replace(image, start=replace(image.start, user="65532"))).run(("x",))
    assert prepared.env.get("HOME") == expected


def test_without_a_gpu_a_gpu_test_is_not_verified(tmp_path: Path) -> None:
    (found,), options = smoke(made(tmp_path, {}), 0, None)
    assert (found.severity, found.message) == (
        "warning", "python gpu.py: not verified: no GPU here",
    )  # fmt: skip
    assert len(options) == 1


def test_programs_of_an_environment_have_the_machine_s_gpu_anyway(tmp_path: Path) -> None:
    prefix = subject(tmp_path, {}, kind="prefix")
    config = VerifyConfig(
        smoke=(SmokeTest((sys.executable, "-c", "raise SystemExit(4)"), gpu=True),)
    )
    context = on_host(prefix, config)
    assert context.runner is not None
    context = Context(config=config, runner=Runner(context.runner.prepared, prefix, GPU))
    (found,) = check("smoke").run(prefix, context)
    assert "failed with exit code 4" in found.message


def test_no_sandbox_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(SkippedError, match="no sandbox"):
        list(check("smoke").run(made(tmp_path, {}), Context(config=TESTS)))
