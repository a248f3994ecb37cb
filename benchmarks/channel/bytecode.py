"""Ship ``.pyc`` files in arch packages, as conda-forge does.

They are compiled by the packaged interpreter, carry the timestamp of their source (PEP 552's
default) and the placeholder as the root of ``co_filename``.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel.conda_format import FIXED_TIME, PLACEHOLDER
from benchmarks.channel.errors import ChannelError

# Reads file names from stdin, compiles each; a file that is not valid Python (templates, samples
# for parsers) is left alone, like compileall does.
_WORKER = """
import py_compile, sys
root, placeholder = sys.argv[1:]
for name in sys.stdin.read().splitlines():
    try:
        py_compile.compile(f"{root}/{name}", dfile=f"{placeholder}/{name}", doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    except (py_compile.PyCompileError, UnicodeDecodeError):
        pass
"""


@dataclass(frozen=True)
class Interpreter:
    """A packaged CPython that runs on this machine."""

    executable: Path
    libraries: tuple[Path, ...] = ()

    def run(self, arguments: list[str], text: str) -> None:
        """Run Python code in a fresh, isolated process with a fixed hash seed."""
        paths = os.pathsep.join(str(path) for path in self.libraries)
        environment = {
            "PATH": os.defpath,
            "LD_LIBRARY_PATH": paths,
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [str(self.executable), "-s", "-S", *arguments]
        done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise ChannelError(f"the packaged Python failed: {done.stderr.strip()[-300:]}")


def compile_tree(root: Path, interpreter: Interpreter) -> None:
    """Compile every Python file of ``root/lib`` whose bytes do not change at installation."""
    names = []
    for path in sorted(root.glob("lib/python*/**/*.py")):
        # Installing replaces the placeholder, which makes the file smaller and any .pyc stale.
        if path.is_symlink() or PLACEHOLDER.encode() in path.read_bytes():
            continue
        os.utime(path, (FIXED_TIME, FIXED_TIME))
        names.append(path.relative_to(root).as_posix())
    interpreter.run(["-c", _WORKER, str(root), PLACEHOLDER], "\n".join(names))
