"""Programs for another processor: run by an emulator that is shown in the sandbox.

They are made here, instruction by instruction: no compiler for that processor is needed.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.errors import DaemonError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.platforms import here as this_machine
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Bind, Command, Finished, Options, Sandbox, choose_sandbox
from slimpack.sandbox.emulated import Emulated, find_emulator
from slimpack.sandbox.model import PLAIN
from slimpack.sandbox.probe import program_of
from slimpack.tree import bytes_entry, directory_entry, symlink_entry
from tests.sandbox.conftest import NAMES, OWN, Here
from tests.support.channel import missing

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(this_machine() != "linux/amd64", reason="what is foreign here is written"),
]
ARM64 = "linux/arm64"
_AARCH64 = 183  # e_machine
_EXIT = (0xD2800BA8, 0xD4000001)  # mov x8, 93; svc 0


def program(*instructions: int) -> bytes:
    return program_of(_AARCH64, b"".join(struct.pack("<I", one) for one in instructions))


# ldr x0, [sp]: exits with the number of its arguments, its name among them.
COUNT = program(0xF94003E0, *_EXIT)
# Writes argv[0]: ldr x1, [sp, 8]; strlen into x2; write(1, x1, x2); exit(0).
NAME = program(
    *(0xF94007E1, 0xD2800002, 0x38626823, 0x34000063, 0x91000442, 0x17FFFFFD),
    *(0xD2800020, 0xD2800808, 0xD4000001, 0xD2800000, *_EXIT),
)
# b .: never ends.
FOREVER = program(0x14000000)


@pytest.fixture(scope="module")
def foreign() -> Iterator[Here]:
    """A root file system for another processor, in a folder that every user can reach."""
    entries = [
        directory_entry("tmp", mode=0o1777),
        bytes_entry("bin/count", COUNT, mode=0o755),
        bytes_entry("bin/name", NAME, mode=0o755),
        bytes_entry("bin/forever", FOREVER, mode=0o755),
        symlink_entry("bin/alias", "name"),
        symlink_entry("bin/circle", "circle"),
        bytes_entry("bin/data", b"not a program", mode=0o755),
        bytes_entry("bin/closed", COUNT, mode=0o644),
        bytes_entry("opt/script", b"#!/bin/count -one argument\nrest", mode=0o755),
        bytes_entry("opt/nested", b"#! /opt/script\n", mode=0o755),
        bytes_entry("opt/own", b"#!/opt/own\n", mode=0o755),
        bytes_entry("opt/lost", b"#!/bin/none\n", mode=0o755),
    ]
    with tempfile.TemporaryDirectory(prefix=OWN) as name:
        folder = Path(name)
        folder.chmod(0o755)
        layer = build_layer(
            "all",
            entries,
            blobs=BlobStore(folder / "blobs", durable=False),
            mtime=0,
            compression=Compression("none", 0, 1),
        )
        image = make_image([layer], ImageConfig(architecture="arm64"))
        unpack_image(image, folder / "root")
        yield Here(folder / "root", image)


@pytest.fixture(scope="module", params=NAMES)
def emulating(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox, as far as it runs programs of another processor."""
    try:
        return choose_sandbox(request.param, ARM64)
    except DaemonError as error:
        missing("SANDBOX", str(error))
        raise


def run(
    sandbox: Sandbox, foreign: Here, *argv: str, options: Options = PLAIN, **more: object
) -> Finished:
    command = Command(argv, **{"user": "65532:65532", **more})  # type: ignore[arg-type]
    with sandbox.prepare(foreign.root, foreign.image) as ready:
        return ready.run(command, options)


def test_a_program_of_another_processor_runs(emulating: Sandbox, foreign: Here) -> None:
    assert run(emulating, foreign, "count", "a", "b c").returncode == 3
    assert run(emulating, foreign, "/bin/count").returncode == 1


