"""GPU code trimmed to one architecture, tried on a GPU of that architecture.

``python -m benchmarks.gpu.fatbin_check --out RESULT.json`` needs an interpreter that has
PyTorch or CuPy with NVIDIA's wheels (PyTorch with Triton and a C compiler, for one of its
tasks), and nothing of slimpack's dependencies. It copies those packages into a folder,
trimmed and without Triton's tools for other GPUs and for profiling, lets them work there
beside the CPU, and shows what trimming to another architecture leads to.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimpack.cuda.arch import device_number
from slimpack.cuda.fatbin import CUBIN, HEADER, MAGIC, PTX
from slimpack.cuda.trim import gpu_code, trim_plan
from slimpack.elf.stripped import stripped
from slimpack.globs import matcher
from slimpack.slim.gpu import TOOLS_RULE, Devices
from slimpack.slim.ruleset import shipped_rules

PACKAGES = ("torch", "triton", "nvidia", "cupy", "cupy_backends", "cupyx")
_REPOSITORY = Path(__file__).resolve().parents[2]
_FOREIGN = {
    "elementwise": "import torch; print(torch.ones(4, device='cuda') + 1)",
    "matmul": "import torch; x = torch.ones(64, 64, device='cuda'); print(x @ x)",
}


@dataclass(frozen=True)
class Library:
    """One file, before and after; sizes in bytes. code: by architecture."""

    path: str
    before: int
    after: int
    dropped: int
    code: Mapping[str, int]


def trim(source: Path, target: Path, device: int) -> Library | None:
    """Write a library without code for other devices; None when there is nothing to drop."""
    size = source.stat().st_size
    with source.open("rb") as stream:
        code = gpu_code(stream, size)
        plan = trim_plan(stream, size, code, [device], ptx=False) if code else None
    if code is None or plan is None:
        return None
    target.unlink(missing_ok=True)
    with stripped(source.open("rb"), plan) as stream, target.open("wb") as out:
        shutil.copyfileobj(stream, out, 4 << 20)
    shutil.copymode(source, target)
    sums: Counter[str] = Counter()
    for entry in code.entries:
        name = entry.arch.name if entry.arch else "other"
        sums[f"{name} PTX" if entry.kind == PTX else name] += entry.size
    return Library(source.name, size, plan.new_size, plan.dropped, dict(sorted(sums.items())))


def packages() -> list[Path]:
    """Return the folders of the packages that are there."""
    found: list[Path] = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found += map(Path, spec.submodule_search_locations or () if spec else ())
    return found


def left_out(device: int) -> Callable[[str], bool]:
    """Return what tells of a path in site-packages whether rules for images drop it."""
    rules = (*Devices((device,)).rules, *shipped_rules().rules)
    wanted = (TOOLS_RULE.name, "triton-profiler")
    gone = matcher(path for rule in rules if rule.name in wanted for path in rule.paths)
    return lambda path: gone(f"lib/python3/site-packages/{path}")


def copied(folders: Iterable[Path], target: Path, device: int) -> list[Library]:
    """Copy packages with trimmed libraries; other files are linked where that can be."""
    files: list[tuple[Path, Path]] = []
    gone = left_out(device)
    for folder in folders:
        for place, names, leaves in os.walk(folder):
            names[:] = [name for name in names if name not in ("__pycache__", "test")]
            new = target / folder.name / Path(place).relative_to(folder)
            new.mkdir(parents=True, exist_ok=True)
            files += (
                (Path(place) / leaf, new / leaf)
                for leaf in leaves
                if not gone(str((new / leaf).relative_to(target)))
            )

    def place_file(pair: tuple[Path, Path]) -> Library | None:
        source, copy = pair
        done = trim(source, copy, device) if ".so" in source.name else None
        if done is None:
            link(source, copy)
        return done

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [done for done in pool.map(place_file, files) if done]


def link(source: Path, target: Path) -> None:
    """Give a file another name, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def environment(folder: Path) -> tuple[Path, Path]:
    """Make a virtual environment that has all packages there are; its Python and their folder.

    Packages put into that folder come first, also for those who ask `site` for it.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    homes = dict.fromkeys(str(package.parent) for package in packages())
    (site / "others.pth").write_text("\n".join(homes) + "\n", encoding="utf-8")
    return folder / "bin/python", site


def python(
    program: Path | str, arguments: Iterable[str], folder: Path, seconds: int
) -> dict[str, Any]:
    """Run Python with packages of a folder first; its answer, or what it said."""
    libraries = [str(path) for path in sorted(folder.glob("nvidia/*/lib"))]
    changed = {
        "PYTHONPATH": os.pathsep.join([str(folder), str(_REPOSITORY)]),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
    }
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [program, *arguments],
            env={**os.environ, **changed},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"no answer within {seconds} s"}
    taken = {"seconds": round(time.perf_counter() - start, 1), "rc": done.returncode}
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines and lines[-1].startswith("{"):
        return {**taken, **json.loads(lines[-1])}
    last = done.stderr.strip().splitlines()[-12:]
    return {**taken, "stdout": done.stdout[-300:], "stderr": "\n".join(last)[-1500:]}


def foreign(folder: Path, scratch: Path, device: int) -> dict[str, Any]:
    """Trim libraries of a copy for another device, and let it work: the error is the result."""
    torch = scratch / "torch"
    shutil.copytree(folder / "torch", torch, copy_function=os.link)
    if (folder / "nvidia").is_dir():
        shutil.copytree(folder / "nvidia", scratch / "nvidia", copy_function=os.link)
    originals = [one for one in packages() if one.name == "torch"]
    trimmed = trim(originals[0] / "lib/libtorch_cuda.so", torch / "lib/libtorch_cuda.so", device)
    answers = {
        name: python(sys.executable, ["-c", code], scratch, 60) for name, code in _FOREIGN.items()
    }
    return {"trimmed": bool(trimmed), **answers}


def driver(library: Path, device: int, other: int) -> dict[str, str]:
    """Ask the driver itself to load a container in several forms; its answers by name."""
    cuda = ctypes.CDLL("libcuda.so.1")
    context, gpu = ctypes.c_void_p(), ctypes.c_int()
    ready = [cuda.cuInit(0), cuda.cuDeviceGet(ctypes.byref(gpu), 0)]
    ready.append(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), gpu))
    ready.append(cuda.cuCtxSetCurrent(context))
    if any(ready):
        return {"start": str(ready)}
    forms = _forms(library, device, other)
    answers = {}
    for name, content in forms.items():
        data = ctypes.create_string_buffer(
            HEADER.pack(MAGIC, 1, HEADER.size, len(content)) + content,
            HEADER.size + len(content) + 64,
        )
        for function in ("cuModuleLoadData", "cuLibraryLoadData"):
            handle = ctypes.c_void_p()
            more = [None, None, 0, None, None, 0] if function == "cuLibraryLoadData" else []
            rc = getattr(cuda, function)(ctypes.byref(handle), data, *more)
            if not rc and more:
                module = ctypes.c_void_p()
                rc = cuda.cuLibraryGetModule(ctypes.byref(module), handle)
            text = ctypes.c_char_p()
            cuda.cuGetErrorName(rc, ctypes.byref(text))
            answers[f"{name}: {function}"] = f"{rc} {(text.value or b'').decode()}"
    return answers


def _forms(library: Path, device: int, other: int) -> dict[str, bytes]:
    """Return contents for a container: as shipped, trimmed, for others only, and strange ones."""
    size = library.stat().st_size
    with library.open("rb") as stream:
        code = gpu_code(stream, size)
        assert code is not None, f"{library} has no GPU code"
        parts = {}
        for container in code.containers:
            numbers = {
                one.arch.number for one in container.entries if one.arch and one.kind == CUBIN
            }
            if {device, other} <= numbers:
                for one in container.entries:
                    stream.seek(one.offset)
                    if one.arch and not one.arch.variant and one.kind == CUBIN:
                        parts[one.arch.number] = stream.read(one.size)
                break
    odd = bytearray(parts[other])
    struct.pack_into("<I", odd, 28, 20)
    return {
        "all": b"".join(parts.values()),
        "trimmed": parts[device],
        "only for another device": parts[other],
        "for a device that no driver knows": bytes(odd),
        "empty": b"",
    }


def main() -> None:
    """Do it all, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--other", default="sm_80")
    parser.add_argument("--out", type=Path, default=Path("fatbin_check.json"))
    parser.add_argument("--baseline", action="store_true", help="untrimmed packages too")
    parser.add_argument("--seconds", type=int, default=120, help="for each program that works")
    options = parser.parse_args()
    device, other = device_number(options.arch), device_number(options.other)
    result: dict[str, Any] = {"arch": options.arch}
    with tempfile.TemporaryDirectory(prefix="fatbin-") as text:
        scratch = Path(text)
        program, site = environment(scratch / "environment")
        start = time.perf_counter()
        libraries = copied(packages(), site, device)
        result["trim_seconds"] = round(time.perf_counter() - start, 1)
        result["libraries"] = [vars(one) for one in sorted(libraries, key=lambda one: -one.before)]
        result["bytes"] = {
            name: sum(getattr(one, name) for one in libraries)
            for name in ("before", "after", "dropped")
        }
        report(options.out, result)
        for which in ("torch", "cupy"):
            if (site / which).is_dir():
                work = ["-m", "benchmarks.gpu.work", which]
                result[which] = python(program, [*work, str(site)], site, options.seconds)
                if options.baseline:
                    home = next(one for one in packages() if one.name == which).parent
                    result[f"{which} untrimmed"] = python(
                        sys.executable, [*work, str(home)], home, options.seconds
                    )
                report(options.out, result)
        if (site / "torch").is_dir():
            library = (
                next(one for one in packages() if one.name == "torch") / "lib/libtorch_cuda.so"
            )
            for name, step in (
                ("foreign", lambda: foreign(site, scratch / "foreign", other)),
                ("driver", lambda: driver(library, device, other)),
            ):
                try:
                    result[name] = step()
                except (OSError, AssertionError, KeyError) as error:
                    result[name] = f"{type(error).__name__}: {error}"
    failed = [
        f"{which}: {task['task']}: {task['problem']}"
        for which in ("torch", "cupy")
        for task in result.get(which, {}).get("tasks", ())
        if task["problem"]
    ]
    result["failed"] = failed
    result["seconds"] = round(time.perf_counter() - start, 1)
    report(options.out, result)
    sys.stdout.write(json.dumps({**result, "libraries": len(libraries)}, indent=1) + "\n")


def report(path: Path, result: Mapping[str, Any]) -> None:
    """Write what is known so far."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
