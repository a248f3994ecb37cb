"""Whole builds through the command line, from the local channel."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import pytest

from slimpack.oci.image import Image
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view, read_files
from slimpack.oci.validate import validate
from tests.support.channel import Run, missing
from tests.support.command import start, variables

pytestmark = pytest.mark.channel

SPEC = """
dependencies:
  - python =3.11
  - uvicorn
  - prefix-probe
  - prefix-text
  - activation-probe
variables:
  FROM_SPEC: "yes"
"""
# What is not about verification or compression leaves out most of the work.
QUICK = ("--no-verify", "--compression", "none")
CONFIG = """
[env]
spec = "environment.yml"
[image]
name = "t"
tags = ["1"]
entrypoint = ["python", "/app/main.py"]
[app]
prepare = ["python", "make.py"]
[[app.copy]]
from = "app"
to = "/app"
ignore = ["make.py"]
"""


def project(folder: Path, channel: str) -> Path:
    (folder / "app").mkdir(parents=True)
    (folder / "environment.yml").write_text(f"channels: ['{channel}']\n{SPEC}")
    (folder / "slimpack.toml").write_text(CONFIG)
    (folder / "app/main.py").write_text("import made\nprint(made.VALUE)\n")
    (folder / "app/make.py").write_text("open('made.py', 'w').write('VALUE = 42')\n")
    return folder


@pytest.fixture(scope="module")
def built(
    channel: str, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, object]]:
    """The project's archive and the JSON that its build printed."""
    folder = project(tmp_path_factory.mktemp("built") / "project", channel)
    done = build_in(folder, cache_dir, "--json")
    assert done.returncode == 0, done.stderr
    return folder / "out.tar", json.loads(done.stdout)


