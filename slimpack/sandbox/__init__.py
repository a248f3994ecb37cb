"""Running a command in an image's own root file system, without its shell or a daemon's help.

::

    sandbox = choose_sandbox("auto")
    with sandbox.prepare(root, image) as prepared:
        finished = prepared.run(Command(("python", "-c", "import numpy"), env, "nonroot"))

`bubblewrap` and `unshare` make the namespaces of an unpacked folder themselves,
`podman` takes the folder too, `docker` is given the image. `host` runs where the files
lie, for portable archives. Programs of another processor are emulated where QEMU is there.
What a command meets is the same in all but `host`: its root is read-only, /tmp and
/dev/shm are empty and its own, there is no network but loopback, no capability, and no
variable that it was not given (but PATH and HOME, where they are missing, and the marks
that podman and docker leave).
"""

from slimpack.sandbox.choose import choose_sandbox
from slimpack.sandbox.gpu import Gpu, find_gpu
from slimpack.sandbox.model import Bind, Command, Finished, Options, Prepared, Sandbox

__all__ = [
    "Bind",
    "Command",
    "Finished",
    "Gpu",
    "Options",
    "Prepared",
    "Sandbox",
    "choose_sandbox",
    "find_gpu",
]
