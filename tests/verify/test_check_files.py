"""A planted fault for each check that looks at files, beside the same files without it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from slimpack.verify.prefixes import GENERIC_PLACEHOLDERS
from slimpack.verify.subject import Start
from tests.verify.subjects import PREFIX, SITE, Link, Mode, conda_record, findings, subject

BIN = f"{PREFIX}/bin"
META = f"{PREFIX}/conda-meta"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- interpreters -------------------------------------------------------------------------


def script(line: str) -> Mode:
    return Mode(0o755, f"{line}\nprint(1)\n")


PYTHON = {f"{BIN}/python3.11": Mode(0o755, b"\x7fELF"), f"{BIN}/python": Link("python3.11")}


@pytest.mark.parametrize(
    "line",
    [
        f"#!/{BIN}/python",
        f"#! /{BIN}/python3.11 -I",
        f"#!/bin/sh\n'''exec' \"/{BIN}/python\" \"$0\" \"$@\"\n' '''",
        "#!/usr/bin/env python",
        "#!/usr/bin/env -S python -u",
        "print(1)",
    ],
)
def test_an_interpreter_that_is_there(tmp_path: Path, line: str) -> None:
    base = {"bin/sh": Mode(0o755), "usr/bin/env": Mode(0o755)}
    assert (
        findings("interpreters", subject(tmp_path, {**PYTHON, **base, f"{BIN}/x": script(line)}))
        == []
    )


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (f"#!/{BIN}/python3.12", f"/{BIN}/python3.12"),
        ("#!/tmp/build/env/bin/python", "/tmp/build/env/bin/python"),
        ("#!/bin/sh\n'''exec' \"/old/bin/python\" \"$0\" \"$@\"\n' '''", "/old/bin/python"),
        ("#!/usr/bin/env -S python3.9 -u", "python3.9"),
    ],
)  # fmt: skip
def test_an_interpreter_that_is_missing(tmp_path: Path, line: str, missing: str) -> None:
    base = {"bin/sh": Mode(0o755), "usr/bin/env": Mode(0o755)}
    on = subject(tmp_path, {**PYTHON, **base, f"{BIN}/x": script(line)})
    message = f"its interpreter {missing} is not there, or cannot be run"
    assert findings("interpreters", on) == [("error", f"{BIN}/x", message)]


def test_an_interpreter_that_may_not_be_run(tmp_path: Path) -> None:
    on = subject(tmp_path, {f"{BIN}/python": Mode(0o644), f"{BIN}/x": script(f"#!/{BIN}/python")})
    assert [one[:2] for one in findings("interpreters", on)] == [("error", f"{BIN}/x")]


def test_a_package_s_script_for_a_shell_is_only_noted(tmp_path: Path) -> None:
    names = [f"bin/{name}" for name in ("a", "b")]
    files = {f"{PREFIX}/{name}": script("#!/bin/sh") for name in names}
    record = {f"{META}/tool-1.0-0.json": conda_record("tool", names)}
    message = "2 scripts need /bin/sh, which the base does not have"
    assert findings("interpreters", subject(tmp_path, {**files, **record})) == [
        ("info", f"{BIN}/a", message)
    ]


def test_the_application_s_script_for_a_shell_is_an_error(tmp_path: Path) -> None:
    found = findings("interpreters", subject(tmp_path, {"app/start": script("#!/bin/sh")}))
    assert [one[:2] for one in found] == [("error", "app/start")]


def test_a_first_line_that_old_kernels_cut(tmp_path: Path) -> None:
    line = f"#!/{BIN}/python {'-' * 120}"
    found = findings("interpreters", subject(tmp_path, {**PYTHON, f"{BIN}/x": script(line)}))
    assert [one[:2] for one in found] == [("warning", f"{BIN}/x")]


# --- entrypoint ---------------------------------------------------------------------------

TOOL = {f"{BIN}/tool": Mode(0o755, b"\x7fELF")}


def start(*command: str, workdir: str = "", user: str = "65532") -> Start:
    return Start(entrypoint=command, env=(("PATH", f"/{BIN}"),), user=user, workdir=workdir)


@pytest.mark.parametrize(
    ("files", "begin"),
    [
        (TOOL, start("tool")),
        (TOOL, start(f"/{BIN}/tool")),
        ({**TOOL, "usr/tool": Link(f"/{BIN}/tool")}, start("/usr/tool")),
        ({"app/run": Mode(0o755, "#!x")}, start("./run", workdir="/app")),
        ({f"{BIN}/tool": Mode(0o700)}, start("tool", user="root")),
    ],
)
def test_an_entrypoint_that_starts(tmp_path: Path, files: dict[str, Any], begin: Start) -> None:
    assert findings("entrypoint", subject(tmp_path, files, start=begin)) == []


@pytest.mark.parametrize(
    ("files", "begin", "message"),
    [
        ({}, start("tool"), "there is no program 'tool' in the image"),
        (TOOL, start("/usr/bin/tool"), "there is no program '/usr/bin/tool' in the image"),
        ({f"{BIN}/tool": Link("gone")}, start("tool"), "there is no program"),
        ({f"{BIN}/tool": Mode(0o644)}, start("tool"), "has mode 0644: the user 65532 may not"),
        ({f"{BIN}/tool": Mode(0o750)}, start("tool"), "has mode 0750"),
        ({f"{BIN}/tool": Mode(0o711, "#!/x")}, start("tool"), "is a script that the user 65532"),
        ({f"{BIN}/tool/x": ""}, start(f"/{BIN}/tool"), "is a folder"),
        ({**TOOL, BIN: Mode(0o700, None)}, start("tool"), f"lies in /{BIN}, which the user 65532"),
        ({f"{BIN}/tool": Mode(0o644)}, start("tool", user="root"), "has mode 0644"),
        (TOOL, start("tool", user="nobody"), "the image has no user 'nobody'"),
        ({**TOOL, "app": ""}, start("tool", workdir="/app"), "the working directory /app is no"),
        (
            {**TOOL, "app": Mode(0o700, None)},
            start("tool", workdir="/app"),
            "the user 65532 may not enter the working directory",
        ),
    ],
)
def test_an_entrypoint_that_does_not_start(
    tmp_path: Path, files: dict[str, Any], begin: Start, message: str
) -> None:
    ((severity, _, found),) = findings("entrypoint", subject(tmp_path, files, start=begin))
    assert severity == "error"
    assert message in found


def test_an_image_without_a_command_and_without_its_folder(tmp_path: Path) -> None:
    found = findings("entrypoint", subject(tmp_path, TOOL, start=start(workdir="/app")))
    assert [severity for severity, _, _ in found] == ["warning", "warning"]


# --- build paths --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["head", "across"])
def test_a_build_path_in_a_file(tmp_path: Path, where: str) -> None:
    text = b"/root/.cache/slimpack/tmp/b1"
    filler = b"" if where == "head" else bytes((1 << 20) - 7)
    on = subject(tmp_path, {"opt/env/lib/x.so": filler + text + b"\0", "opt/env/lib/y": b"/root/"})
    assert findings("build-paths", on) == []
    found = findings("build-paths", on, forbidden=(text[:-3],))
    assert [one[:2] for one in found] == [("error", "opt/env/lib/x.so")]
    assert "/root/.cache/slimpack/tmp" in found[0][2]


def test_a_placeholder_a_link_and_a_variable(tmp_path: Path) -> None:
    path = f"/home/x/{GENERIC_PLACEHOLDERS[0]}/lib"
    on = subject(
        tmp_path,
        {"app/y": f"see {path}", "app/z": Link(path)},
        start=Start(entrypoint=("x",), env=(("LIB", path),)),
    )
    found = findings("build-paths", on)
    assert [one[:2] for one in found] == [("error", ""), ("error", "app/y"), ("error", "app/z")]
    assert "LIB" in found[0][2]


def test_records_of_an_environment_name_placeholders_by_design(tmp_path: Path) -> None:
    text = f"/x/{GENERIC_PLACEHOLDERS[0]}"
    record = conda_record("a", [], paths_data={"paths": []}, note=text)
    files = {"conda-meta/a-1.0-0.json": record, "bin/conda-unpack": text}
    assert findings("build-paths", subject(tmp_path, files, kind="archive")) == []
    on = subject(tmp_path, {**files, "lib/other": text}, kind="archive")
    assert [one[:2] for one in findings("build-paths", on)] == [("error", "lib/other")]


# --- modes --------------------------------------------------------------------------------


def test_modes_as_they_should_be(tmp_path: Path) -> None:
    files = {"app/x": "", "tmp": Mode(0o1777, None), "app/link": Link("x"), **TOOL}
    assert findings("modes", subject(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (Mode(0o4755), "is setuid (mode 4755)"),
        (Mode(0o2755), "is setgid (mode 2755)"),
        (Mode(0o666), "can be changed by anybody (mode 0666)"),
        (Mode(0o777, None), "can be changed by anybody (mode 0777)"),
        (Mode(0o600), "the image's user (65532) may not read it (mode 0600)"),
        (Mode(0o700, None), "the image's user (65532) may not read it (mode 0700)"),
    ],
)
def test_a_mode_that_is_wrong(tmp_path: Path, mode: Mode, message: str) -> None:
    ((severity, path, found),) = findings("modes", subject(tmp_path, {"app/x": mode}))
    assert (severity, path) == ("error", "app/x")
    assert found.startswith(message)


def test_what_lies_in_a_closed_folder_is_told_once(tmp_path: Path) -> None:
    on = subject(tmp_path, {"app": Mode(0o700, None), "app/a/x": Mode(0o600), "app/b": Mode(0o600)})
    assert [path for _, path, _ in findings("modes", on)] == ["app"]


def test_a_base_s_setuid_program_is_a_warning(tmp_path: Path) -> None:
    on = subject(tmp_path, {"usr/bin/su": Mode(0o4755)}, below=frozenset({"usr/bin/su"}))
    assert [one[:2] for one in findings("modes", on)] == [("warning", "usr/bin/su")]


# --- records ------------------------------------------------------------------------------

DATA = b"content\n"


def conda_files(content: bytes = DATA, **path: str) -> dict[str, Any]:
    item = {"_path": "lib/a.txt", "sha256": sha256(DATA), **path}
    return {
        f"{PREFIX}/lib/a.txt": content,
        f"{META}/a-1.0-0.json": conda_record("a", ["lib/a.txt"], paths_data={"paths": [item]}),
    }


def dist_files(content: bytes = DATA) -> dict[str, Any]:
    digest = base64.urlsafe_b64encode(hashlib.sha256(DATA).digest()).rstrip(b"=").decode()
    return {
        f"{SITE}/mod.py": content,
        f"{SITE}/mod-1.dist-info/METADATA": "Name: mod\nVersion: 1\nLicense: MIT\n",
        f"{SITE}/mod-1.dist-info/RECORD": f"mod.py,sha256={digest},8\nmod-1.dist-info/METADATA,,\n",
    }


def test_records_that_are_true(tmp_path: Path) -> None:
    assert findings("records", subject(tmp_path, {**conda_files(), **dist_files()})) == []


def test_a_digest_in_the_prefix_counts_more(tmp_path: Path) -> None:
    files = conda_files(b"moved", sha256_in_prefix=sha256(b"moved"))
    assert findings("records", subject(tmp_path, files)) == []


def test_files_that_are_not_as_recorded(tmp_path: Path) -> None:
    on = subject(tmp_path, {**conda_files(b"changed\n"), **dist_files(b"changed\n")})
    dist = f"{SITE}/mod-1.dist-info/METADATA"
    assert findings("records", on) == [
        ("error", f"{PREFIX}/lib/a.txt", f"is not what /{META}/a-1.0-0.json says (SHA-256)"),
        ("error", f"{SITE}/mod.py", f"is not what /{dist} says (SHA-256)"),
    ]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    files = {f"{META}/a-1.0-0.json": conda_record("a", ["lib/a.txt", "lib/a.pyc"])}
    message = f"/{META}/a-1.0-0.json lists it, but it is not there"
    assert findings("records", subject(tmp_path, files)) == [
        ("error", f"{PREFIX}/lib/a.txt", message)
    ]


def test_many_are_counted(tmp_path: Path) -> None:
    names = [f"lib/{number}" for number in range(50)]
    found = findings(
        "records", subject(tmp_path, {f"{META}/a-1.0-0.json": conda_record("a", names)})
    )
    assert len(found) == 21
    assert any("30 more files" in message for _, _, message in found)


def test_one_of_two_claims_is_enough(tmp_path: Path) -> None:
    other = conda_record(
        "b", ["lib/a.txt"], paths_data={"paths": [{"_path": "lib/a.txt", "sha256": "0" * 64}]}
    )
    files = {**conda_files(), f"{META}/b-1.0-0.json": other}
    assert findings("records", subject(tmp_path, files)) == []


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"name": 1}', '{"name": "a", "version": "1", "files": ["../../etc/passwd"]}'],
)
def test_a_record_that_is_none(tmp_path: Path, content: str) -> None:
    found = findings("records", subject(tmp_path, {f"{META}/a-1.0-0.json": content}))
    assert [one[:2] for one in found] == [("error", f"{META}/a-1.0-0.json")]


# --- licences -----------------------------------------------------------------------------

DEBIAN = {
    "var/lib/dpkg/status.d/libc6": "Package: libc6\nVersion: 2.36\n",
    "usr/share/doc/libc6/copyright": "GPL",
}


def licensed(*names: str) -> str:
    lines = "".join(f"License-File: {name}\n" for name in names)
    return f"Name: mod\nVersion: 1\nLicense: MIT\n{lines}"


def test_licences_that_are_kept(tmp_path: Path) -> None:
    files = {
        **DEBIAN,
        f"{SITE}/mod-1.dist-info/METADATA": licensed("LICENSE", "sub/NOTICE", "OLD"),
        f"{SITE}/mod-1.dist-info/LICENSE": "",
        f"{SITE}/mod-1.dist-info/licenses/sub/NOTICE": "",
        f"{SITE}/mod-1.dist-info/license_files/OLD": "",
        f"{META}/a-1.0-0.json": conda_record("a", []),
        "usr/share/doc/libc-bin": Link("libc6"),
        "var/lib/dpkg/status.d/libc-bin": "Package: libc-bin\nVersion: 2.36\n",
    }
    assert findings("licences", subject(tmp_path, files)) == []


def test_licences_that_are_gone(tmp_path: Path) -> None:
    files = {
        "var/lib/dpkg/status.d/libc6": DEBIAN["var/lib/dpkg/status.d/libc6"],
        f"{SITE}/mod-1.dist-info/METADATA": licensed("LICENSE"),
        f"{META}/a-1.0-0.json": conda_record("a", [], license=""),
    }
    assert [one[:2] for one in findings("licences", subject(tmp_path, files))] == [
        ("error", f"{SITE}/mod-1.dist-info/LICENSE"),
        ("error", "usr/share/doc/libc6/copyright"),
        ("warning", f"{META}/a-1.0-0.json"),
    ]
