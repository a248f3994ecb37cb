"""The files that runtimes read, read by shells: what comes out is what the image says."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError
from slimpack.hpc.scripts import ENV_SCRIPT, RUNSCRIPT, env_script, lost, run_script, runtime_files
from slimpack.oci.config import ImageConfig
from slimpack.oci.rootfs import merged_view
from slimpack.tree import Kind
from tests.hpc.images import CONFIG, HARD, bare_image, shell_image
from tests.oci.test_oci_rootfs import image_of, link, tar_layer

WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1)


def sh(script: str, *arguments: str) -> str:
    # Without -- an argument such as -0 would be an option of this sh, which no script sees.
    done = subprocess.run(
        ["sh", "-s", "--", *arguments], input=script.encode(), capture_output=True, check=True
    )
    return done.stdout.decode()


@settings(max_examples=25)
@given(WORDS)
def test_values_come_through_any_shell(value: str) -> None:
    script = env_script(ImageConfig(env=(("X", value),)))
    assert sh(f"{script}printf '%s.' \"$X\"") == f"{value}."


@settings(max_examples=25)
@given(st.lists(WORDS, min_size=1, max_size=3), st.lists(WORDS, max_size=2))
@example(["0"], ["-0"])
@example(["0"], ["-"])
@example(["-c"], [])
@example(["0"], ["--", "-s"])
def test_words_come_through_any_shell(cmd: list[str], given: list[str]) -> None:
    config = ImageConfig(entrypoint=("printf", "%s.", "fixed"), cmd=tuple(cmd))
    wanted = "".join(f"{word}." for word in ("fixed", *(given or cmd)))
    for view in ({}, {"bin/sh": next(iter(merged_view(image_of(tar_layer(("x", "")))).values()))}):
        assert sh(run_script(config, view), *given) == wanted


def test_what_cannot_be_said_is_told(tmp_path: Path) -> None:
    view = merged_view(shell_image(tmp_path))
    assert lost(CONFIG, view) == (
        "left out, as no shell can set them: A.B",
        "enroot does not get what has several lines: LINES",
    )
    bare = lost(CONFIG, merged_view(bare_image(tmp_path / "bare")))
    assert "enroot cannot start it" in bare[0]
    assert "needs --cwd /app/data" in bare[1]
    assert not lost(replace(CONFIG, env=()), view)


def test_files_have_their_modes_and_folders(tmp_path: Path) -> None:
    entries = {one.path: one for one in runtime_files(CONFIG, merged_view(shell_image(tmp_path)))}
    assert entries["tmp"].mode == 0o1777
    assert entries["app/data"].kind is Kind.DIRECTORY
    assert entries[RUNSCRIPT].mode == entries[ENV_SCRIPT].mode == 0o755
    assert (
        entries["etc/environment"].read().decode() == f"PATH=/bin\nHARD={HARD}\nTEST_BOTH=image\n"
    )
    assert entries["etc/fstab"].read().decode().split()[:2] == [
        "${ENROOT_ROOTFS}/scratch",
        "/scratch",
    ]


def test_a_folder_or_a_link_in_the_way_is_refused() -> None:
    with pytest.raises(ImageError, match="is a folder"):
        runtime_files(CONFIG, merged_view(image_of(tar_layer(("etc/rc/x", "")))))
    with pytest.raises(ImageError, match="is a symlink"):
        runtime_files(CONFIG, merged_view(image_of(tar_layer(("etc", link("usr/etc"))))))


@pytest.mark.parametrize(
    "odd",
    [
        ImageConfig(workdir="/a\0b"),
        ImageConfig(workdir="/a\ud800"),
        ImageConfig(env=(("X", "\udfff"),)),
        ImageConfig(cmd=("\0",)),
        ImageConfig(volumes=("/\0",)),
    ],
)
def test_what_no_program_can_be_told_is_refused(odd: ImageConfig) -> None:
    with pytest.raises(ImageError, match="no program can be told"):
        runtime_files(odd, {})


def test_a_working_directory_leads_nowhere_else() -> None:
    for workdir in ("/../../x", "/a/../../../x", "//", "/./.", "a/./b//"):
        for entry in runtime_files(ImageConfig(workdir=workdir), {}):
            assert ".." not in entry.path.split("/")


def test_without_a_command_it_says_so() -> None:
    script = run_script(ImageConfig(), {})
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (127, b"")
    assert b"names no command" in done.stderr
    assert sh(script, "echo", "mine") == "mine\n"


def test_a_python_goes_to_the_folder_where_no_shell_can(tmp_path: Path) -> None:
    python = shutil.which("python3") or ""
    config = replace(
        CONFIG, env=(("PATH", str(Path(python).parent)),), entrypoint=("pwd",), cmd=(),
        workdir=str(tmp_path),
    )  # fmt: skip
    some = next(iter(merged_view(image_of(tar_layer(("x", "")))).values()))
    script = run_script(config, {python.strip("/"): some})
    assert "cd " not in script
    assert sh(script) == f"{tmp_path}\n"
    assert shlex.split(script.splitlines()[-1]) == ["eval", "set ${SINGULARITY_OCI_RUN}"]
