"""Reading what micromamba prints: plans, problems, messages.

Format: the JSON of ``create --json --dry-run`` and the log lines
``LEVEL libmamba TEXT`` on standard error, as micromamba 2.8.1 writes them
(recordings in tests/data/micromamba). Keys with nothing in them are left out:
``FETCH`` is not there when the package cache has everything, and ``LINK`` is
not there when there is nothing to link.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from slimpack.errors import InputError, InstallError, SlimpackError

_LOG_LINE = re.compile(r"(trace|debug|info|warning|error|critical) +libmamba (.*)")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s#]+/[^\s#/]+/[^\s#/]+\.(?:conda|tar\.bz2)\Z")
_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_LARGEST = 2**63 - 1
# What follows is advice for micromamba's own cache and bug tracker.
_ADVICE = "If you run into this error repeatedly"
_TAIL = 4000
_BROKEN_HINT = "run it again with --engine rattler; report it if it stays"


def read_plan(text: str) -> tuple[dict[str, Any], ...]:
    """Return the package records of a plan, in order of name; () for an empty plan.

    They are those of ``FETCH`` and ``LINK`` together, each URL once, with the
    keys of repodata.json. Raises SlimpackError for anything that is no plan.
    """
    actions = _json(text).get("actions")
    if actions is None:
        return ()
    if not isinstance(actions, dict):
        raise _no_plan("'actions' is not an object")
    records: dict[str, dict[str, Any]] = {}
    for action in ("FETCH", "LINK"):
        entries = actions.get(action, [])
        if not isinstance(entries, list):
            raise _no_plan(f"'{action}' is not a list")
        for entry in entries:
            record = _record(entry)
            known = records.setdefault(record["url"], {})
            known.update({key: value for key, value in record.items() if value or key not in known})
    return tuple(sorted(records.values(), key=lambda record: str(record["name"])))


def solver_problems(text: str) -> tuple[str, ...] | None:
    """Return what the solver complains of, None when `text` does not say that it failed."""
    try:
        answer = _json(text)
    except SlimpackError:
        return None
    problems = answer.get("solver_problems")
    return tuple(map(str, problems)) if isinstance(problems, list) else None


def errors(text: str) -> str:
    """Return the error messages of standard error, without their log prefixes.

    When there is none, the end of the text: something else wrote it.
    """
    text = _ESCAPES.sub("", text)
    found: list[str] = []
    wanted = False
    for line in text.splitlines():
        match = _LOG_LINE.match(line)
        if match:
            wanted = match[1] in ("error", "critical")
        if wanted and _ADVICE in line:
            wanted = False
        if wanted and (match[2] if match else line).strip():
            found.append(match[2] if match else line)
    return "\n".join(dict.fromkeys(found)) or text[-_TAIL:].strip()


def failure(stderr: str, code: int, where: str) -> SlimpackError:
    """Return the error to raise for a call that failed for another reason than the solver's."""
    details = errors(stderr)
    if re.search(r"(?i)error parsing \w*matchspec", details):
        return InputError(
            f"{where}: micromamba cannot read a spec",
            details=details,
            hint="write it as NAME, or as NAME VERSION such as 'numpy >=2'",
        )
    if re.search(r"Download error|not loaded!|Subdir .* not found", details):
        return InstallError(
            f"{where}: a channel could not be read",
            details=details,
            hint="check the channel's name and the network; a local one is written file:///path",
        )
    return SlimpackError(
        f"{where}: micromamba failed (exit code {code})", details=details, hint=_BROKEN_HINT
    )


def _json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_plan(f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise _no_plan("not an object")
    return data


def _record(entry: object) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise _no_plan("a package is not an object")
    record = {
        key: _value(entry, key, accepts, default) for key, (accepts, default) in _FIELDS.items()
    }
    build_string = record.pop("build_string")
    record["build"] = record["build"] or build_string
    if isinstance(record["track_features"], str):
        record["track_features"] = re.findall(r"[^,\s]+", record["track_features"])
    for key in ("name", "version", "build", "subdir", "url"):
        if not record[key]:
            raise _no_plan(f"a package has no '{key}'")
    if record["url"].rsplit("/", 2)[1] != record["subdir"]:
        raise _no_plan(f"{record['name']}: 'url' and 'subdir' differ")
    return record


def _value(
    entry: Mapping[str, Any], key: str, accepts: Callable[[Any], bool], default: object
) -> Any:
    value = entry.get(key)
    if value is None or value == default:
        return default
    if not accepts(value):
        raise _no_plan(f"a package's '{key}' is {str(value)[:80]!r}")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _is_moment(value: object) -> bool:
    # Milliseconds of the year 9999.
    return _is_number(value) and int(str(value)) <= 253_402_300_799_999


def _matches(pattern: str | re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.match(pattern, value) is not None


_FIELDS: dict[str, tuple[Callable[[Any], bool], object]] = {
    "name": (_matches(_NAME), ""),
    "version": (_is_text, ""),
    "build": (_is_text, ""),
    "build_string": (_is_text, ""),
    "build_number": (_is_number, 0),
    "subdir": (_matches(_NAME), ""),
    "url": (_matches(_URL), ""),
    "sha256": (_matches(r"[0-9a-f]{64}\Z"), ""),
    "md5": (_matches(r"[0-9a-f]{32}\Z"), ""),
    "depends": (_is_texts, []),
    "constrains": (_is_texts, []),
    "size": (_is_number, 0),
    "license": (_is_text, ""),
    "noarch": (_matches(r"(?:python|generic)\Z"), ""),
    "python_site_packages_path": (_is_text, ""),
    "timestamp": (_is_moment, 0),
    "track_features": (lambda value: _is_text(value) or _is_texts(value), ""),
}


def _no_plan(reason: str) -> SlimpackError:
    return SlimpackError(f"micromamba's plan cannot be read: {reason}", hint=_BROKEN_HINT)
