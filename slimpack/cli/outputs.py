"""Where results go: never over an input, and never among what is printed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from slimpack.config import Config
from slimpack.errors import InputError
from slimpack.outputs import ROOT_FORMATS, ROOT_SUFFIXES


def check_output(output: str, config: Config) -> None:
    """Raise InputError for an output that is an input, lies in one, or is standard output."""
    check_not_stdout(output)
    target = Path(output).resolve()
    for text in config.env.inputs:
        source = Path(text)
        if source.exists() and source.resolve() in (target, *target.parents):
            what = "is the input" if source.resolve() == target else f"lies in the input {text}"
            raise InputError(
                f"{output} {what}, which is never written to", hint="choose another place"
            )


def check_not_stdout(output: str) -> None:
    """Raise InputError for standard output, which a file would be mixed into."""
    if output == "-" or _is_stdout(Path(output)):
        raise InputError(
            f"{output}: standard output is for what is told, not for files",
            hint="give the name of a file: it appears when it is whole",
        )


def check_form(output: str) -> None:
    """Refuse a name that promises something else, such as a tar that is compressed as a whole."""
    path = Path(output)
    if output.endswith(("/", ".tar")) or (path.exists() and not path.is_file()):
        return
    raise InputError(
        f"{output}: expected FILE.tar, or FOLDER/ with a slash at the end",
        hint="layers are compressed inside of it: see --compression of slimpack build",
    )


def root_format(output: str, given: str | None) -> str:
    """Return in which of `ROOT_FORMATS` to write a file, "" for an image as it is.

    given: a format, "oci" for an image, or None to tell it from how the name ends. Raises
    InputError for a name that says another one, or that no image has.
    """
    named = next((kind for end, kind in ROOT_SUFFIXES.items() if output.endswith(end)), "")
    if given in ROOT_FORMATS:
        said = named or ("an image" if output.endswith(("/", ".tar")) else given)
        if said != given or Path(output).is_dir():
            raise InputError(
                f"{output} is named like {said if said != given else 'a folder'}, but {given} "
                "was asked for",
                hint="change the name, or leave out --format: the name decides",
            )
        return given
    if named and given is None:
        return named
    try:
        check_form(output)
    except InputError as error:
        if given is None:
            error.hint = "or FILE.sqsh, FILE.squashfs, FILE.sif: a root file system for HPC sites"
        raise
    return ""


def _is_stdout(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(1)) and not path.samefile(os.devnull)
    except OSError:  # it does not exist, or standard output is closed
        return False


def environment_name(path: str) -> str:
    """Return what an archive's environment is called: a file's name without its ending.

    Only letters, digits and ``. _ + -`` are left, since scripts hold the name.
    """
    stem = re.sub(r"(\.tar)?\.[A-Za-z0-9]+\Z", "", Path(path).name)
    return re.sub(r"[^A-Za-z0-9._+-]", "-", stem).lstrip("-.") or "env"


def default_output(config: Config, suffix: str) -> str:
    """Return where an archive goes when nobody says it: here, named as the input is.

    conda-pack, too, names it after the environment's folder. Match specs have no name.
    """
    inputs = config.env.inputs
    source = Path(inputs[0]) if inputs else Path()
    named = len(inputs) == 1 and source.exists()
    return f"{environment_name(str(source.resolve())) if named else 'env'}{suffix}"
