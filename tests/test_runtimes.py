"""Runtime files: those that ship, and those that users get wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.debian import ResolvedPackage
from slimpack.errors import InputError
from slimpack.runtimes import Runtime, list_runtimes, load_runtime, pin_runtime

GOOD = """\
description = "mine"
[debian]
suites = ["bookworm"]
packages = ["libc6", "tzdata"]
"""
PACKAGES = tuple(
    ResolvedPackage(name, "1:2.36-9~x", "amd64", "ab" * 32, f"pool/{name}.deb", 7, "security")
    for name in ("libc6", "tzdata")
)


def load(tmp_path: Path, text: str) -> Runtime:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_runtime(path)


def test_the_runtimes_that_ship() -> None:
    runtimes = {runtime.name: runtime for runtime in list_runtimes()}
    names = ["cuda", "cuda-base", "cuda-runtime", "distroless", "distroless-trixie"]
    assert list(runtimes) == names
    for runtime in runtimes.values():
        assert runtime.description
        assert (runtime.prefix, runtime.user) == ("/opt/env", "65532")
        assert runtime.gpu == runtime.name.startswith("cuda")
        if runtime.debian is None:
            assert runtime.image.startswith("nvidia/cuda:12.8.1-")
        else:
            assert runtime.provides["glibc"] == "debian:libc6"
            assert "libc6" in runtime.debian.packages
    assert load_runtime("distroless") == runtimes["distroless"]


def test_the_runtime_for_gpus_is_distroless_and_a_little_more() -> None:
    below, cuda = load_runtime("distroless"), load_runtime("cuda")
    assert below.debian is not None
    assert cuda.debian == replace(
        below.debian,
        only={"libc-bin": (*below.debian.only["libc-bin"], "etc/ld.so.conf")},
    )
    assert cuda.env.items() >= below.env.items()
    assert cuda.env["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert cuda.env["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert set(cuda.files) == {"/etc/ld.so.cache", "/etc/ld.so.conf.d/00-nvidia.conf"}


EXTENDED = """\
extends = "base.toml"
description = "more"
[env]
B = "2"
[debian]
packages = ["libc6"]
[debian.only]
libc6 = ["lib"]
"""


def test_a_runtime_that_extends_another(tmp_path: Path) -> None:
    base = 'user = "7"\n' + GOOD.replace("[debian]", "[env]\nA = '1'\nB = '1'\n[debian]")
    (tmp_path / "base.toml").write_text(base)
    runtime = load(tmp_path, EXTENDED)
    assert (runtime.name, runtime.description, runtime.user) == ("mine", "more", "7")
    assert runtime.env == {"A": "1", "B": "2"}
    assert runtime.debian is not None
    assert (runtime.debian.suites, runtime.debian.packages) == (("bookworm",), ("libc6",))
    assert runtime.debian.only == {"libc6": ("lib",)}


def test_a_shipped_runtime_is_extended_by_its_name(tmp_path: Path) -> None:
    runtime = load(tmp_path, 'extends = "cuda-base"\nimage = "nvidia/cuda:13.0.1-base-x"')
    assert (runtime.image, runtime.gpu) == ("nvidia/cuda:13.0.1-base-x", True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "mine.toml"', "which extends it in turn"),
        ('extends = "nothing"', "no runtime is named 'nothing'"),
        ('extends = "gone.toml"', "gone.toml does not exist"),
        ("extends = 1", "extends must be a string"),
        ('extends = "distroless"\nimage = "x"', "either a [debian] table or the key image"),
        ('image = "x"\n[files]\n"/a" = "b"', "files cannot be added to an image"),
        (f'{GOOD}[files]\n"a" = "b"', "files must be an absolute path"),
        (f'{GOOD}[files]\n"/a" = 1', "files must be a table of strings"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert message in caught.value.message


def test_defaults(tmp_path: Path) -> None:
    runtime = load(tmp_path, GOOD)
    assert (runtime.name, runtime.prefix, runtime.user) == ("mine", "/opt/env", "65532")
    assert (runtime.env, runtime.labels, runtime.image, runtime.workdir) == ({}, {}, "", "")
    assert runtime.debian is not None
    assert (runtime.debian.components, runtime.debian.exclude) == (("main",), ())


def test_a_runtime_may_be_an_image(tmp_path: Path) -> None:
    runtime = load(tmp_path, 'image = "example.org/base@sha256:00"')
    assert (runtime.image, runtime.debian) == ("example.org/base@sha256:00", None)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("distroles", "did you mean 'distroless'?"),
        ("zzz", "there are cuda, cuda-base, cuda-runtime, distroless, distroless-trixie"),
    ],
)
def test_an_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(InputError, match="no runtime is named") as caught:
        load_runtime(name)
    assert hint in caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "old.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"folder\.toml: Is a directory"):
        load_runtime(str(tmp_path / "folder.toml"))
    with pytest.raises(InputError, match=r"old\.toml: not UTF-8 text"):
        load_runtime(str(tmp_path / "old.toml"))


def test_a_missing_file() -> None:
    with pytest.raises(InputError, match=r"nowhere/x\.toml does not exist"):
        load_runtime("nowhere/x.toml")


PIN = """
[debian.pins."linux/amd64".{name}]
version = "{version}"
architecture = "amd64"
sha256 = "{sha256}"
filename = "{filename}"
size = {size}
"""


def pin(name: str, **changes: object) -> str:
    fields: dict[str, object] = {
        "version": "1",
        "sha256": "ab" * 32,
        "filename": "pool/a.deb",
        "size": 1,
    }
    return PIN.format(name=name, **{**fields, **changes})


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("= 1", "mine.toml: not valid TOML", ""),
        ("", "either a [debian] table or the key image", ""),
        (f'image = "x"\n{GOOD}', "either a [debian] table or the key image", ""),
        (f"descripton = 1\n{GOOD}", "unknown key descripton", "did you mean 'description'?"),
        (f"{GOOD}suite = []", "unknown key debian.suite", "did you mean 'suites'?"),
        (f"zzz = 1\n{GOOD}", "unknown key zzz", "known keys are description,"),
        (f"user = 65532\n{GOOD}", "user must be a string", ""),
        (f'prefix = "opt"\n{GOOD}', "prefix must be an absolute path", ""),
        (f'prefix = "/"\n{GOOD}', "prefix must be an absolute path", ""),
        (f'workdir = "/a/../b"\n{GOOD}', "workdir must be an absolute path", ""),
        (f"env = 1\n{GOOD}", "env must be a table of strings", ""),
        (f"env.A = 1\n{GOOD}", "env must be a table of strings", ""),
        ("debian = 1", "debian must be a table", ""),
        ('[debian]\npackages = ["a"]', "debian.suites is missing", ""),
        ('[debian]\nsuites = ["a"]', "debian.packages is missing", ""),
        (GOOD.replace('["bookworm"]', '"bookworm"'), "debian.suites must be a list of", ""),
        (GOOD.replace('["bookworm"]', "[]"), "debian.suites must be a list of", ""),
        (GOOD.replace('["bookworm"]', "[1]"), "debian.suites must be a list of", ""),
        (GOOD.replace('"tzdata"', '"libc6"'), "debian.packages must be a list without", ""),
        (f'{GOOD}only.libc = ["x"]', "debian.only.libc is not among", "did you mean 'libc6'?"),
        (f"{GOOD}only.libc6 = 1", "debian.only.libc6 must be a list", ""),
        (f"{GOOD}only = 1", "debian.only must be a table", ""),
        (f'{GOOD}[debian.pins."linux/x"]', "debian.pins.linux/x is no platform", "linux/amd64"),
        (GOOD + pin("libc6"), "must pin exactly debian.packages; see tzdata", "--pinned"),
        (
            GOOD + pin("libc6", sha256="ab") + pin("tzdata"),
            "debian.pins.linux/amd64.libc6: libc6: not a SHA-256",
            "",
        ),
        (GOOD + pin("libc6", version="~") + pin("tzdata"), "not a Debian version", ""),
        (GOOD + pin("libc6", size=0) + pin("tzdata"), "a size of 0", ""),
        (GOOD + pin("libc6", size='"1"') + pin("tzdata"), "size must be an integer", ""),
        (GOOD + pin("libc6", filename="../a.deb") + pin("tzdata"), "not a path in the", ""),
        (GOOD + pin("libc6", filename="/a.deb") + pin("tzdata"), "not a path in the", ""),
        (GOOD + pin("libc6") + 'arch = "x"\n' + pin("tzdata"), "unknown key debian.pins", ""),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert message in caught.value.message
    assert str(tmp_path / "mine.toml") in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["cuda", "distroless", "distroless-trixie"])
def test_pinning_keeps_everything_else(tmp_path: Path, name: str) -> None:
    runtime = load_runtime(name)
    assert runtime.debian is not None
    pins = {
        platform: tuple(
            replace(PACKAGES[0], name=package, filename=f"pool/{package}.deb")
            for package in runtime.debian.packages
        )
        for platform in ("linux/amd64", "linux/arm64")
    }
    text = pin_runtime(runtime, pins)
    pinned = load(tmp_path, text)
    assert pinned == replace(runtime, name="mine", debian=replace(runtime.debian, pins=pins))
    assert pin_runtime(pinned, pins).splitlines()[1:] == text.splitlines()[1:]


def test_pinning_writes_odd_strings(tmp_path: Path) -> None:
    runtime = load(tmp_path, GOOD)
    odd = 'quote " backslash \\ newline \n tab \t delete \x7f bell \x07 ü 🙂'
    runtime = replace(runtime, description=odd, env={"a b": odd}, labels={"x.y": odd})
    pinned = load(tmp_path, pin_runtime(runtime, {"linux/amd64": PACKAGES}))
    assert (pinned.description, pinned.env, pinned.labels) == (odd, {"a b": odd}, {"x.y": odd})


def test_an_image_is_not_pinned_this_way() -> None:
    with pytest.raises(InputError, match="is an image"):
        pin_runtime(Runtime("x", "", image="y"), {})
