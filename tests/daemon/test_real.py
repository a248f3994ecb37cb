"""Real engines: Docker, podman over its socket and as a program, containerd.

They take an image, have each of its names afterwards, run it, and are not sent again what
they have.
"""

from __future__ import annotations

import io
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.daemon.containerd import Ctr, load_into_containerd
from slimpack.daemon.docker import load_into_docker
from slimpack.daemon.podman import Podman, Program, Socket, load_into_podman
from slimpack.errors import DaemonError, ImageError, InputError
from slimpack.oci.digest import sha256
from slimpack.oci.image import Image
from slimpack.oci.layer import TAR, Layer
from slimpack.progress import Progress
from tests.daemon.images import KINDS, fresh, own_image, program_image, relabelled, small_image
from tests.engine.test_peers import PODMAN_WAYS
from tests.support.channel import missing

pytestmark = pytest.mark.engine


class Counter:
    """Counts the bytes that were sent, and keeps what was warned of."""

    def __init__(self) -> None:
        self.sent = 0
        self.warnings: list[str] = []

    @contextmanager
    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Iterator[Counter]:
        before = self.sent
        yield self
        assert self.sent - before == total

    def advance(self, amount: int = 1) -> None:
        self.sent += amount

    def total(self, amount: int) -> None:
        raise AssertionError("the total is known from the beginning")

    def note(self, message: str) -> None:
        raise AssertionError(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@dataclass(frozen=True)
class Engine:
    """What the tests ask of each engine. of_manifest: its ids are digests of manifests."""

    of_manifest: bool = False

    def load(self, image: Image, names: Sequence[str], progress: Progress) -> str:
        raise NotImplementedError

    def id_of(self, name: str) -> str:
        raise NotImplementedError

    def run(self, name: str) -> str:
        raise NotImplementedError

    def id(self, image: Image) -> str:
        return image.digest if self.of_manifest else image.config_digest


def output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Docker(Engine):
    client: Any = None

    def load(self, image: Image, names: Sequence[str], progress: Progress) -> str:
        return load_into_docker(image, names, progress=progress)

    def id_of(self, name: str) -> str:
        found = self.client.images(name=name)
        return str(found[0]["Id"]) if found else ""

    def run(self, name: str) -> str:
        return output("docker", "run", "--rm", "--network=none", name)


@dataclass(frozen=True)
class PodmanEngine(Engine):
    podman: Podman | None = None
    program: Program = Program()  # noqa: RUF009 (frozen)

    def load(self, image: Image, names: Sequence[str], progress: Progress) -> str:
        return load_into_podman(image, names, progress=progress, podman=self.podman)

    def id_of(self, name: str) -> str:
        return self.program.find(name)

    def run(self, name: str) -> str:
        failures = []
        for _, *way in PODMAN_WAYS:
            command = [*self.program.argv, *way, "--rm", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout
            failures.append(done.stderr)
        missing("ENGINE", f"podman can run nothing here: {failures}")
        raise AssertionError


@dataclass(frozen=True)
class Containerd(Engine):
    ctr: Ctr = Ctr("", "")  # noqa: RUF009 (frozen)
    of_manifest: bool = True

    def load(self, image: Image, names: Sequence[str], progress: Progress) -> str:
        return load_into_containerd(image, names, progress=progress, ctr=self.ctr)

    def id_of(self, name: str) -> str:
        for line in self.ctr.call("images", "ls").splitlines():
            if line.split()[0] == f"docker.io/{name}":
                return line.split()[2]
        return ""

    def run(self, name: str) -> str:
        container = f"test-{uuid.uuid4().hex[:12]}"
        return self.ctr.call("run", "--rm", f"docker.io/{name}", container) + "\n"


@pytest.fixture(params=["docker", "podman socket", "podman program", "containerd"])
def real(request: pytest.FixtureRequest) -> Engine:
    """Each engine."""
    if request.param == "docker":
        client = request.getfixturevalue("engine")
        store = "io.containerd.snapshotter" in str(client.info().get("DriverStatus"))
        return Docker(of_manifest=store, client=client)
    if request.param == "containerd":
        return Containerd(ctr=request.getfixturevalue("containerd"))
    program = request.getfixturevalue("podman_program")
    if request.param == "podman program":
        return PodmanEngine(podman=program, program=program)
    socket = Socket.open(request.getfixturevalue("podman_socket"))
    return PodmanEngine(podman=socket, program=program)


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_image_under_each_name(tmp_path: Path, real: Engine, kind: str) -> None:
    image, names = own_image(tmp_path, kind), [fresh(), fresh()]
    assert real.load(image, names, Counter()) == real.id(image)
    assert [real.id_of(one) for one in names] == [real.id(image)] * 2


def test_it_runs_the_image(tmp_path: Path, real: Engine) -> None:
    image, says = program_image(tmp_path)
    tag = fresh()
    real.load(image, [tag], Counter())
    assert real.run(tag) == says


@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_it_has_are_not_sent_again(tmp_path: Path, real: Engine, kind: str) -> None:
    image, first, second = own_image(tmp_path, kind), Counter(), Counter()
    real.load(image, [fresh()], first)
    changed, tag = relabelled(image), fresh()
    assert real.load(changed, [tag], second) == real.id(changed) != real.id(image)
    assert real.id_of(tag) == real.id(changed)
    # All layers, but none of their bytes; an old Docker would have been sent them unpacked.
    forms = [image.layers, [layer.plain() for layer in image.layers]]
    if isinstance(real, Docker) and real.of_manifest:
        forms = [[]]  # with containerd's store it wants all of them
    saved = [sum(layer.size + -layer.size % 512 + 512 for layer in form) for form in forms]
    assert first.sent - second.sent in saved


def test_a_name_moves_to_another_image(tmp_path: Path, real: Engine) -> None:
    tag = fresh()
    images = [own_image(tmp_path) for _ in range(2)]
    for image in images:
        real.load(image, [tag], Counter())
        assert real.id_of(tag) == real.id(image)


def test_nothing_is_kept_of_a_damaged_layer(tmp_path: Path, real: Engine) -> None:
    image, tag = own_image(tmp_path), fresh()
    blob = tmp_path / "sha256" / image.layers[1].digest[7:]
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ImageError, match=r"does not match its digest|is damaged"):
        real.load(image, [tag], _Silent())
    assert real.id_of(tag) == ""


class _Silent(Counter):
    @contextmanager
    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Iterator[Counter]:
        yield self


def test_it_says_why_it_refuses(tmp_path: Path, real: Engine) -> None:
    image, tag = own_image(tmp_path), fresh()
    data = uuid.uuid4().bytes * 1000  # no tar, but with the right digests
    layer = Layer(TAR, sha256(data), len(data), sha256(data), lambda: io.BytesIO(data))
    image = replace(image, layers=(image.layers[0], layer))
    with pytest.raises(DaemonError, match=r"could not (load|import) the image|refused") as caught:
        real.load(image, [tag], _Silent())
    assert "tar" in str(caught.value)
    assert real.id_of(tag) == ""


def test_an_image_of_another_platform(tmp_path: Path, real: Engine) -> None:
    image, tag = own_image(tmp_path), fresh()
    image = replace(image, config=replace(image.config, architecture="arm64"))
    assert real.load(image, [tag], Counter()) == real.id(image)
    assert real.id_of(tag) == real.id(image)


def test_an_image_without_a_name(tmp_path: Path, real: Engine) -> None:
    image = own_image(tmp_path)
    if isinstance(real, Containerd):
        with pytest.raises(InputError, match="by their names only") as caught:
            real.load(image, [], Counter())
        assert "--tag" in caught.value.hint
        return
    assert real.load(image, [], Counter()) == real.id(image)
    if isinstance(real, Docker):
        real.client.remove_image(real.id(image))


def test_podman_has_the_layers_compressed_in_another_way(
    tmp_path: Path, podman_program: Program
) -> None:
    same = uuid.uuid4().bytes
    zstd, gzip = (relabelled(small_image(tmp_path / kind, kind, same)) for kind in ("zstd", "gzip"))
    assert [x.diff_id for x in zstd.layers] == [x.diff_id for x in gzip.layers]
    load_into_podman(zstd, [fresh()], podman=podman_program)
    tag = fresh()
    assert load_into_podman(gzip, [tag], podman=podman_program) == gzip.config_digest
    assert podman_program.find(tag) == gzip.config_digest


def test_podman_warns_of_a_name_that_it_takes_for_another(
    tmp_path: Path, podman_program: Program
) -> None:
    old, new, tag = own_image(tmp_path), own_image(tmp_path), fresh()
    load_into_podman(old, [f"localhost/{tag}"], podman=podman_program)
    progress = Counter()
    load_into_podman(new, [tag], podman=podman_program, progress=progress)
    (warning,) = progress.warnings
    assert f"localhost/{tag}" in warning
    assert f"docker.io/{tag}" in warning


def test_the_docker_sink_works_with_podmans_socket(
    tmp_path: Path, podman_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DOCKER_HOST often names podman."""
    monkeypatch.setenv("DOCKER_HOST", podman_socket)
    image, tag = own_image(tmp_path), fresh()
    assert load_into_docker(image, [tag]) == image.config_digest
    changed = relabelled(image)
    assert load_into_docker(changed, [tag]) == changed.config_digest


def test_namespaces_of_containerd_are_apart(tmp_path: Path, containerd: Ctr) -> None:
    image, tag = own_image(tmp_path), fresh()
    load_into_containerd(image, [tag], ctr=containerd)
    other = replace(containerd, namespace="slimpack-other")
    progress = Counter()
    load_into_containerd(image, [tag], ctr=other, progress=progress)
    assert progress.sent > sum(layer.size for layer in image.layers)
    assert Containerd(ctr=other).id_of(tag) == image.digest
