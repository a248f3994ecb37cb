"""What Apptainer and enroot read of an image's configuration, as files of its root file system.

Formats: Apptainer sources each ``/.singularity.d/env/*.sh`` and starts
``/.singularity.d/runscript`` with a shell interpreter of its own, so that the image needs
none (user guide, 'Environment and Metadata'). enroot reads ``/etc/environment`` and
``/etc/fstab``, and gives ``/etc/rc`` to the image's ``/bin/sh`` (doc/image-format.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

from slimpack.errors import ImageError
from slimpack.oci.config import ImageConfig
from slimpack.oci.rootfs import Placed, base_directories
from slimpack.tree import Entry, bytes_entry, directory_entry, parents

ENV_SCRIPT = ".singularity.d/env/10-docker2singularity.sh"
LIBS_SCRIPT = ".singularity.d/env/99-base.sh"
RUNSCRIPT = ".singularity.d/runscript"

_SHELL = "#!/bin/sh\n"
# Apptainer starts a script with this line in its own interpreter, not in the image's /bin/sh.
# It is how those end that it makes of other images; here nothing gets as far.
_MARK = 'eval "set ${SINGULARITY_OCI_RUN}"\n'
_MOVER = "import os, sys; os.chdir(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OF_CALLER = {"HOME", "USER", "LOGNAME", "PWD", "SHELL"}
"""Variables that say who calls: on a cluster nobody is the user of the image."""
# What each of Apptainer's verbs runs; without them it wants the image's /bin/sh.
_SOURCING = f"""{_SHELL}for script in /.singularity.d/env/*.sh; do
    if [ -f "$script" ]; then
        . "$script"
    fi
done
"""
_ACTIONS = {
    ".singularity.d/actions/exec": _SOURCING + 'exec "$@"\n',
    ".singularity.d/actions/run": f'{_SOURCING}exec /{RUNSCRIPT} "$@"\n',
    ".singularity.d/actions/shell": f'{_SOURCING}exec "${{SINGULARITY_SHELL:-/bin/sh}}" "$@"\n',
}
# Where a driver's libraries are mounted (`apptainer --nv`).
_LIBS = (
    f"{_SHELL}"
    'export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs"\n'
)
# What is mounted over: neither tool can always make what a read-only image lacks.
_FOLDERS = ("dev", "home", "proc", "root", "run", "sys", "tmp", "var/tmp")
_STICKY = ("tmp", "var/tmp")
_MOUNTED_OVER = ("etc/hosts", "etc/resolv.conf")


def runtime_files(config: ImageConfig, view: Mapping[str, Placed]) -> list[Entry]:
    """Return the files that an image, seen as `view`, needs beside its own.

    They replace what is there under their names. Raises ImageError for an image in which
    a link or a folder is where one of them, or a folder above it, has to be, and for a
    configuration with what no file or program can be told.
    """
    _check_texts(config)
    files = {
        ENV_SCRIPT: env_script(config).encode(),
        LIBS_SCRIPT: _LIBS.encode(),
        RUNSCRIPT: run_script(config, view).encode(),
        **{path: text.encode() for path, text in _ACTIONS.items()},
        ".singularity.d/labels.json": _json(dict(config.labels)),
        "etc/environment": _environment(config).encode(),
        "etc/fstab": _fstab(config).encode(),
        "etc/rc": _rc(config).encode(),
        **{path: b"" for path in _MOUNTED_OVER if path not in view},
    }
    folders = [".singularity.d/libs", *_FOLDERS]
    workdir = config.workdir.strip("/")
    if workdir and ".." not in workdir.split("/"):
        folders.append("/".join(part for part in workdir.split("/") if part not in ("", ".")))
    missing = [path for path in dict.fromkeys(folders) if path and path not in view]
    made = {path: directory_entry(path, mode=_folder_mode(path)) for path in missing}
    # Archives need not list the folders that they have files in.
    there = {above for path in view for above in parents(path)}
    for path in files:
        placed = view.get(path)
        if path in there or (placed is not None and placed.member.kind == "directory"):
            raise ImageError(f"/{path} of the image is a folder, where a file has to be")
    above = base_directories(view, [*files, *made])
    return [
        *above,
        *(entry for path, entry in made.items() if path not in {one.path for one in above}),
        *(bytes_entry(path, data, mode=_file_mode(path)) for path, data in files.items()),
    ]


def _check_texts(config: ImageConfig) -> None:
    """Raise ImageError for NUL and for halves of characters, which JSON can hold."""
    pairs = (word for pair in config.env for word in pair)
    for text in (*pairs, *config.entrypoint, *config.cmd, config.workdir, *config.volumes):
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise ImageError(
                f"the image's configuration says {text[:200]!r}, which no program can be told",
                hint="the image is damaged or hostile",
            )


def lost(config: ImageConfig, view: Mapping[str, Placed]) -> tuple[str, ...]:
    """Tell what of the configuration cannot be said to Apptainer or enroot."""
    notes = []
    if not has_shell(view):
        notes.append("the image has no /bin/sh: enroot cannot start it as it is (docs/hpc.md)")
        if _workdir(config) and not _python(config, view):
            notes.append(f"`apptainer run` needs --cwd {config.workdir}: no Python can go there")
    unnamed = [name for name, _ in config.env if not _NAME.match(name)]
    if unnamed:
        notes.append(f"left out, as no shell can set them: {', '.join(unnamed)}")
    lines = [name for name, value in config.env if "\n" in value and name not in unnamed]
    if lines:
        notes.append(f"enroot does not get what has several lines: {', '.join(lines)}")
    return tuple(notes)


def env_script(config: ImageConfig) -> str:
    """Return the script that sets the image's variables, whatever the host has under the names."""
    lines = (f"export {name}={quote(value)}\n" for name, value in _variables(config))
    return _SHELL + "".join(lines)


def run_script(config: ImageConfig, view: Mapping[str, Placed]) -> str:
    """Return the script that starts the image: in its folder, arguments in place of its Cmd.

    Without a WorkingDir, or with the root, the caller's folder stays. Where the image has no
    shell, Apptainer's interpreter reads the script; it changes no folder for what it
    starts, so that the image's Python does. `lost` tells where there is none either.
    """
    if has_shell(view):
        return _SHELL + _chdir(config) + _exec(config)
    python = _python(config, view)
    moved = (python, "-ISc", _MOVER, _workdir(config)) if python and _workdir(config) else ()
    return _SHELL + _exec(config, moved) + _MARK


def has_shell(view: Mapping[str, Placed]) -> bool:
    """Tell whether the image has a ``/bin/sh``."""
    return "bin/sh" in view or "usr/bin/sh" in view


def inspection(config: ImageConfig, view: Mapping[str, Placed]) -> bytes:
    """Return what ``apptainer inspect`` tells of a SIF without starting it.

    Else it would ask the image's shell.
    """
    attributes = {
        "environment": {f"/{ENV_SCRIPT}": env_script(config), f"/{LIBS_SCRIPT}": _LIBS},
        "labels": dict(config.labels),
        "runscript": run_script(config, view),
    }
    return _json({"data": {"attributes": attributes}, "type": "container"})


def _variables(config: ImageConfig) -> Iterator[tuple[str, str]]:
    for name, value in config.env:
        if _NAME.match(name) and name not in _OF_CALLER:
            yield name, value


def _workdir(config: ImageConfig) -> str:
    return config.workdir.rstrip("/")


def _python(config: ImageConfig, view: Mapping[str, Placed]) -> str:
    """Return the image's first Python on its PATH, "" for none."""
    folders = dict(config.env).get("PATH", "").split(":")
    found = (
        f"{folder}/{name}"
        for folder in folders
        for name in ("python3", "python")
        if folder.startswith("/") and f"{folder}/{name}".strip("/") in view
    )
    return next(found, "")


def _chdir(config: ImageConfig) -> str:
    workdir = _workdir(config)
    return f"cd {quote(workdir)} || exit 1\n" if workdir else ""


def _exec(config: ImageConfig, before: Sequence[str] = ()) -> str:
    """before: words of a program that starts what follows it."""
    fixed = " ".join(map(quote, ("exec", *before, *config.entrypoint)))
    nothing = "echo 'the image names no command: give one' >&2\nexit 127\n"
    rest = " ".join(map(quote, config.cmd))
    default = f"{fixed} {rest}".rstrip() + "\n" if config.entrypoint or config.cmd else nothing
    return f'if [ "$#" -gt 0 ]; then\n    {fixed} "$@"\nfi\n{default}'


def _environment(config: ImageConfig) -> str:
    lines = (f"{name}={value}\n" for name, value in _variables(config) if "\n" not in value)
    return "".join(lines)


def _fstab(config: ImageConfig) -> str:
    # As enroot itself writes it for volumes: writable in a container that is not.
    options = "none x-create=dir,bind,rw,nosuid,nodev"
    paths = (path for path in config.volumes if not re.search(r"\s", path))
    return "".join(f"${{ENROOT_ROOTFS}}{path} {path} {options}\n" for path in paths)


def _rc(config: ImageConfig) -> str:
    # enroot's own scripts let sites and users add to it, too.
    local = "if [ -s /etc/rc.local ]; then\n    . /etc/rc.local\nfi\n"
    return _SHELL + _chdir(config) + local + _exec(config)


def _folder_mode(path: str) -> int:
    return 0o1777 if path in _STICKY else 0o700 if path == "root" else 0o755


def _file_mode(path: str) -> int:
    return 0o755 if path in (ENV_SCRIPT, LIBS_SCRIPT, RUNSCRIPT, *_ACTIONS, "etc/rc") else 0o644


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