def test_it_is_told_its_own_name(emulating: Sandbox, foreign: Here) -> None:
    # Python finds its home by it.
    done = run(emulating, foreign, "alias", env=(("PATH", "/none:/bin"),))
    assert (done.returncode, done.stdout) == (0, b"/bin/alias")


@pytest.fixture
def explicit(foreign: Here) -> Sandbox:
    """The emulator that is named on the command line, whatever the kernel knows."""
    program, inner = find_emulator(ARM64), choose_sandbox("unshare")
    if program is None:
        missing("SANDBOX", "there is no qemu-aarch64-static on PATH")
        raise AssertionError
    return Emulated(inner, program)


def test_first_lines_lead_to_programs_as_the_kernel_follows_them(
    explicit: Sandbox, foreign: Here
) -> None:
    # /bin/count "-one argument" /opt/script x: one argument, blanks and all
    assert run(explicit, foreign, "/opt/script", "x").returncode == 4
    assert run(explicit, foreign, "/opt/nested").returncode == 4
    assert run(explicit, foreign, "./script", workdir="/opt").returncode == 3


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("none", 127, "No such file"),
        ("/bin/none", 127, "No such file"),
        ("/bin/count/x", 127, "Not a directory"),
        ("/opt/lost", 127, "No such file"),
        ("/bin/closed", 126, "Permission denied"),
        ("closed", 127, "No such file"),
        ("/opt", 126, "Permission denied"),
        ("/bin/circle", 126, "leads in a circle"),
        ("/opt/own", 126, "Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_started_is_told_as_without_emulation(
    explicit: Sandbox, foreign: Here, name: str, code: int, why: str
) -> None:
    done = run(explicit, foreign, name)
    assert done.returncode == code
    assert f"cannot run {name}: " in done.stderr.decode()
    assert why in done.stderr.decode()


def test_programs_that_are_bound_are_found(
    explicit: Sandbox, foreign: Here, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/more").write_bytes(COUNT)
    (tmp_path / "bin/more").chmod(0o755)
    (tmp_path / "bin/link").symlink_to("more")
    options = Options((Bind(tmp_path, "/data"),))
    more = {"user": "", "env": (("PATH", "/bin:/data/bin"),)}
    assert run(explicit, foreign, "link", "x", options=options, **more).returncode == 2
    assert run(explicit, foreign, "/data/bin/more", options=options, **more).returncode == 1
    assert run(explicit, foreign, "/data/bin/less", options=options, **more).returncode == 127
    # Where a build may have its cache.
    below = Options((Bind(tmp_path, str(tmp_path)),))
    assert run(explicit, foreign, f"{tmp_path}/bin/link", options=below, **more).returncode == 1


def test_time_counts_more_slowly(foreign: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimpack.sandbox.emulated.SLOWER", 2.0)
    program = find_emulator(ARM64)
    if program is None:
        missing("SANDBOX", "there is no qemu-aarch64-static on PATH")
        raise AssertionError
    done = run(Emulated(choose_sandbox("unshare"), program), foreign, "forever", timeout=1.0)
    assert done.timed_out
    assert done.seconds > 1.9


def test_an_emulator_that_needs_libraries_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = shutil.which("cat")
    assert cat
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("qemu-aarch64", "qemu-aarch64-static"):
        shutil.copy(cat, tmp_path / name)
    assert find_emulator(ARM64) is None
    assert find_emulator("linux/riscv64") is None
    (tmp_path / "qemu-aarch64").write_bytes(program_of(62, bytes(4)))
    assert find_emulator(ARM64) == tmp_path / "qemu-aarch64"


def test_without_an_emulator_the_package_that_has_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("unshare", "setpriv"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    if Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        pytest.skip("the kernel knows an emulator")
    with pytest.raises(
        DaemonError, match="no sandbox on this machine runs programs of linux/arm64"
    ) as caught:
        choose_sandbox("auto", ARM64)
    assert "qemu-user-static" in caught.value.hint
    assert "unshare: a program that returns 42 returned 126" in caught.value.details
