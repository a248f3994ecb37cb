"""YAML of strangers, with limits; see `slimpack.env.inputs.text.parse_yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from slimpack.errors import InputError

# Aliases let a few lines stand for more than memory holds.
_MAX_NODES = 2_000_000
_MAX_DEPTH = 100
# libyaml is ten times faster, which a conda-lock.yml of a megabyte needs.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, path: Path) -> object:
    """Return the data of a YAML document; InputError as `parse_yaml` says."""
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
