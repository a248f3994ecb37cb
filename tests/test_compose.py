from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.base import Base
from slimpack.compose import (
    check_environment,
    check_places,
    gpu_notes,
    image_config,
    lazy_notes,
)
from slimpack.config import Config, EnvConfig, ImageConfig
from slimpack.deliver import references
from slimpack.env.activation import Activation
from slimpack.errors import InputError, RelocationError
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.image import Image
from slimpack.oci.layer import TAR, Layer
from slimpack.oci.rootfs import Placed
from slimpack.oci.untar import Member
from slimpack.platforms import resolve, virtual_packages
from slimpack.tree import Tree, bytes_entry, symlink_entry

BASE = Base(
    image=Image(layers=(), config=OciConfig(env=(("PATH", "/usr/bin"), ("LANG", "C.UTF-8")))),
    glibc="2.36",
    prefix="/opt/env",
    user="65532",
    view={"usr/bin/tool": Placed(Member("usr/bin/tool", "file", 0o755, 0, 0, 0, 0), 0)},
)
TREE = Tree(
    [
        bytes_entry("opt/env/bin/python3.11", b"", mode=0o755),
        symlink_entry("opt/env/bin/python", "python3.11"),
        symlink_entry("opt/env/bin/loop", "loop"),
        bytes_entry("opt/env/bin/data", b""),
    ]
)
ACTIVATION = Activation(env=(("A", "activation"), ("B", "activation")), path=("/opt/x",), notes=())


def composed(image: ImageConfig, tree: Tree = TREE) -> OciConfig:
    config = Config(folder=Path(), image=image)
    return image_config(config, BASE, ACTIVATION, tree, prefix="/opt/env", epoch=1)


def test_the_user_wins_over_activation_and_path_is_ordered() -> None:
    env = dict(composed(ImageConfig(env=(("A", "user"), ("C", "user")))).env)
    assert env == {
        "A": "user",
        "B": "activation",
        "C": "user",
        "PATH": "/opt/x:/opt/env/bin:/usr/bin",
    }


def test_a_base_that_is_fetched_as_a_whole_is_told_of() -> None:
    digest = "sha256:" + "0" * 64
    plain = Layer(f"{TAR}+gzip", digest, 1, digest, lambda: io.BytesIO(b"x"))
    lazy = replace(plain, annotations={"containerd.io/snapshot/stargz/toc.digest": digest})
    image = replace(BASE.image, layers=(lazy, plain))
    (note,) = lazy_notes(replace(BASE, image=image), "estargz")
    assert "layers of the base are not estargz" in note
    assert not list(lazy_notes(replace(BASE, image=image), "gzip"))
    image = replace(BASE.image, layers=(lazy, lazy))
    assert not list(lazy_notes(replace(BASE, image=image), "estargz"))


def test_default_command_is_python_if_there_is_one() -> None:
    assert composed(ImageConfig()).cmd == ("/opt/env/bin/python",)
    assert composed(ImageConfig(), Tree([])).cmd == ()
    assert composed(ImageConfig(entrypoint=("python",))).cmd == ()


@pytest.mark.parametrize("program", ["python", "/opt/env/bin/python", "tool", "./relative"])
def test_entrypoints_that_are_there(program: str) -> None:
    assert composed(ImageConfig(entrypoint=(program,))).entrypoint == (program,)


@pytest.mark.parametrize("program", ["uvicorn", "/bin/sh", "data", "loop"])
def test_entrypoints_that_are_not(program: str) -> None:
    with pytest.raises(InputError, match="no program"):
        composed(ImageConfig(entrypoint=(program,)))


@pytest.mark.parametrize("program", ["/usr/bin/tool", "/bin/tool", "/lib/../bin/tool"])
def test_links_of_the_base_are_followed(program: str) -> None:
    link = Placed(Member("bin", "symlink", 0o777, 0, 0, 0, 0, "usr/bin"), 0)
    base = replace(BASE, view={**BASE.view, "bin": link})
    config = Config(folder=Path(), image=ImageConfig(entrypoint=(program,)))
    image_config(config, base, ACTIVATION, TREE, prefix="/opt/env", epoch=1)


def test_arguments_of_the_base_s_entrypoint_are_no_programs() -> None:
    below = replace(BASE.image.config, entrypoint=("tini", "--"), cmd=("sh",))
    base = replace(BASE, image=replace(BASE.image, config=below))
    config = Config(folder=Path(), image=ImageConfig(cmd=("--verbose",)))
    run = image_config(config, base, ACTIVATION, TREE, prefix="/opt/env", epoch=1)
    assert (run.entrypoint, run.cmd) == ((), ("--verbose",))
    plain = image_config(Config(folder=Path()), base, ACTIVATION, TREE, prefix="/opt/env", epoch=1)
    assert plain.cmd == ()


