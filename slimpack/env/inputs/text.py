"""Reading small text files that users hand over: UTF-8, YAML and TOML, with limits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from slimpack.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_SPEC_BYTES = 4 * 1024 * 1024
# Locks of several platforms and environments grow to tens of megabytes.
MAX_LOCK_BYTES = 64 * 1024 * 1024
# Aliases let a few lines stand for more than memory holds.
_MAX_NODES = 2_000_000
_MAX_DEPTH = 100
# libyaml is ten times faster, which a conda-lock.yml of a megabyte needs.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    loader: Any = None
    try:
        _check_depth(text, path)
        loader = _LOADER(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _expanded(node, path, {})
        data: object = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        if "nesting depth" in problem:  # libyaml's own limit, since 0.2.6
            problem = "nested too deeply"
        raise InputError(f"{path}:{where} not valid YAML: {problem}") from error
    except (ValueError, TypeError) as error:  # dates such as 2001-13-45
        raise InputError(f"{path}: not valid YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return data


def _check_depth(text: str, path: Path) -> None:
    """Refuse deep nesting before anything recursive sees it: libyaml's composer would crash."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise InputError(f"{path}: nested too deeply (more than {_MAX_DEPTH} levels)")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _expanded(node: yaml.Node, path: Path, sizes: dict[int, int]) -> int:
    """Return how many nodes there are when every alias is written out."""
    if (known := sizes.get(id(node))) is not None:
        if known == 0:
            raise InputError(
                f"{path}: line {node.start_mark.line + 1}: an alias that contains itself"
            )
        return known
    sizes[id(node)] = 0  # under way
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    size = 1 + sum(_expanded(child, path, sizes) for child in children)
    if size > _MAX_NODES:
        raise InputError(f"{path}: its aliases expand to more than {_MAX_NODES} values")
    sizes[id(node)] = size
    return size


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return the data of a TOML document; InputError with line and column when it has none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error


def type_name(value: object) -> str:
    """Return what a value is, in a user's words."""
    names = {dict: "a mapping", list: "a list", str: "a string", type(None): "nothing"}
    return names.get(type(value), f"{type(value).__name__} {str(value)[:40]}")
