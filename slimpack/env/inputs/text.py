"""Reading small text files that users hand over: UTF-8, YAML and TOML, with limits."""

from __future__ import annotations

from pathlib import Path

from slimpack.errors import InputError

MAX_SPEC_BYTES = 4 * 1024 * 1024
# Locks of several platforms and environments grow to tens of megabytes.
MAX_LOCK_BYTES = 64 * 1024 * 1024


def read_text(path: Path, *, limit: int = MAX_SPEC_BYTES, what: str = "a specification") -> str:
    """Return the text of a small input file, at most `limit` bytes.

    what: the kind of file that was expected, for the message. Raises InputError.
    """
    try:
        if not path.is_file() and path.exists() and not path.is_dir():
            raise InputError(f"{path}: not a regular file, so not {what}")
        if path.stat().st_size > limit:
            raise InputError(f"{path}: larger than {limit >> 20} MiB, not {what}")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{str(path)!r}: {error}") from error
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}", hint="check the path of the specification"
        ) from error


def parse_yaml(text: str, path: Path) -> object:
    """Return the data of a YAML document; InputError with line and column when it has none.

    Only plain data (YAML's safe schema). Refused are documents that refer to
    themselves, that expand to millions of nodes or that nest deeper than 100.
    """
    from slimpack.env.inputs.yamltext import parse  # which takes a while to import

    return parse(text, path)


def type_name(value: object) -> str:
    """Return what a value is, in a user's words."""
    names = {dict: "a mapping", list: "a list", str: "a string", type(None): "nothing"}
    return names.get(type(value), f"{type(value).__name__} {str(value)[:40]}")