def required(cuda: str, said: str = "", *, compat: bool = False, **image: object) -> str | None:
    """Return NVIDIA_REQUIRE_CUDA on a base for GPUs that says `said` itself."""
    env = (*BASE.image.config.env, *((("NVIDIA_REQUIRE_CUDA", said),) if said else ()))
    below = replace(BASE.image, config=replace(BASE.image.config, env=env))
    config = Config(
        folder=Path(),
        env=EnvConfig(cuda_compat=compat),
        image=ImageConfig(**image),  # type: ignore[arg-type]
    )
    base = replace(BASE, image=below, gpu=True)
    run = image_config(config, base, ACTIVATION, TREE, prefix="/opt/env", epoch=1, cuda=cuda)
    return dict(run.env).get("NVIDIA_REQUIRE_CUDA")


def test_what_is_required_of_the_driver_follows_from_the_environment() -> None:
    assert required("12.8") == "cuda>=12.0"
    assert required("13.0", compat=True) == (
        "cuda>=13.0 driver>=535,driver<536 driver>=550,driver<551 driver>=570,driver<571 "
        "driver>=575,driver<576"
    )
    assert required("") is None
    user = (("NVIDIA_REQUIRE_CUDA", "cuda>=12.8"),)
    assert required("12.8", env=user) == "cuda>=12.8"
    config = Config(folder=Path())
    plain = image_config(config, BASE, ACTIVATION, TREE, prefix="/opt/env", epoch=1, cuda="12.8")
    assert "NVIDIA_REQUIRE_CUDA" not in dict(plain.env)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("cuda>=12.8 brand=tesla,driver>=535,driver<536", None),  # the base's own word counts
        ("cuda>=13.0", "cuda>=12.0"),
        ("nonsense", "cuda>=12.0"),
    ],
)
def test_what_the_base_requires_counts_for_its_own_major_version(
    said: str, expected: str | None
) -> None:
    assert required("12.8", said) == expected


def test_a_runtime_for_gpus_without_cuda_is_told() -> None:
    assert list(gpu_notes(replace(BASE, gpu=True), "12.8")) == []
    assert list(gpu_notes(BASE, "")) == []
    (note,) = gpu_notes(replace(BASE, gpu=True), "")
    assert note.startswith("the runtime is for GPUs, but no package")


def test_variables_that_the_runtime_wants_and_the_base_lacks() -> None:
    base = replace(BASE, env=(("NVIDIA_VISIBLE_DEVICES", "all"), ("A", "runtime")))
    run = image_config(Config(folder=Path()), base, ACTIVATION, TREE, prefix="/opt/env", epoch=1)
    env = dict(run.env)
    assert (env["NVIDIA_VISIBLE_DEVICES"], env["A"]) == ("all", "activation")


def test_nonroot_unless_somebody_says_otherwise() -> None:
    assert composed(ImageConfig()).user == "65532"
    assert composed(ImageConfig(user="0")).user == "0"
    below = replace(BASE.image.config, user="1000")
    base = replace(BASE, image=replace(BASE.image, config=below))
    run = image_config(Config(folder=Path()), base, ACTIVATION, TREE, prefix="/opt/env", epoch=1)
    assert run.user == "1000"


def test_no_file_of_the_base_is_hidden_or_mixed_in() -> None:
    folder = Placed(Member("etc", "directory", 0o755, 0, 0, 0, 0), 0)
    base = replace(BASE, view={"etc": folder})
    check_places(TREE, base, "/opt/env")
    with pytest.raises(InputError, match="/etc is a folder of the base"):
        check_places(Tree([bytes_entry("etc", b"")]), base, "/opt/env")
    file = Placed(Member("opt/env/old", "file", 0o644, 0, 0, 0, 0), 0)
    with pytest.raises(InputError, match=r"already has files below /opt/env \(/opt/env/old\)"):
        check_places(TREE, replace(BASE, view={"opt/env/old": file}), "/opt/env")


def test_no_build_path_in_variables_or_labels() -> None:
    check_environment(OciConfig(env=(("A", "/opt/env"),)), (b"/build/x",))
    with pytest.raises(RelocationError, match="label A contains the build path"):
        check_environment(OciConfig(env=(("A", "1:/build/x/y"),)), (b"/build/x",))
    with pytest.raises(RelocationError, match="label B contains"):
        check_environment(OciConfig(labels={"B": "/build/x"}), (b"/build/x",))


def test_references() -> None:
    image = ImageConfig(name="a", tags=("1", "2"))
    assert references(image) == ("a:1", "a:2")
    assert references(ImageConfig(name="a")) == ("a:latest",)
    assert references(ImageConfig()) == ()
    assert references(replace(image, references=("b:3",))) == ("b:3",)


@pytest.mark.parametrize("name", ["Bad Name", "a:b:c", "UPPER", "a:.tag"])
def test_names_that_no_engine_takes(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        references(ImageConfig(references=(name,)))


def test_platforms() -> None:
    assert resolve("linux-64") == resolve("linux/amd64") == "linux/amd64"
    assert resolve("linux-aarch64") == "linux/arm64"
    with pytest.raises(InputError, match="unknown platform 'win-64'"):
        resolve("win-64")
    found = virtual_packages("linux/arm64", glibc="2.36", cuda="12.8")
    assert ("__glibc", "2.36", "0") in found
    assert ("__cuda", "12.8", "0") in found
    assert ("__archspec", "1", "aarch64") in found
    assert not [name for name, _, _ in virtual_packages("linux/amd64", glibc="")
                if name in ("__glibc", "__cuda")]  # fmt: skip
