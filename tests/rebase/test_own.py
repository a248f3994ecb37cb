"""The record of what an image says by itself: it survives, and is not believed blindly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimpack.base import Base
from slimpack.config import AppConfig, Config, CopyRule, EnvConfig, ImageConfig
from slimpack.env.activation import Activation
from slimpack.errors import ImageError
from slimpack.oci.config import History
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.image import Image, make_image
from slimpack.own import LABEL, Own, Recorded, configure, own_of, read_own
from slimpack.tree import Tree, bytes_entry
from tests.rebase.images import ENV, OWN, base_of, image_on

NAMES = st.text("ABCXYZ_", min_size=1, max_size=8).filter(lambda name: name != "PATH")
WORDS = st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text)
PATHS = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
OWNS = st.builds(
    Own,
    prefix=PATHS,
    path=st.lists(PATHS, max_size=2).map(tuple),
    env=st.dictionaries(NAMES, WORDS, max_size=3).map(lambda env: tuple(sorted(env.items()))),
    entrypoint=st.lists(WORDS, max_size=2).map(tuple),
    cmd=st.lists(WORDS, max_size=2).map(tuple),
    user=st.sampled_from(["", "0", "nonroot"]),
    workdir=st.sampled_from(["", "/srv"]),
    labels=st.dictionaries(NAMES, WORDS, max_size=2),
    exposed_ports=st.sets(st.sampled_from(["80/tcp", "53/udp"])).map(lambda s: tuple(sorted(s))),
    created=st.integers(0, 2**32),
    python=st.booleans(),
    cuda=st.sampled_from(["", "12.8"]),
    compat=st.booleans(),
    places=st.lists(PATHS, max_size=2).map(tuple),
    compression=st.sampled_from(["zstd", "gzip", "none"]),
    level=st.sampled_from([None, 3]),
)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Base, Base]:
    """Two bases whose configurations have nothing in common."""
    folder = tmp_path_factory.mktemp("bases")
    other = base_of(
        folder,
        env=(("PATH", "/bin"), ("A", "base"), ("NVIDIA_REQUIRE_CUDA", "cuda>=12.8")),
        glibc="2.41",
        name="other",
        gpu=True,
        entrypoint=("tini", "--"),
        cmd=("sh",),
        workdir="/root",
        volumes=("/data",),
        exposed_ports=("8080/tcp",),
    )
    return base_of(folder), replace(other, user="1000")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(own=OWNS)
def test_nothing_of_it_is_lost_on_any_base(
    own: Own, bases: tuple[Base, Base], tmp_path: Path
) -> None:
    images = [image_on(tmp_path, base, own, ENV) for base in bases]
    for image, base in zip(images, bases, strict=True):
        recorded = read_own(image)
        assert recorded == Recorded(own, 1, base.glibc)
        for other, anew in zip(bases, images, strict=True):
            moved = make_image(
                image.layers[1:],
                configure(recorded.own, other),
                base=other.image,
                comment="slimpack",
            )
            assert moved.digest == anew.digest


def test_what_a_build_says(tmp_path: Path) -> None:
    (tmp_path / "one.txt").touch()
    (tmp_path / "app").mkdir()
    config = Config(
        folder=tmp_path,
        env=EnvConfig(cuda_compat=True),
        image=ImageConfig(
            entrypoint=("python",), env=(("B", "user"), ("C", "3")), labels=(("l", "1"),), user="7"
        ),
        app=AppConfig(
            copy=(
                CopyRule(tmp_path / "app", "/srv/app/"),
                CopyRule(tmp_path / "one.txt", "/etc/"),
                CopyRule(tmp_path / "one.txt", "/two"),
            )
        ),
    )
    activation = Activation(
        env=(("A", "1"), ("B", "activation"), ("PATH", "/x")), path=("/opt/x",), notes=()
    )
    tree = Tree([bytes_entry("opt/env/bin/python", b"", mode=0o755)])
    own = own_of(config, activation, tree, prefix="/opt/env", epoch=7, cuda="13.0")
    assert own.env == (("A", "1"), ("B", "user"), ("C", "3"))
    assert own.path == ("/opt/x", "/opt/env/bin")
    assert own.places == ("/etc/one.txt", "/opt/env", "/srv/app", "/two")
    assert (own.python, own.cuda, own.compat, own.user, own.created) == (True, "13.0", True, "7", 7)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_on(tmp_path, base_of(tmp_path), replace(OWN, env=(("A", "1"),)))


def damaged(image: Image, **changes: Any) -> Image:
    record = {**json.loads(image.config.labels[LABEL]), **changes}
    return labelled(image, json.dumps(record))


def labelled(image: Image, text: str) -> Image:
    labels = {**image.config.labels, LABEL: text}
    return replace(image, config=replace(image.config, labels=labels))


def test_an_image_of_others(image: Image) -> None:
    with pytest.raises(ImageError, match="has no label") as caught:
        read_own(replace(image, config=OciConfig()))
    assert "build it anew" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 2}, "tells of 2 layers of a base, but the image has 2"),
        ({"layers": 10**9}, "tells of 1000000000 layers"),
        ({"layers": -1}, "not a non-negative integer"),
        ({"layers": True}, "not a non-negative integer"),
        ({"env": ["A", "GONE"]}, "names the variable 'GONE', which the image lacks"),
        ({"env": "A"}, "env is not a list of strings"),
        ({"labels": ["gone"]}, "names the label 'gone'"),
        ({"prefix": "opt"}, "names the place 'opt'"),
        ({"prefix": ""}, "names the place ''"),
        ({"places": ["/opt/../etc"]}, r"names the place '/opt/\.\./etc'"),
        ({"compression": "lzma"}, "names the compression 'lzma'"),
        ({"level": "high"}, "not a non-negative integer"),
    ],
)
def test_records_that_are_wrong(image: Image, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_own(damaged(image, **changes))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1, "a": 2}', "[" * 100_000, "x" * (2 << 20)])
def test_records_that_are_none(image: Image, text: str) -> None:
    with pytest.raises(ImageError):
        read_own(labelled(image, text))


def test_layers_of_others_on_top(image: Image) -> None:
    foreign = History(created_by="RUN apt-get install sl", comment="buildkit.dockerfile.v0")
    more = replace(image, layers=(*image.layers, image.layers[0]))
    with pytest.raises(ImageError, match="layers on top that slimpack did not make: 'RUN apt"):
        read_own(replace(more, history=(*image.history, foreign)))
    with pytest.raises(ImageError, match="layers of a base"):
        read_own(more)


def test_empty_steps_of_a_base_are_its_own(tmp_path: Path) -> None:
    base = base_of(tmp_path)
    steps = (*base.image.history, History(created_by="ENV A=1", empty=True))
    base = replace(base, image=replace(base.image, history=steps))
    assert read_own(image_on(tmp_path, base)).layers == 1