@pytest.fixture(scope="module")
def quick(channel: str, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a quick build of the project prints: its digest."""
    folder = project(tmp_path_factory.mktemp("quick") / "project", channel)
    done = build_in(folder, cache_dir, *QUICK, "-q")
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(cache: Path, **more: str) -> dict[str, str]:
    return {**os.environ, **variables(cache, more)}


def build_in(
    folder: Path, cache: Path, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return start(("build", "-o", "out.tar", *arguments), folder, variables(cache, env))


def image_of(path: Path) -> Image:
    image = read_image(path)
    validate(image, blobs=True)
    return image


def test_same_bytes_anywhere(
    built: tuple[Path, dict[str, object]], channel: str, tmp_path: Path
) -> None:
    """Another folder, cache, home, umask, time zone and locale; the channel copied elsewhere."""
    copied = tmp_path / "another place ü" / "channel"
    shutil.copytree(Path(channel.removeprefix("file://")), copied)
    folder = project(tmp_path / "deep" / "down" / "project", copied.as_uri())
    before = os.umask(0o077)
    try:
        done = build_in(
            folder,
            tmp_path / ("a-long-cache-name-" * 8),
            "--no-verify",
            HOME=str(tmp_path),
            TZ="Asia/Tokyo",
            LC_ALL="C",
            PYTHONHASHSEED="77",
        )
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert (folder / "out.tar").read_bytes() == built[0].read_bytes()


def test_source_date_epoch_is_the_only_date(
    built: tuple[Path, dict[str, object]], cache_dir: Path
) -> None:
    folder = built[0].parent
    config = json.loads(image_of(built[0]).config_json)
    assert config["created"] == "1980-01-01T00:00:00Z"
    shutil.copy(built[0], folder / "first.tar")
    assert build_in(folder, cache_dir, *QUICK, SOURCE_DATE_EPOCH="86400").returncode == 0
    later = json.loads(image_of(built[0]).config_json)
    shutil.move(folder / "first.tar", built[0])
    assert later["created"] == "1970-01-02T00:00:00Z"


def test_result_as_json(built: tuple[Path, dict[str, object]]) -> None:
    path, result = built
    image = image_of(path)
    assert result["digest"] == image.digest
    assert result["image_id"] == image.config_digest
    assert result["references"] == ["t:1"]
    assert result["size"] == image.size
    layers = result["layers"]
    assert isinstance(layers, list)
    assert [layer["digest"] for layer in layers] == [layer.digest for layer in image.layers]
    assert sum(layer["files"] for layer in layers) == result["files"]
    stages = result["stages"]
    assert isinstance(stages, list)
    assert [name for name, _ in stages] == [
        *("input", "base", "solve", "recall", "install", "relocate"),
        *("application", "slim", "bytecode", "shrink", "layers", "verify", "output", "cache"),
    ]
    assert result["source"] == "environment.yml (environment.yml)"
    assert result["engine"] in ("rattler", "micromamba")
    assert result["pypi"] == 0


def test_configuration_of_the_image(built: tuple[Path, dict[str, object]]) -> None:
    run = json.loads(image_of(built[0]).config_json)["config"]
    env = dict(item.split("=", 1) for item in run["Env"])
    assert run["User"] == "65532"
    assert run["Entrypoint"] == ["python", "/app/main.py"]
    assert env["PATH"].startswith("/opt/env/bin:")
    assert env["FROM_SPEC"] == "yes"
    assert env["CONDA_PREFIX"] == "/opt/env"
    assert not [value for value in env.values() if "tmp" in value]
    assert "libc6=" in run["Labels"]["slimpack.base"]


def test_the_application_is_the_last_layer(built: tuple[Path, dict[str, object]]) -> None:
    image = image_of(built[0])
    view = merged_view(image)
    last = len(image.layers) - 1
    top = {path for path, placed in view.items()
           if placed.layer == last and placed.member.kind == "file"}  # fmt: skip
    assert {"app/main.py", "app/made.py", "app/__pycache__/made.cpython-311.pyc"} <= top
    assert not [path for path in top if path.startswith("opt/")]
    assert "app/make.py" not in view
    assert image.layers[-1].name == "application"


def test_no_shell_no_setuid_and_no_foreign_owner(built: tuple[Path, dict[str, object]]) -> None:
    view = merged_view(image_of(built[0]))
    shells = {"sh", "bash", "dash", "busybox"}
    assert not [path for path in view if path.rpartition("/")[2] in shells and "bin/" in path]
    for path, placed in view.items():
        assert not placed.member.mode & 0o6000, path
        if not path.startswith("home/nonroot"):
            assert (placed.member.uid, placed.member.gid) == (0, 0), path


def test_no_build_path_anywhere(
    built: tuple[Path, dict[str, object]], cache_dir: Path, channel: str
) -> None:
    files = read_files(image_of(built[0]), lambda path: True, limit=1 << 30)
    places = [str(cache_dir), str(built[0].parent), channel.removeprefix("file://"), "_placehold_"]
    for path, data in files.items():
        for place in places:
            assert place.encode() not in data, f"{place} in {path}"


def test_every_source_has_valid_bytecode_that_names_the_image(
    built: tuple[Path, dict[str, object]],
) -> None:
    files = read_files(image_of(built[0]), lambda path: path.endswith((".py", ".pyc")))
    sources = [path for path in files if path.endswith(".py") and "/bin/" not in path]
    result = built[1]["bytecode"]
    assert isinstance(result, dict)
    failed = {path for path, _ in result["failed"]}
    assert len(sources) > 600
    for path in sources:
        folder, _, name = path.rpartition("/")
        data = files.pop(f"{folder}/__pycache__/{name[:-3]}.cpython-311.pyc", None)
        if data is None:
            assert f"/{path}" in failed
            continue
        assert struct.unpack("<I", data[4:8]) == (1,), path
        assert data[8:16] == importlib.util.source_hash(files[path]), path
        if sys.version_info[:2] == (3, 11):
            code = marshal.loads(data[16:])
            assert isinstance(code, CodeType)
            assert code.co_filename == f"/{path}"
    assert not [path for path in files if "__pycache__" in path]


def test_records_tell_of_the_files_that_are_there(built: tuple[Path, dict[str, object]]) -> None:
    files = read_files(image_of(built[0]), lambda path: path.startswith("opt/env/"))
    view = merged_view(image_of(built[0]))
    records = [path for path in files if path.startswith("opt/env/conda-meta/")]
    checked = 0
    for path in records:
        if not path.endswith(".json"):
            continue
        record = json.loads(files[path])
        assert all(f"opt/env/{name}" in view for name in record["files"])
        for item in record["paths_data"]["paths"]:
            data = files.get(f"opt/env/{item['_path']}")
            if data is None:  # a link
                continue
            digest = item.get("sha256_in_prefix") or item["sha256"]
            assert hashlib.sha256(data).hexdigest() == digest, item["_path"]
            checked += 1
    assert checked > 1000


@pytest.fixture
def root(built: tuple[Path, dict[str, object]], tmp_path: Path) -> Iterator[Path]:
    """The image's file system in a folder, to be entered with chroot."""
    if os.geteuid() != 0:
        missing("ENGINE", "chroot needs root")
    target = tmp_path / "root"
    target.mkdir()
    for layer in image_of(built[0]).layers:
        with layer.open_tar() as tar:
            unpack = ["tar", "-x", "-C", str(target), "--numeric-owner"]
            subprocess.run(unpack, input=tar.read(), check=True)
    # Without it the loader cannot tell where a program lies ($ORIGIN in its rpath).
    subprocess.run(["mount", "-t", "proc", "proc", str(target / "proc")], check=True)
    yield target
    subprocess.run(["umount", str(target / "proc")], check=True)
    shutil.rmtree(target)


def in_image(root: Path, *command: str) -> str:
    chroot = shutil.which("chroot") or "/usr/sbin/chroot"
    done = subprocess.run(
        [chroot, "--userspec=65532:65532", str(root), *command],
        env={"PATH": "/opt/env/bin", "CONDA_PREFIX": "/opt/env"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_programs_run_in_the_image(root: Path) -> None:
    assert in_image(root, "python", "/app/main.py") == "42\n"
    assert "/opt/env" in in_image(root, "prefix-probe")
    assert "uvicorn" in in_image(root, "uvicorn", "--version")
    # glibc opens libgcc_s for this by itself; the base has none, the environment must.
    ends_a_thread = (
        "import ctypes, threading\n"
        "libc = ctypes.CDLL(None)\n"
        "thread = threading.Thread(target=lambda: libc.pthread_exit(None), daemon=True)\n"
        "thread.start(); thread.join(1); print('alive')\n"
    )
    assert in_image(root, "python", "-c", ends_a_thread) == "alive\n"


@pytest.mark.parametrize("name", ["pixi.lock", "explicit.txt"])
def test_building_from_the_lock_gives_the_same_environment(
    built: tuple[Path, dict[str, object]], cache_dir: Path, channel: str, tmp_path: Path, name: str
) -> None:
    folder = project(tmp_path / "p", channel)
    assert build_in(folder, cache_dir, "--no-verify", "--lock", name).returncode == 0
    assert (folder / "out.tar").read_bytes() == built[0].read_bytes()
    done = build_in(folder, cache_dir, name, *QUICK)
    assert done.returncode == 0, done.stderr
    ours, theirs = image_of(folder / "out.tar"), image_of(built[0])
    assert [layer.diff_id for layer in ours.layers] == [layer.diff_id for layer in theirs.layers]


def test_two_builds_at_once_share_an_empty_cache(quick: str, channel: str, tmp_path: Path) -> None:
    folders = [project(tmp_path / name, channel) for name in ("one", "two")]
    command = [sys.executable, "-m", "slimpack", "build", "-o", "out.tar", "-q", *QUICK]
    running = [
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment(tmp_path / "cache"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    for process in running:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert output == quick
    assert not list((tmp_path / "cache/tmp").iterdir())


@pytest.mark.parametrize("task", ["install", "bytecode", "layers"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing(
    quick: str,
    cache_dir: Path,
    channel: str,
    tmp_path: Path,
    task: str,
    end: signal.Signals,
) -> None:
    folder = project(tmp_path / "p", channel)
    cache = tmp_path / "cache"
    shutil.copytree(cache_dir / "debian", cache / "debian")
    process = subprocess.Popen(
        [sys.executable, "-m", "slimpack", "build", "-o", "out.tar", "--json", *QUICK],
        cwd=folder,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        message = json.loads(line)
        if message.get("task") == task and message.get("event") == "begin":
            break
    os.killpg(process.pid, end)
    _, errors = process.communicate(timeout=60)
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
    assert process.returncode == codes[end], errors
    assert "Traceback" not in errors
    assert not (folder / "out.tar").exists()
    assert sorted(path.name for path in folder.iterdir()) == [
        "app", "environment.yml", "slimpack.toml",
    ]  # fmt: skip
    if end is not signal.SIGKILL:
        assert not list((cache / "tmp").iterdir())
    # The cache it leaves serves the next build, which also sweeps what a kill left.
    done = build_in(folder, cache, "-q", *QUICK)
    assert done.stdout == quick, done.stderr
    assert not list((cache / "tmp").iterdir())


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Give a small file system at `folder`."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        missing("ENGINE", "mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_where_the_output_goes(channel: str, cache_dir: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", channel)
    with disk(tmp_path / "small", 12) as small:
        for output in (small / "image.tar", f"{small}/layout/"):
            done = build_in(folder, cache_dir, *QUICK, "-o", str(output))
            assert done.returncode == 1, done.stderr
            assert "No space left on device" in done.stderr
            assert "Traceback" not in done.stderr
            assert not list(small.iterdir())


@pytest.mark.parametrize(("megabytes", "code"), [(8, 6), (90, 4), (165, 1)])
def test_full_disk_where_the_cache_is(
    channel: str, cache_dir: Path, tmp_path: Path, megabytes: int, code: int
) -> None:
    """While the base is fetched, while packages are installed, and while layers are written."""
    folder = project(tmp_path / "p", channel)
    with disk(tmp_path / "small", megabytes) as small:
        if code != 6:
            shutil.copytree(cache_dir / "debian", small / "debian")
        done = build_in(folder, small, *QUICK)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert "error: " in done.stderr
        assert not list(small.glob("tmp/*"))
    assert not (folder / "out.tar").exists()


def test_a_corrupt_package_is_named(channel: str, tmp_path: Path, cache_dir: Path) -> None:
    copied = tmp_path / "channel"
    shutil.copytree(Path(channel.removeprefix("file://")), copied)
    package = next(copied.glob("linux-64/prefix-text-*.conda"))
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 0xFF
    package.write_bytes(data)
    folder = project(tmp_path / "p", copied.as_uri())
    shutil.copytree(cache_dir / "debian", tmp_path / "cache/debian")
    done = build_in(folder, tmp_path / "cache")
    assert done.returncode == 4, done.stderr
    assert "prefix-text" in done.stderr
    assert not (folder / "out.tar").exists()


def test_an_image_on_disk_as_base(
    built: tuple[Path, dict[str, object]], run: Run, channel: str, tmp_path: Path
) -> None:
    (tmp_path / "e.yml").write_text(f"channels: ['{channel}']\ndependencies: [prefix-probe]\n")
    base = ["--base", built[0], "--prefix", "/opt/second", "-t", "second:1"]
    run("build", "e.yml", *base, "-o", "layout/", cwd=tmp_path)
    below, image = image_of(built[0]), image_of(tmp_path / "layout")
    assert image.layers[: len(below.layers)] == below.layers
    view = merged_view(image)
    assert "opt/second/bin/prefix-probe" in view
    assert view["tmp"].member.mode == 0o1777
    shown = json.loads(run("inspect", "layout", "--json", cwd=tmp_path).stdout)
    assert {"uvicorn", "libc6", "prefix-probe"} <= {item["name"] for item in shown["packages"]}


def test_unsolvable_for_the_base_s_glibc(run: Run, channel: str, mini, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    mini.add("future", {"share/f": "1"}, depends=["__glibc >=2.99"])
    (tmp_path / "e.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [future]\n")
    done = run("build", "e.yml", "-o", "x.tar", cwd=tmp_path, code=3)
    assert "__glibc >=2.99" in done.stderr


def test_inspect_shows_layers_packages_and_config(
    built: tuple[Path, dict[str, object]], run: Run
) -> None:
    text = run("inspect", built[0], cwd=built[0].parent).stdout
    for expected in (str(built[1]["digest"]), "python-3.11", "uvicorn", "libc6", "65532"):
        assert expected in text
