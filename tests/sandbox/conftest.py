"""An image of one static program, unpacked, and each sandbox that there is."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from slimpack.errors import DaemonError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Sandbox, choose_sandbox
from slimpack.tree import bytes_entry, directory_entry, symlink_entry
from tests.support.channel import missing

# Of this process alone: others may use sandboxes on this machine, too.
OWN = f"slimpack-test-{os.getpid()}-"
NAMES = ("bubblewrap", "unshare", "podman", "docker")
PASSWD = """\
root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
other:x:1234:65532::/data:/sbin/nologin
"""
GROUP = "root:x:0:\nnonroot:x:65532:other\ndata:x:50:root,nonroot\nmore:x:60:nonroot\n"


@dataclass(frozen=True)
class Here:
    """A root file system and the image that it is of."""

    root: Path
    image: Image


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled; see tool.c."""
    program = tmp_path_factory.mktemp("tool") / "tool"
    source = Path(__file__).with_name("tool.c")
    subprocess.run(["gcc", "-static", "-O1", "-o", str(program), str(source)], check=True)
    return program


@pytest.fixture(scope="session")
def here(tool: Path) -> Iterator[Here]:
    """The image, in a folder that every user can reach; its config is full of traps."""
    entries = [
        directory_entry("tmp", mode=0o1777),
        directory_entry("home/nonroot", mode=0o700, uid=65532, gid=65532),
        bytes_entry("home/nonroot/mine", b"for nonroot"),
        bytes_entry("bin/tool", tool.read_bytes(), mode=0o755),
        symlink_entry("bin/alias", "/bin/tool"),
        bytes_entry("bin/data", b"not a program", mode=0o755),
        bytes_entry("etc/passwd", PASSWD.encode()),
        bytes_entry("etc/group", GROUP.encode()),
        bytes_entry("etc/secret", b"of root", mode=0o600),
        replace(bytes_entry("etc/of-data", b"of a group", mode=0o640), gid=50),
    ]
    config = ImageConfig(
        env=(("OF_THE_IMAGE", "1"),), entrypoint=("/bin/none",), volumes=("/data",), user="7"
    )
    with tempfile.TemporaryDirectory(prefix=OWN) as name:
        folder = Path(name)
        folder.chmod(0o755)
        layer = build_layer(
            "all",
            entries,
            blobs=BlobStore(folder / "blobs", durable=False),
            mtime=0,
            compression=Compression("zstd", 3, 1),
        )
        image = make_image([layer], config)
        unpack_image(image, folder / "root")
        yield Here(folder / "root", image)


def find(name: str) -> Sandbox:
    """Return a sandbox, or skip (fail in CI) with the reason that it does not work here."""
    try:
        return choose_sandbox(name)
    except DaemonError as error:
        missing("SANDBOX", str(error))
        raise


@pytest.fixture(scope="session")
def own_tmp() -> Iterator[Path]:
    """A folder that every user can reach, for what sandboxes put into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix=OWN) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session", params=NAMES)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox."""
    return find(request.param)


@pytest.fixture(scope="session", params=NAMES[:2])
def namespaces(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox that is a process of this machine."""
    return find(request.param)
