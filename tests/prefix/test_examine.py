from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.channel import PLACEHOLDER
from slimpack.env.meta import read_installed
from slimpack.errors import InputError
from slimpack.prefix.compare import State
from slimpack.prefix.examination import Examination, Verdict
from slimpack.prefix.examine import examine
from tests.prefix.conftest import SITE, pip_install, pip_uninstall
from tests.support.channel import MiniChannel


def look(prefix: Path, *accept: str) -> Examination:
    return examine(prefix, read_installed(prefix), accept=accept)


def refused(prefix: Path, *accept: str) -> InputError:
    with pytest.raises(InputError) as caught:
        look(prefix, *accept)
    return caught.value


def rewrite(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def test_an_untouched_environment(env: Path) -> None:
    examination = look(env)
    assert examination.findings == ()
    assert examination.notes == ()
    assert examination.dropped == frozenset()
    assert examination.origin == str(env)


@pytest.mark.parametrize(
    "path",
    ["lib/plain.txt", "lib/data.bin", "share/config.txt", "bin/tool", "bin/link", "bin/wl"],
)
def test_a_deleted_file_is_named(env: Path, path: str) -> None:
    (env / path).unlink()
    error = refused(env)
    assert f"  {path} (package " in error.details
    assert "deleted" in error.details
    assert f'accept_changes = ["{path}"]' in error.hint
    assert f'--accept-changes "{path}"' in error.hint
    accepted = look(env, path)
    assert [finding.verdict for finding in accepted.findings] == [Verdict.ACCEPTED]
    assert "accepted" in accepted.notes[0]


@pytest.mark.parametrize("path", ["lib/plain.txt", "lib/data.bin", "share/config.txt", "bin/tool"])
def test_a_changed_file_is_named_with_what_is_known(env: Path, path: str) -> None:
    data = (env / path).read_bytes()
    (env / path).unlink()
    (env / path).write_bytes(data + b"x")
    os.utime(env / path, (4_000_000_000, 4_000_000_000))
    error = refused(env)
    assert f"  {path} (package prefixed): changed, {len(data) + 1} bytes" in error.details
    assert "written 2096-10-02 07:06 UTC, after it was installed" in error.details
    assert "install prefixed again" in error.hint


def test_a_glob_accepts_no_more_than_it_says(env: Path) -> None:
    (env / "lib/plain.txt").unlink()
    (env / "share/config.txt").unlink()
    error = refused(env, "lib/*")
    assert "lib/plain.txt" not in error.details
    assert "share/config.txt" in error.details


def test_a_package_that_somebody_removed_by_hand_is_one_line(env: Path) -> None:
    for path in ("lib/plain.txt", "lib/data.bin", "share/config.txt", "bin/tool", "bin/link"):
        (env / path).unlink()
    (env / "bin/from-env").unlink()
    error = refused(env)
    assert error.details == "  package prefixed 1.0: none of its files is there"


def test_many_are_counted(mini: MiniChannel, install: Callable[..., Path], tmp_path: Path) -> None:
    mini.add("many", {f"lib/f{number:02}": "x" for number in range(31)})
    prefix = install(mini, "many")
    for number in range(30):
        (prefix / f"lib/f{number:02}").unlink()
    error = refused(prefix)
    assert "30 differences" in error.message
    assert error.details.endswith("  and 10 more")


def test_an_upgrade_by_pip_names_it(env: Path) -> None:
    pip_uninstall(env, "wheel_like", "1.0")
    pip_install(
        env,
        "wheel_like",
        "2.0",
        {"wheel_like/__init__.py": "version = 2\n", "wheel_like/same.py": "same = 1\n"},
    )
    examination = look(env)
    assert {finding.verdict for finding in examination.findings} == {Verdict.REPLACED}
    assert {finding.why for finding in examination.findings} == {
        "replaced by pip package wheel-like 2.0"
    }
    assert examination.dropped == {"wheel-like"}
    assert examination.owners[f"{SITE}/wheel_like/same.py"] == "pypi:wheel-like"
    assert any("nothing is left of package wheel-like" in note for note in examination.notes)


def test_pip_that_writes_over_files_leaves_the_rest(env: Path) -> None:
    """``--ignore-installed`` removes nothing."""
    pip_install(env, "wheel_like", "2.0", {"wheel_like/__init__.py": "version = 2\n"})
    examination = look(env)
    [finding] = examination.findings
    assert finding.path == f"{SITE}/wheel_like/__init__.py"
    assert finding.why == "replaced by pip package wheel-like 2.0"
    assert examination.dropped == frozenset()
    assert examination.lost["wheel-like"] == {finding.path}


def test_another_distribution_takes_a_file(env: Path) -> None:
    pip_install(env, "other", "3.0", {"wheel_like/old.py": "other = 1\n"})
    [finding] = look(env).findings
    assert finding.why == "replaced by pip package other 3.0"


def test_a_file_of_pip_that_was_edited_is_not_pips(env: Path) -> None:
    pip_install(env, "wheel_like", "2.0", {"wheel_like/__init__.py": "version = 2\n"})
    rewrite(env / SITE / "wheel_like/__init__.py", "version = 3\n")
    assert f"{SITE}/wheel_like/__init__.py (package wheel-like): changed" in refused(env).details


def test_the_same_version_anew(env: Path) -> None:
    pip_install(env, "wheel_like", "1.0", {"wheel_like/__init__.py": "version = 1.5\n"})
    examination = look(env)
    assert {finding.why for finding in examination.findings} == {
        "replaced by pip package wheel-like 1.0"
    }
    assert examination.owners[f"{SITE}/wheel_like/__init__.py"] == "pypi:wheel-like"


def test_pip_uninstall(env: Path) -> None:
    pip_uninstall(env, "wheel_like", "1.0")
    examination = look(env)
    assert examination.dropped == {"wheel-like"}
    assert all("pip uninstall" in finding.why for finding in examination.findings)


def test_metadata_alone_is_not_an_uninstall(env: Path) -> None:
    shutil.rmtree(env / SITE / "wheel_like-1.0.dist-info")
    assert "METADATA (package wheel-like): deleted" in refused(env).details


def test_pip_does_not_explain_libraries(
    packages: MiniChannel, install: Callable[..., Path]
) -> None:
    """pip removes what a wheel can bring; a library beside it somebody else removed."""
    packages.add(
        "mixed",
        {
            "lib/libmixed.so": "x",
            f"{SITE}/mixed/__init__.py": "",
            f"{SITE}/mixed-1.0.dist-info/METADATA": "Name: mixed\nVersion: 1.0\n",
        },
    )
    prefix = install(packages, "mixed")
    shutil.rmtree(prefix / SITE)
    (prefix / "lib/libmixed.so").unlink()
    error = refused(prefix)
    assert "1 difference " in error.message
    assert "libmixed" in error.details


def test_two_packages_and_conda_s_last_one_wins(
    mini: MiniChannel, install: Callable[..., Path]
) -> None:
    mini.add("first", {"share/x": "1", "share/a": "a"})
    mini.add("second", {"share/y": "2"})
    prefix = install(mini, "first", "second")
    first = json.loads((prefix / "conda-meta/first-1.0-0.json").read_text())
    record = prefix / "conda-meta/second-1.0-0.json"
    data = json.loads(record.read_text())
    data["files"].append("share/x")
    entry = dict(first["paths_data"]["paths"][-1], sha256=data["paths_data"]["paths"][0]["sha256"])
    data["paths_data"]["paths"].append({**entry, "_path": "share/x"})
    rewrite(record, json.dumps(data))
    (prefix / "share/x").unlink()
    (prefix / "share/x").write_text("2")
    examination = look(prefix)
    assert examination.holders["share/x"].package.name == "second"
    assert examination.lost["first"] == {"share/x"}
    assert examination.findings[0].why == "package second has a file of that name too"


def test_harmless_deletions_are_told(mini: MiniChannel, install: Callable[..., Path]) -> None:
    mini.add("lib", {"include/x.h": "h", "lib/libx.a": "a", "lib/libx.so": "so"})
    prefix = install(mini, "lib")
    (prefix / "include/x.h").unlink()
    (prefix / "lib/libx.a").unlink()
    examination = look(prefix)
    assert {finding.verdict for finding in examination.findings} == {Verdict.HARMLESS}
    assert "1 file of package lib deleted: harmless (headers: only compilers read them)" in (
        examination.notes
    )
    rewrite(prefix / "lib/libx.so", "other")
    assert "libx.so" in refused(prefix).details


def test_an_entry_point_that_an_installer_wrote_anew(env: Path) -> None:
    rewrite(env / "bin/wl", "#!/usr/bin/env python3.11\nprint()\n")
    [finding] = look(env).findings
    assert finding.verdict is Verdict.HARMLESS


def test_what_no_image_can_hold(env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(env / "share/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(env)  # the path of a socket is short
        server.bind("sock")
        monkeypatch.undo()
        (env / "share/out").symlink_to("/etc/passwd")
        (env / "share/climb").symlink_to("../../../x")
        (env / "share/ok").symlink_to(env / "share/config.txt")
        with open(os.fsencode(env) + b"/share/\xff", "wb"):
            pass
        error = refused(env)
    assert "share/fifo (no package): a FIFO" in error.details
    assert "sock (no package): a socket" in error.details
    assert "share/out (no package): a link out of the environment, to /etc/passwd" in error.details
    assert "share/climb (no package): a link out" in error.details
    assert r"share/\udcff' (no package): a name that is not UTF-8" in error.details
    assert "share/ok" not in error.details
    assert "5 differences" in error.message


def test_links_that_a_package_brought_may_lead_out(
    mini: MiniChannel, install: Callable[..., Path]
) -> None:
    from benchmarks.channel import Symlink

    mini.add("certs", {"ssl/certs": Symlink("/etc/ssl/certs")})
    assert look(install(mini, "certs")).findings == ()


def test_unreadable_files_are_named(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith("plain.txt") and real(path, mode)
    )
    assert "lib/plain.txt (package prefixed): not readable" in refused(env).details


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", ""])
def test_records_that_lead_out_of_the_prefix(env: Path, path: str) -> None:
    record = env / "conda-meta/prefixed-1.0-0.json"
    data = json.loads(record.read_text())
    data["files"].append(path)
    rewrite(record, json.dumps(data))
    assert "prefixed-1.0-0.json" in refused(env).message


def test_a_base_installation(env: Path) -> None:
    for name in ("pkgs", "envs", ".git"):
        (env / name).mkdir()
        (env / name / "x").write_text("x")
    os.mkfifo(env / "pkgs/fifo")
    examination = look(env)
    assert not [path for path in examination.unmanaged if path.endswith("/x")]
    assert "envs/ is no part of the environment and is left out" in examination.notes


def test_old_records_say_only_which_files(env: Path) -> None:
    for record in (env / "conda-meta").glob("*.json"):
        data = json.loads(record.read_text())
        del data["paths_data"]
        rewrite(record, json.dumps(data))
    rewrite(env / "lib/plain.txt", "nobody can tell")
    assert look(env).findings == ()
    (env / "lib/plain.txt").unlink()
    assert "lib/plain.txt" in refused(env).details


def test_installed_digest_stands_in_for_the_packaged_one(env: Path) -> None:
    """Where the bytes cannot be restored, the installer's own digest proves them."""
    record = env / "conda-meta/prefixed-1.0-0.json"
    data = json.loads(record.read_text())
    for item in data["paths_data"]["paths"]:
        if "sha256_in_prefix" in item:
            item["sha256"] = "0" * 64
    rewrite(record, json.dumps(data))
    assert look(env).findings == ()
    rewrite(env / "share/config.txt", "changed")
    assert "share/config.txt" in refused(env).details


def test_a_moved_environment_is_known_by_its_files(env: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    env.rename(moved)
    examination = look(moved)
    assert examination.origin == str(env)
    assert examination.findings == ()
    assert str(moved) in examination.notes[0]
    link = tmp_path / "link"
    link.symlink_to(moved)
    assert look(link).origin == str(env)


def test_progress_counts_bytes(env: Path) -> None:
    class Task:
        done = 0

        def __enter__(self) -> Task:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, amount: int = 1) -> None:
            self.done += amount

        def total(self, amount: int) -> None:
            raise AssertionError

    class Listener:
        task_ = Task()
        amount = 0

        def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Task:
            self.amount = total or 0
            return self.task_

        def note(self, message: str) -> None: ...

        def warn(self, message: str) -> None: ...

    listener = Listener()
    examine(env, read_installed(env), progress=listener)
    assert listener.amount == listener.task_.done > 0


def test_a_first_line_with_env_does_not_tell_where_it_was(env: Path, tmp_path: Path) -> None:
    """conda-pack writes such lines; their packaged form comes out right for any path."""
    script = env / "bin/tool"
    text = script.read_text().partition("\n")[2]
    rewrite(script, f"#!/usr/bin/env python3.11 -s\n{text}")
    shutil.move(env, tmp_path / "moved")
    assert look(tmp_path / "moved").origin != "/usr"


def test_packages_may_have_come_by_a_link_and_without_it(env: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(env)
    config = env / "share/config.txt"
    rewrite(config, config.read_text().replace(str(env), str(link)))
    examination = look(link)
    assert examination.findings == ()
    assert {examination.holders[path].state for path in ("share/config.txt", "lib/data.bin")} == {
        State.RESTORED
    }


def test_an_installed_file_that_names_another_place(env: Path) -> None:
    """As conda-pack leaves libraries when its package cache is gone."""
    config = env / "share/config.txt"
    rewrite(config, "root = /somewhere/else/share\n")
    record = next((env / "conda-meta").glob("prefixed-*.json"))
    data = json.loads(record.read_text())
    (declared,) = [
        item for item in data["paths_data"]["paths"] if item["_path"] == "share/config.txt"
    ]
    declared["sha256_in_prefix"] = hashlib.sha256(config.read_bytes()).hexdigest()
    rewrite(record, json.dumps(data))
    assert "share/config.txt (package prefixed): names another place" in str(refused(env).details)


def test_placeholders_left_in_activation_are_told(
    mini: MiniChannel, install: Callable[..., Path]
) -> None:
    path = "etc/conda/env_vars.d/act.json"
    text = f'{{"ACT": "{PLACEHOLDER}/share"}}'
    mini.add("act", {path: text})
    prefix = install(mini, "act")
    assert not look(prefix).unfinished
    rewrite(prefix / path, text)
    assert look(prefix).unfinished
