"""The Python of an image that slimpack built, in each sandbox as in a container."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view
from slimpack.rootfs import tree_of, unpack_image
from slimpack.sandbox import Command, Sandbox
from tests.sandbox.conftest import OWN, Here
from tests.sandbox.test_sandbox import nothing_is_left
from tests.support.images import Built

pytestmark = [pytest.mark.sandbox, pytest.mark.channel, pytest.mark.network]

PROGRAM = """
import concurrent.futures, ctypes, json, multiprocessing, os, pathlib, pwd, socket, ssl, tempfile
with concurrent.futures.ProcessPoolExecutor(2) as pool:  # semaphores in /dev/shm
    squares = list(pool.map(abs, [-1, -2, -3]))
with tempfile.NamedTemporaryFile() as file:
    temporary = os.path.dirname(file.name)
print(json.dumps({
    "squares": squares,
    "temporary": temporary,
    "user": pwd.getpwuid(os.getuid()).pw_name,
    "home": str(pathlib.Path.home()),
    "random": len(os.urandom(8)),
    "processors": os.cpu_count() > 0,
    "localhost": socket.gethostbyname("localhost"),
    "shell": os.path.exists("/bin/sh"),
    "certificates": len(ssl.create_default_context().get_ca_certs()) > 0,
}))
"""


@pytest.fixture(scope="session")
def python(python_image: Built) -> Iterator[Here]:
    """The image with Python, unpacked."""
    image = read_image(python_image.tar)
    with tempfile.TemporaryDirectory(prefix=OWN) as name:
        Path(name).chmod(0o755)
        view = merged_view(image)
        done = unpack_image(image, Path(name) / "root", view=view)
        tree = tree_of(view, Path(name) / "root")
        assert done.files == tree.files > 2000
        assert done.skipped == ()
        assert all(len(entry.read()) == entry.size for entry in tree if entry.opener)
        yield Here(Path(name) / "root", image)


def test_python_finds_all_that_it_needs(python: Here, sandbox: Sandbox) -> None:
    config = python.image.config
    command = Command(
        ("python", "-c", PROGRAM), config.env, config.user, config.workdir, timeout=120
    )
    with sandbox.prepare(python.root, python.image) as ready:
        done = ready.run(command)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "squares": [1, 2, 3],
        "temporary": "/tmp",
        "user": "nonroot",
        "home": "/home/nonroot",
        "random": 8,
        "processors": True,
        "localhost": "127.0.0.1",
        "shell": False,
        "certificates": True,
    }
    nothing_is_left()
