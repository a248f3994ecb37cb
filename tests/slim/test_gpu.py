"""The option gpu_arch over a tree: what is counted, what is told, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from slimpack.cli.slimming import slim_options
from slimpack.config import Config, SlimConfig
from slimpack.config_file import read_config
from slimpack.errors import InputError
from slimpack.slim.gpu import RULE, TOOLS_RULE, Devices, architectures, trimmed
from slimpack.slim.predicates import Files
from slimpack.slim.questions import Questions
from slimpack.slim.record import RECORD
from slimpack.slim.ruleset import Keep, Rule, Rules
from slimpack.slim.shrink import shrink
from slimpack.slim.slimming import Change, Scope
from slimpack.slimming import Slimming, begin, devices_of, rules_of
from slimpack.tree import Entry, Tree, bytes_entry
from tests.cuda.fatbins import container, entry, library, names, ptx
from tests.elf.builder import make_elf

PREFIX = "opt/env"
GPU = library(
    container(entry("80"), entry("90"), entry("100"), ptx("100")),
    container(entry("80", 256), entry("86")),
)
DROPPED = len(entry("80") + entry("100") + ptx("100") + entry("86"))
H100 = Devices((90,))


def tree(**files: bytes) -> Tree:
    names = {"libgpu": "lib/libgpu.so", "plain": "lib/libplain.so", "text": "share/notes.txt"}
    return Tree(
        bytes_entry(f"{PREFIX}/{names.get(name, name)}", data, owner=f"of-{name}")
        for name, data in files.items()
    )


def scope(folder: Path | None = None) -> Scope:
    def on_disk(entry: Entry) -> Path | None:
        if folder is None:
            return None
        path = folder / entry.path.replace("/", "_")
        path.write_bytes(entry.read())
        return path

    return Scope(PREFIX, {"of-libgpu": ()}, on_disk)


@pytest.mark.parametrize("on_disk", [True, False])
def test_code_for_other_devices_goes_and_is_counted(tmp_path: Path, on_disk: bool) -> None:
    before = tree(libgpu=GPU, plain=make_elf(), text=GPU)
    done = trimmed(before, Rules((RULE,)), scope(tmp_path if on_disk else None), H100)
    after = done.tree[f"{PREFIX}/lib/libgpu.so"].read()
    assert names(after) == [["90"], ["80"]]
    assert done.tree[f"{PREFIX}/share/notes.txt"].read() == GPU
    (change,) = done.changes
    assert (change.path, change.owner, change.rule, change.removed) == (
        *("lib/libgpu.so", "of-libgpu", "gpu-arch", False),
    )
    assert change.bytes == DROPPED
    assert done.notes == ()
    assert done.views
    with done.views["lib/libgpu.so"]() as stream:
        assert stream.read() == after


def test_a_trimmed_file_is_stripped_too(tmp_path: Path) -> None:
    debug = make_elf(
        data=[(".nv_fatbin", container(entry("80"), entry("90")))],
        extra=[(".debug_info", 1, b"\1" * 9000)],
    )
    rules = Rules((RULE, Rule("debug", "r", action="strip-debug")))
    for where in (scope(), scope(tmp_path)):
        trim = trimmed(tree(libgpu=debug), rules, where, H100)
        small, changes = shrink(trim.tree, rules, where, trim.views)
        (found,) = small
        data = found.read()
        assert len(data) == found.size == len(debug) - sum(change.bytes for change in changes)
        assert b".debug_info" not in data
        assert names(data) == [["90"]]


def test_what_is_kept_is_kept() -> None:
    keep = Keep("keep", "r", ("lib/libgpu.so",))
    done = trimmed(tree(libgpu=GPU), Rules((RULE,), (keep,)), scope(), H100)
    assert not done.changes
    assert done.tree[f"{PREFIX}/lib/libgpu.so"].read() == GPU


def test_without_devices_or_rule_nothing_is_read() -> None:
    before = tree(libgpu=GPU)
    assert trimmed(before, Rules((RULE,)), scope(), None).tree is before
    assert trimmed(before, Rules(()), scope(), H100).tree is before


def test_a_device_that_nothing_has_code_for_is_told() -> None:
    done = trimmed(tree(libgpu=GPU), Rules((RULE,)), scope(), Devices((75, 90)))
    assert done.notes == ("gpu_arch: nothing in the environment has code that runs on sm_75",)


def test_a_library_whose_checksum_lies_beside_it_is_left_alone() -> None:
    sealed = tree(libgpu=GPU).merge([bytes_entry(f"{PREFIX}/lib/.libgpu.so.hmac", b"00")])
    assert not trimmed(sealed, Rules((RULE,)), scope(), H100).changes


def test_names_become_devices() -> None:
    files = tree(libgpu=GPU)
    config = SlimConfig(gpu_arch=("sm_90a", "sm_80", "sm_90"), gpu_ptx=True)
    assert devices_of(config, scope(), files) == Devices((80, 90), ptx=True)
    assert devices_of(SlimConfig(), scope(), files) is None
    assert architectures(files, scope()) == ("sm_80", "sm_86", "sm_90", "sm_100")


def test_a_wrong_name_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(InputError) as caught:
        devices_of(SlimConfig(gpu_arch=("h100",)), scope(), tree(libgpu=GPU))
    assert caught.value.message == (
        "[slim] gpu_arch: expected an architecture such as 'sm_90', got 'h100'"
    )
    assert caught.value.hint == ("the environment has GPU code for: sm_80, sm_86, sm_90, sm_100")
    with pytest.raises(InputError) as caught:
        devices_of(SlimConfig(gpu_arch=("sm_90b",)), scope(), tree(text=b""))
    assert caught.value.hint == "the environment has GPU code for: none"


def test_the_record_and_the_notes_tell_of_it() -> None:
    before = tree(libgpu=GPU)
    rules = rules_of(SlimConfig(gpu_arch=("sm_90",)), "safe")
    files = scope().files(before)
    nothing = Questions.of((), Files(files, lambda entry: None, scope().prefix))
    slimming = Slimming("safe", rules, scope(), files, (), (), nothing, {}, H100)
    after, done = slimming.finished(before)
    assert done.promises() == ("GPU code for sm_90 only; not verified on a GPU",)
    assert done.promised == (90,)
    assert not slimming.promises()
    assert not done.notes
    told = {item.rule: item.bytes for item in done.account.applied}
    assert told.pop("gpu-arch") == DROPPED
    kept = json.loads(after[f"{PREFIX}/{RECORD}"].read())
    assert {"gpu-arch": DROPPED, **told} == {
        item["rule"]: item["bytes"] for item in kept["applied"]
    }
    assert "gpu-arch" in [rule["name"] for rule in kept["rules"]]


def test_rules_follow_the_devices_that_are_named() -> None:
    def own(*names: str, ptx: bool = False) -> list[str]:
        rules = rules_of(SlimConfig(gpu_arch=names, gpu_ptx=ptx), "safe").rules
        return [rule.name for rule in rules if rule.name.startswith("gpu-arch")]

    assert own() == []
    assert own("sm_90", "sm_80") == ["gpu-arch", "gpu-arch-tools"]
    assert own("sm_90", "sm_100f") == ["gpu-arch"]
    assert own("sm_90", ptx=True) == ["gpu-arch"]
    # A name that is none is told where it is known which ones there are.
    assert own("h100") == ["gpu-arch"]
    kept = SlimConfig(gpu_arch=("sm_90",), disable=("gpu-arch-tools",))
    assert TOOLS_RULE not in rules_of(kept, "safe").rules


def test_tools_that_went_make_a_promise() -> None:
    """Without them other devices are not served, whatever code is there."""
    files = tree(text=b"")
    gone = Change("bin/ptxas-blackwell", "triton", TOOLS_RULE.name, 1)
    nothing = Questions.of((), Files({}, lambda entry: None, scope().prefix))
    rules = Rules(H100.rules)
    slimming = Slimming(
        "safe", rules, scope(), scope().files(files), (gone,), (), nothing, {}, H100
    )
    assert slimming.promises() == ("GPU code for sm_90 only; not verified on a GPU",)


def test_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "slimpack.toml"
    path.write_text('[slim]\ngpu_arch = ["sm_90", "sm_80"]\ngpu_ptx = true\n')
    config = read_config(path).slim
    assert (config.gpu_arch, config.gpu_ptx) == (("sm_90", "sm_80"), True)
    path.write_text("[slim]\ngpu_arch = 'sm_90'\n")
    with pytest.raises(InputError, match=r"slim\.gpu_arch: expected an array of strings"):
        read_config(path)


def test_flags_replace_what_the_configuration_names() -> None:
    @click.command()
    @slim_options("safe")
    def command(config: Config) -> SlimConfig:
        return config.slim

    def run(config: SlimConfig, *arguments: str) -> Any:
        flags = command.make_context("slim", list(arguments)).params
        assert command.callback is not None
        return command.callback(config=Config(folder=Path(), slim=config), **flags)

    both = run(SlimConfig(), "--gpu-arch", "sm_80", "--gpu-arch", "sm_90", "--gpu-ptx")
    assert (both.gpu_arch, both.gpu_ptx) == (("sm_80", "sm_90"), True)
    named = SlimConfig(gpu_arch=("sm_75",), gpu_ptx=True)
    assert run(named) == named
    assert run(named, "--gpu-arch", "sm_90").gpu_arch == ("sm_90",)


def test_ptx_without_an_architecture_is_refused() -> None:
    nothing: Any = None
    with pytest.raises(InputError, match="gpu_ptx has no meaning without gpu_arch"):
        begin(SlimConfig(gpu_ptx=True), "safe", nothing, nothing, tree(), PREFIX)
