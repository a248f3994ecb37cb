"""Reading TOML, and tables of it strictly: every key known, every type right.

`Table` hands out values by key and remembers which were asked for; `finish`
then refuses the keys that nobody knows, with the nearest known one.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from slimpack.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Choice = TypeVar("Choice", bound=str)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the data of a file; InputError for one that cannot be read, or is no TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{str(path)!r}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return parse_toml(text, path)


def parse_toml(text: str, where: str | Path) -> dict[str, Any]:
    """Return the data of a document; InputError, with line and column, when it has none.

    where: names it in errors.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid TOML: {error}") from error


class Table:
    """One table; `where` is the file, `name` the dotted path to the table ("" for the top)."""

    def __init__(self, data: object, where: str, name: str) -> None:
        self._where = where
        self._name = name
        self._asked: list[str] = []
        if not isinstance(data, Mapping):
            whole = f"{where}: {name}" if name else where
            raise InputError(f"{whole}: expected a table, got {_describe(data)}")
        self._data = data

    def fail(self, key: str, problem: str, *, hint: str = "") -> NoReturn:
        """Raise InputError that names the file and the key."""
        raise InputError(f"{self._where}: {self._full(key)}: {problem}", hint=hint)

    def finish(self) -> None:
        """Raise InputError for a key that was not asked for."""
        for key in self._data:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self._asked)}"
                self.fail(key, "unknown key", hint=hint)

    def names(self) -> tuple[str, ...]:
        """Return all keys, where they are names that the user chooses."""
        return tuple(self._data)

    def table(self, key: str) -> Table:
        """Return a table below this one, empty when absent."""
        return Table(self._get(key, {}), self._where, self._full(key))

    def tables(self, key: str) -> list[Table]:
        """Return the tables of an array of tables."""
        value = self._get(key, [])
        if not isinstance(value, list):
            self._mismatch(key, "an array of tables", value)
        return [
            Table(item, self._where, f"{self._full(key)}[{number}]")
            for number, item in enumerate(value, 1)
        ]

    def string(self, key: str, default: str = "") -> str:
        """Return a string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            self._mismatch(key, "a string", value)
        return value

    def strings(self, key: str, *, hint: str = "") -> tuple[str, ...]:
        """Return an array of strings."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._mismatch(key, "an array of strings", value, hint=hint)
        return tuple(value)

    def scalars(self, key: str) -> tuple[str | int, ...]:
        """Return an array of strings and integers."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(_is_int(i) or isinstance(i, str) for i in value):
            self._mismatch(key, "an array of integers or strings", value)
        return tuple(value)

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return a table of strings as pairs, in the order of the file."""
        value = self._get(key, {})
        if not isinstance(value, Mapping):
            self._mismatch(key, "a table of strings", value)
        for name, item in value.items():
            if not isinstance(item, str):
                self.fail(f"{key}.{name}", f"expected a string, got {_describe(item)}")
            if not name or "=" in name or "\0" in name + item:
                self.fail(f"{key}.{name}", "not a name and value that a process can be given")
        return tuple(value.items())

    def integer(self, key: str, default: int, *, minimum: int, maximum: int) -> int:
        """Return an integer within bounds."""
        value = self.optional_integer(key, minimum=minimum, maximum=maximum)
        return default if value is None else value

    def optional_integer(self, key: str, *, minimum: int, maximum: int) -> int | None:
        """Return an integer within bounds, or None when absent."""
        value = self._get(key, None)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self._mismatch(key, "an integer", value)
        if not minimum <= value <= maximum:
            self.fail(key, f"expected {minimum} to {maximum}, got {value}")
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            self._mismatch(key, "true or false", value)
        return value

    def choice(self, key: str, choices: tuple[Choice, ...], default: Choice) -> Choice:
        """Return one of some strings."""
        value = self.string(key, default)
        found = next((choice for choice in choices if choice == value), None)
        if found is None:
            near = difflib.get_close_matches(value, choices, n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            self.fail(
                key, f"expected one of {', '.join(filter(None, choices))}, got {value!r}", hint=hint
            )
        return found

    def path(self, key: str, folder: Path) -> Path | None:
        """Return a path, relative ones below `folder`; None when absent."""
        value = self.string(key)
        if "\0" in value:
            self.fail(key, "a path cannot hold the character NUL")
        return folder / value if value else None

    def _get(self, key: str, default: object) -> object:
        self._asked.append(key)
        return self._data.get(key, default)

    def _full(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _mismatch(self, key: str, expected: str, value: object, *, hint: str = "") -> NoReturn:
        self.fail(key, f"expected {expected}, got {_describe(value)}", hint=hint)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _describe(value: object) -> str:
    names = {dict: "a table", list: "an array", bool: "a boolean"}
    kind = names.get(type(value))
    return kind or f"{type(value).__name__} {value!r}"
