"""Packages that come from no one: meta-packages and the probes that the tests install.

A recipe with a ``folder`` takes every file below ``recipes/<folder>``; ``@PREFIX@`` in them
becomes the placeholder. ``programs`` are C sources there, compiled with gcc into ``bin/``.
``links`` are symbolic links; "{version}" in them stands for the package's version.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.channel.conda_format import PLACEHOLDER, Symlink, write_files
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.native import PREFIX_MARK, files_below
from benchmarks.channel.recipes import Recipe

FOLDERS = Path(__file__).with_name("recipes")


def source_files(recipe: Recipe) -> list[Path]:
    """Return the files that a recipe is made from."""
    return files_below(FOLDERS / recipe.folder) if recipe.folder else []


def stage_generated(recipe: Recipe, version: str, root: Path) -> None:
    """Fill ``root``."""
    folder = FOLDERS / recipe.folder
    programs = {folder / name for name in recipe.programs}
    for path in source_files(recipe):
        if path in programs:
            continue
        target = root / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text().replace(PREFIX_MARK, PLACEHOLDER))
        # git keeps the executable bit, a zip of the repository may not: bin/ is enough to know.
        target.chmod(0o755 if target.parent == root / "bin" else 0o644)
    links = {
        name.replace("{version}", version): Symlink(target.replace("{version}", version))
        for name, target in recipe.links.items()
    }
    write_files(root, links)
    for program in sorted(programs):
        compile_program(program, root)


def compile_program(source: Path, root: Path) -> None:
    """Compile one C file; ``PREFIX`` is a string literal with the placeholder."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise ChannelError("gcc is missing; run: apt-get install gcc libc6-dev")
    (root / "bin").mkdir(parents=True, exist_ok=True)
    options = ["-O1", "-s", "-Wall", "-Werror", "-Wl,--build-id=none", f'-DPREFIX="{PLACEHOLDER}"']
    # Relative names: gcc would write the path of this machine into the file.
    command = [gcc, *options, "-o", str(root / "bin" / source.stem), source.name]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True)
    if done.returncode != 0:
        raise ChannelError(f"gcc failed on {source.name}: {done.stderr.strip()}")
