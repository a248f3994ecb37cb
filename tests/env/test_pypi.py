from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.env.locks.lock import PypiPackage
from slimpack.env.meta import read_installed
from slimpack.env.pypi.resolve import resolve
from slimpack.errors import InputError, InstallError, SolveError
from slimpack.prefix.dist_records import with_dist_records
from slimpack.progress import SILENT
from slimpack.relocate import relocate
from tests.env.conftest import Base, Install, Resolve, snapshot
from tests.support.wheels import project, sdist, wheel

ENTRY_POINTS = "[console_scripts]\nalpha = alpha:main\n[gui_scripts]\nalpha-gui = alpha:main\n"


class Warnings:
    """Hears only what a user must act on."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warn(self, message: str) -> None:
        self.messages.append(message)

    task = staticmethod(SILENT.task)
    note = staticmethod(SILENT.note)


def locked(path: Path, name: str, version: str = "1.0") -> PypiPackage:
    return PypiPackage(name, version, path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest())


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def listing(prefix: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file of a prefix but conda's and the links, with that prefix made neutral."""
    conda = {file.path for package in read_installed(prefix).packages for file in package.files}
    return {
        path: (file.stat().st_mode, file.read_bytes().replace(str(prefix).encode(), b"PREFIX"))
        for above, _, names in os.walk(prefix)
        for file in (Path(above, name) for name in names)
        if (path := file.relative_to(prefix).as_posix()) not in conda
        and not file.is_symlink()
        and not path.startswith("conda-meta/")
        # Digests of scripts differ with the prefix: see tests/prefix/test_dist_records.py.
        and not path.endswith("/RECORD")
    }


# --- resolve ---------------------------------------------------------------------------


def test_wheels_are_locked_by_their_digest_and_conda_packages_count(
    pip_resolve: Resolve, tmp_path: Path
) -> None:
    alpha = wheel(tmp_path / "wheels", "alpha", requires=["beta>=1", "click"])
    wheel(tmp_path / "wheels", "beta", "0.5")
    beta = wheel(tmp_path / "wheels", "beta", "1.5")
    wheel(tmp_path / "wheels", "click", "999")
    found = pip_resolve("Alpha")
    assert found.packages == (
        replace(locked(alpha, "alpha"), requires=("beta>=1", "click")),
        locked(beta, "beta", "1.5"),
    )
    assert found.notes == ()


def test_nothing_asked_for_is_nothing(pip_resolve: Resolve) -> None:
    assert pip_resolve("# a comment").packages == ()


@pytest.mark.parametrize("asked", ["click>=500", "needs-click"])
def test_a_conflict_names_both_sides(pip_resolve: Resolve, tmp_path: Path, asked: str) -> None:
    wheel(tmp_path / "wheels", "click", "999")
    wheel(tmp_path / "wheels", "needs-click", requires=["click>=500"])
    with pytest.raises(
        SolveError, match=r"pip section \(.*click.* of conda package click"
    ) as error:
        pip_resolve(asked)
    assert asked in error.value.message
    assert "click>=500" in error.value.details
    assert str(tmp_path / "scratch") not in str(error.value)


def test_a_url_never_replaces_a_conda_package(
    pip_resolve: Resolve, base: Base, tmp_path: Path
) -> None:
    click = base.installed.get("click")
    assert click is not None
    file = wheel(tmp_path / "wheels", "click", click.version)
    with pytest.raises(SolveError, match=f"click {click.version} of conda package click"):
        pip_resolve(f"click @ {file.as_uri()}")
    other = wheel(tmp_path / "wheels", "click", "999")
    for line in (f"click @ {other.as_uri()}", f"./wheels/{other.name}"):
        with pytest.raises(SolveError, match="of conda package click by"):
            pip_resolve(line)
    assert pip_resolve(f"click @ {other.as_uri()} ; python_version < '3'").packages == ()
    folder = project(tmp_path / "c", "click", click.version)
    with pytest.raises(SolveError, match="of conda package click by") as error:
        pip_resolve("./c")
    assert folder.as_uri() in error.value.message


def test_a_version_that_suits_conda_is_taken_rather_than_the_newest(
    pip_resolve: Resolve, tmp_path: Path
) -> None:
    wheel(tmp_path / "wheels", "picky", "2.0", requires=["click>=500"])
    wheel(tmp_path / "wheels", "picky", "1.0", requires=["click"])
    assert [one.version for one in pip_resolve("picky").packages] == ["1.0"]


def test_the_glibc_of_the_base_decides(pip_resolve: Resolve, tmp_path: Path) -> None:
    for version, minor in (("1.0", 17), ("2.0", 36), ("3.0", 39)):
        wheel(tmp_path / "wheels", "native", version, tag=f"cp311-cp311-manylinux_2_{minor}_x86_64")
    assert [one.version for one in pip_resolve("native").packages] == ["2.0"]
    assert [one.version for one in pip_resolve("native", glibc="2.28").packages] == ["1.0"]
    # Also when the base is newer than the machine that builds.
    assert [one.version for one in pip_resolve("native", glibc="2.99").packages] == ["3.0"]
    with pytest.raises(SolveError, match="found no version of native") as error:
        pip_resolve("native==3.0")
    assert "needs glibc 2.39, and the base has 2.36" in error.value.details


def test_a_wheel_for_musl_is_refused_with_the_reason(pip_resolve: Resolve, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "alpine", tag="cp311-cp311-musllinux_1_2_x86_64")
    with pytest.raises(SolveError) as error:
        pip_resolve("alpine")
    assert "is for musl (Alpine), and the base has glibc" in error.value.details


def test_what_nobody_has_is_named(pip_resolve: Resolve) -> None:
    with pytest.raises(SolveError, match="pip found no version of no-such-thing"):
        pip_resolve("no-such-thing")


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ("https://bob:s3cret@127.0.0.1:9/simple", "https://127.0.0.1:9/simple/alpha/: "),
        ("http://h.invalid/simple", "h.invalid is not a trusted or secure host"),
    ],
)
def test_an_index_that_cannot_be_read_is_named(
    pip_resolve: Resolve, monkeypatch: pytest.MonkeyPatch, index: str, problem: str
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    with pytest.raises(InstallError, match="pip cannot read an index") as error:
        pip_resolve(f"--index-url {index}", "alpha")
    assert error.value.details.startswith(problem)
    assert "s3cret" not in str(error.value)


def test_folders_sdists_and_repositories_are_locked(pip_resolve: Resolve, tmp_path: Path) -> None:
    folder = project(tmp_path / "with space", "gamma")
    packed = sdist(tmp_path / "wheels", project(tmp_path / "d", "delta"), "delta")
    repository = project(tmp_path / "repo", "epsilon")
    git(repository, "init", "-q")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "one")
    commit = git(repository, "rev-parse", "HEAD")
    before = snapshot(folder)
    found = pip_resolve(
        "-e ./with space", "./with space", "delta", f"epsilon @ git+{repository.as_uri()}"
    )
    assert found.packages == (
        locked(packed, "delta"),
        PypiPackage("epsilon", "1.0", f"git+{repository.as_uri()}@{commit}"),
        PypiPackage("gamma", "1.0", folder.as_uri()),
    )
    assert found.notes == (
        f"environment.yml: pip: item 2: -e (editable) is packed as a wheel, as {folder} is now",
    )
    assert snapshot(folder) == before


def test_a_source_that_cannot_be_built_shows_what_was_said(
    pip_resolve: Resolve, tmp_path: Path
) -> None:
    project(tmp_path / "broken", "broken", backend="raise RuntimeError('no compiler here')\n")
    with pytest.raises(InstallError, match="pip cannot resolve") as error:
        pip_resolve("./broken")
    assert "no compiler here" in error.value.details


def test_hashes_that_the_user_demands_are_checked(pip_resolve: Resolve, tmp_path: Path) -> None:
    file = wheel(tmp_path / "wheels", "alpha", requires=["click"])
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert pip_resolve(f"alpha==1.0 --hash=sha256:{right}").packages
    with pytest.raises(InstallError) as error:
        pip_resolve(f"alpha==1.0 --hash=sha256:{'0' * 64}")
    assert right in error.value.details


def test_markers_are_those_of_the_prefix(pip_resolve: Resolve, tmp_path: Path) -> None:
    for name in ("for-311", "for-others", "for-arm", "for-intel"):
        wheel(tmp_path / "wheels", name)
    lines = (
        "for-311 ; python_version == '3.11'",
        "for-others ; python_version != '3.11'",
        "for-arm ; platform_machine == 'aarch64'",
        "for-intel ; platform_machine == 'x86_64'",
    )
    assert [one.name for one in pip_resolve(*lines).packages] == ["for-311", "for-intel"]
    foreign = pip_resolve(*lines, subdir="linux-aarch64")
    assert [one.name for one in foreign.packages] == ["for-311", "for-arm"]


def test_another_platform_gets_its_wheels_on_top_of_conda(
    pip_resolve: Resolve, tmp_path: Path
) -> None:
    wheel(tmp_path / "wheels", "native", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    wheel(tmp_path / "wheels", "native", "3.0", tag="cp311-cp311-manylinux_2_39_aarch64")
    wheel(
        tmp_path / "wheels",
        "native",
        "1.0",
        tag="cp311-abi3-manylinux2014_aarch64",
        requires=["click"],
    )
    found = pip_resolve("native", subdir="linux-aarch64")
    assert [(one.name, one.version) for one in found.packages] == [("native", "1.0")]
    wheel(tmp_path / "wheels", "wants-click", requires=["click>=500"])
    with pytest.raises(SolveError, match="of conda package click"):
        pip_resolve("wants-click", subdir="linux-aarch64")


def test_sources_cannot_be_built_for_another_platform(pip_resolve: Resolve, tmp_path: Path) -> None:
    folder = project(tmp_path / "d", "delta")
    packed = sdist(tmp_path / "wheels", folder, "delta")
    with pytest.raises(SolveError) as error:
        pip_resolve("delta", subdir="linux-aarch64")
    assert "the Python 3.11.2 of linux-aarch64 cannot do that" in str(error.value)
    for line in (
        "./d",
        f"delta @ {packed.as_uri()}",
        "git+https://h.example/repo",
        "delta @ https://h.example/delta-1.0.tar.gz",
    ):
        with pytest.raises(InputError, match="item 2: has to be built"):
            pip_resolve(line, subdir="linux-aarch64")


def test_an_environment_without_python_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "p" / "conda-meta").mkdir(parents=True)
    with pytest.raises(InputError, match="need Python"):
        resolve(
            ["a"],
            folder=tmp_path,
            prefix=tmp_path / "p",
            installed=read_installed(tmp_path / "p"),
            subdir="linux-64",
            glibc="2.36",
            scratch=tmp_path,
            source="environment.yml",
        )


def test_the_users_pip_configuration_says_whence_but_not_whither(
    pip_resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "elsewhere", "alpha")
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nfind-links = {tmp_path / 'elsewhere'}\nrequire-virtualenv = true\n"
        "no-index = true\n"
        f"[install]\ntarget = {tmp_path / 'target'}\nuser = true\nno-deps = true\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_PREFIX", str(tmp_path / "pip-prefix"))
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "nowhere"))
    assert [one.name for one in pip_resolve("alpha").packages] == ["alpha"]
    assert not (tmp_path / "target").exists()


def test_credentials_stay_out_of_arguments_and_messages(
    pip_resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    seen: list[str] = []
    real = subprocess.Popen

    class Spy(real):  # type: ignore[valid-type, misc]
        def __init__(self, command: list[str], *rest: object, **named: object) -> None:
            seen.extend(map(str, command))
            super().__init__(command, *rest, **named)

    monkeypatch.setattr(subprocess, "Popen", Spy)
    with pytest.raises((SolveError, InstallError)) as error:
        pip_resolve("--index-url http://me:hunter2@127.0.0.1:9/simple", "alpha")
    assert any("pip_worker" in word for word in seen)
    assert not any("hunter2" in word for word in seen)
    assert "hunter2" not in str(error.value)
    holders = list((tmp_path / "scratch").rglob("*.txt"))
    assert holders
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holders)


# --- install ---------------------------------------------------------------------------


def test_scripts_data_and_headers_land_where_they_belong(
    pip_install: Install, tmp_path: Path
) -> None:
    file = wheel(
        tmp_path / "wheels",
        "alpha",
        entry_points=ENTRY_POINTS,
        files={
            "alpha.py": "def main():\n    print('alpha ran')\n",
            ".data/scripts/tool": "#!python\nprint('tool ran')\n",
            ".data/scripts/shell-tool": "#!/bin/sh\n",
            ".data/data/share/alpha.txt": "data\n",
            ".data/headers/alpha.h": "h\n",
            ".data/purelib/extra.py": "extra = 1\n",
        },
    )
    prefix = pip_install(locked(file, "alpha"))
    assert not (prefix / "lib/python3.11/site-packages/pip").exists()  # ours was used
    assert (prefix / "share/alpha.txt").read_text() == "data\n"
    assert (prefix / "include/python3.11/alpha/alpha.h").is_file()
    assert (prefix / "lib/python3.11/site-packages/extra.py").is_file()
    for name, said in (("alpha", "alpha ran"), ("alpha-gui", "alpha ran"), ("tool", "tool ran")):
        script = prefix / "bin" / name
        assert script.read_text().startswith(f"#!{prefix}/bin/python\n")
        assert subprocess.check_output([str(script)], text=True).strip() == said
    (dist,) = read_installed(prefix).dists
    assert (dist.name, dist.version, dist.installer, dist.license) == (
        "alpha",
        "1.0",
        "slimpack",
        "MIT",
    )
    owners = read_installed(prefix).owners
    assert owners["bin/tool"] == owners["share/alpha.txt"] == "pypi:alpha"
    assert owners["bin/python3.11"] == "python"
    assert not list(prefix.rglob("site-packages/__pycache__/alpha.*"))


def test_scripts_are_relocated_with_the_rest(pip_install: Install, tmp_path: Path) -> None:
    file = wheel(
        tmp_path / "wheels",
        "alpha",
        entry_points=ENTRY_POINTS,
        files={".data/scripts/tool": "#!python -s\nprint(1)\n"},
    )
    prefix = pip_install(
        locked(file, "alpha"), name="a" * 140, real=True
    )  # too long for a first line
    spill = tmp_path / "spill"
    spill.mkdir()
    moved = relocate(prefix, "/opt/env", installed=read_installed(prefix), scratch=spill)
    for name in ("alpha", "alpha-gui"):
        assert moved.tree[f"opt/env/bin/{name}"].read().startswith(b"#!/opt/env/bin/python\n")
        assert moved.tree[f"opt/env/bin/{name}"].mode == 0o755
        assert moved.tree[f"opt/env/bin/{name}"].owner == "pypi:alpha"
    assert b"a" * 140 not in moved.tree["opt/env/bin/tool"].read()


def test_a_scratch_path_with_a_space_gives_scripts_without_a_shell(
    pip_install: Install, tmp_path: Path
) -> None:
    file = wheel(tmp_path / "wheels", "alpha", entry_points=ENTRY_POINTS)
    prefix = pip_install(locked(file, "alpha"), name="my prefix", real=True)
    spill = tmp_path / "spill"
    spill.mkdir()
    moved = relocate(prefix, "/opt/env", installed=read_installed(prefix), scratch=spill)
    assert moved.tree["opt/env/bin/alpha"].read().startswith(b"#!/opt/env/bin/python\n")


def test_sources_are_built_and_installed(pip_install: Install, tmp_path: Path) -> None:
    folder = project(tmp_path / "with space $HOME", "gamma", scripts="gamma = gamma:main")
    packed = sdist(tmp_path / "wheels", project(tmp_path / "d", "delta"), "delta")
    repository = project(tmp_path / "repo" / "sub", "epsilon").parent
    git(repository, "init", "-q")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "one")
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "sub" / "epsilon.py").write_text("changed = 1\n")
    git(repository, "commit", "-qam", "two")
    before = snapshot(folder)
    prefix = pip_install(
        locked(packed, "delta"),
        PypiPackage("epsilon", "1.0", f"git+{repository.as_uri()}@{commit}#subdirectory=sub"),
        PypiPackage("gamma", "1.0", folder.as_uri()),
    )
    site = prefix / "lib/python3.11/site-packages"
    assert "version" in (site / "epsilon.py").read_text()
    origin = json.loads((site / "epsilon-1.0.dist-info/direct_url.json").read_text())
    assert origin == {
        "url": repository.as_uri(),
        "subdirectory": "sub",
        "vcs_info": {"vcs": "git", "commit_id": commit},
    }
    assert [dist.url for dist in read_installed(prefix).dists] == [
        "",
        repository.as_uri(),
        folder.as_uri(),
    ]
    assert (prefix / "bin" / "gamma").is_file()
    assert snapshot(folder) == before


def test_two_installs_give_the_same_tree(pip_install: Install, tmp_path: Path) -> None:
    packages = (
        locked(wheel(tmp_path / "wheels", "alpha", entry_points=ENTRY_POINTS), "alpha"),
        locked(sdist(tmp_path / "wheels", project(tmp_path / "d", "delta"), "delta"), "delta"),
        PypiPackage("gamma", "1.0", project(tmp_path / "g", "gamma").as_uri()),
    )
    one = listing(pip_install(*packages, name="one"))
    two = listing(pip_install(*reversed(packages), name="two-longer"))
    assert one == two
    assert any(path.endswith("gamma.py") for path in one)
    assert not any(path.endswith(".pyc") for path in one)


def test_two_installs_give_the_same_image(pip_install: Install, tmp_path: Path) -> None:
    """Scripts and records name the image's prefix, whatever the scratch folder was called."""
    packages = (
        locked(wheel(tmp_path / "wheels", "alpha", entry_points=ENTRY_POINTS), "alpha"),
        PypiPackage("gamma", "1.0", project(tmp_path / "g", "gamma").as_uri()),
    )

    def image(name: str) -> dict[str, bytes]:
        prefix = pip_install(*packages, name=name, real=True)
        installed = read_installed(prefix)
        spill = tmp_path / f"spill-{name}"
        spill.mkdir()
        tree = relocate(prefix, "/opt/env", installed=installed, scratch=spill).tree
        ours = [entry for entry in tree if entry.owner.startswith("pypi:") and entry.opener]
        digests = {
            entry.path.removeprefix("opt/env/"): (
                hashlib.sha256(entry.read()).hexdigest(),
                entry.size,
            )
            for entry in ours
        }
        mended = with_dist_records(tree, installed.dists, "/opt/env", digests)
        return {entry.path: mended[entry.path].read() for entry in ours}

    one, two = image("one"), image("two longer")
    assert one == two
    assert "opt/env/bin/alpha-gui" in one
    assert not [path for path, data in one.items() if str(tmp_path).encode() in data]


def test_a_wrong_hash_names_package_expected_and_found(
    pip_install: Install, tmp_path: Path
) -> None:
    file = wheel(tmp_path / "wheels", "alpha")
    packed = sdist(tmp_path / "wheels", project(tmp_path / "d", "delta"), "delta")
    for path, name in ((file, "alpha"), (packed, "delta")):
        right = locked(path, name)
        with pytest.raises(InstallError) as error:
            pip_install(replace(right, sha256="0" * 64))
        assert error.value.message == (
            f"{name} 1.0: expected SHA-256 {'0' * 64}, found {right.sha256}"
        )
    assert not read_installed(tmp_path / "prefix").dists


def test_a_file_of_conda_is_never_written_over(pip_install: Install, tmp_path: Path) -> None:
    file = wheel(tmp_path / "wheels", "alpha", files={"click/__init__.py": "mine = 1\n"})
    before: dict[str, tuple[int, int]] = {}
    with pytest.raises(
        InstallError, match=r"alpha 1.0 of pip and package click of conda both have"
    ):
        pip_install(locked(file, "alpha"), before=lambda prefix: before.update(snapshot(prefix)))
    assert snapshot(tmp_path / "prefix") == before
    data = wheel(tmp_path / "wheels", "beta", files={".data/data/bin/python": "mine\n"})
    with pytest.raises(InstallError, match=r"beta 1.0 of pip and package python of conda"):
        pip_install(locked(data, "beta"))


def test_a_link_in_the_prefix_hides_nothing(pip_install: Install, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    file = wheel(tmp_path / "wheels", "alpha", files={".data/data/away/x": "mine\n"})
    with pytest.raises(InstallError, match="away/x would lie outside the prefix"):
        pip_install(
            locked(file, "alpha"), before=lambda prefix: (prefix / "away").symlink_to(outside)
        )
    twin = wheel(tmp_path / "wheels", "beta", files={".data/data/lib64/python3.11/os.py": "mine\n"})
    with pytest.raises(InstallError, match=r"beta 1.0 of pip and package python of conda"):
        pip_install(
            locked(twin, "beta"),
            name="linked",
            before=lambda prefix: (prefix / "lib64").symlink_to("lib"),
        )
    assert not list(outside.iterdir())


def test_wheels_that_share_a_file_are_told(pip_install: Install, tmp_path: Path) -> None:
    one = wheel(tmp_path / "wheels", "one", files={"both.py": "one = 1\n", "same.py": ""})
    two = wheel(tmp_path / "wheels", "two", files={"both.py": "two = 2\n", "same.py": ""})
    heard = Warnings()
    prefix = pip_install(locked(two, "two"), locked(one, "one"), progress=heard)
    assert heard.messages == [
        "lib/python3.11/site-packages/both.py is that of pip package two; one has another"
    ]
    assert (prefix / "lib/python3.11/site-packages/both.py").read_text() == "two = 2\n"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../../../../outside.py", "cannot be installed"),
        (".data/data/../../../outside.py", "cannot be installed"),
        (".data/nonsense/x", "cannot be installed"),
        (".data/data/conda-meta/evil-1-0.json", "would be a conda record"),
    ],
)
def test_a_hostile_wheel_is_refused(
    pip_install: Install, tmp_path: Path, path: str, message: str
) -> None:
    file = wheel(tmp_path / "wheels", "alpha", files={path: "x"})
    with pytest.raises(InstallError, match=message):
        pip_install(locked(file, "alpha"))
    assert not list(tmp_path.rglob("outside.py"))
    assert not list((tmp_path / "prefix").rglob("evil*"))


def test_an_entry_point_cannot_leave_bin(pip_install: Install, tmp_path: Path) -> None:
    file = wheel(
        tmp_path / "wheels", "alpha", entry_points="[console_scripts]\n../../evil = alpha:main\n"
    )
    with pytest.raises(InstallError, match="cannot be installed"):
        pip_install(locked(file, "alpha"))
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    "damage",
    [{"entry_points": "no section\n"}, {"files": {"a\nb.py": ""}}],
    ids=["entry points", "RECORD"],
)
def test_malformed_metadata_is_one_error(
    pip_install: Install, tmp_path: Path, damage: dict[str, Any]
) -> None:
    file = wheel(tmp_path / "wheels", "alpha", **damage)
    with pytest.raises(InstallError, match=r"alpha-1.0-py3-none-any.whl cannot be installed: \S"):
        pip_install(locked(file, "alpha"))


def test_the_build_tells_the_version_where_a_lock_does_not(
    pip_install: Install, tmp_path: Path
) -> None:
    folder = project(tmp_path / "local", "local", "0.3")
    prefix = pip_install(PypiPackage("local", "", folder.as_uri()))
    assert (prefix / "lib/python3.11/site-packages/local-0.3.dist-info/METADATA").is_file()
    file = wheel(tmp_path / "wheels", "alpha")
    with pytest.raises(InputError, match="not the version"):
        pip_install(replace(locked(file, "alpha"), version=""), name="other")


def test_a_truncated_wheel_is_refused(pip_install: Install, tmp_path: Path) -> None:
    file = wheel(tmp_path / "wheels", "alpha")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InstallError):
        pip_install(locked(file, "alpha"))


def test_a_wheel_for_a_newer_glibc_or_another_platform_is_refused(
    pip_install: Install, tmp_path: Path
) -> None:
    for tag, message in (
        ("cp311-cp311-manylinux_2_39_x86_64", "needs glibc 2.39, and the base has 2.36"),
        ("cp311-cp311-musllinux_1_2_x86_64", "is for musl"),
        ("cp311-cp311-manylinux_2_17_aarch64", "is not for linux-64 with Python 3.11.2"),
        ("cp312-cp312-manylinux_2_17_x86_64", "is not for linux-64 with Python 3.11.2"),
    ):
        file = wheel(tmp_path / "wheels", "alpha", tag=tag)
        with pytest.raises(InstallError, match=message):
            pip_install(locked(file, "alpha"))


def test_wheels_go_into_a_prefix_of_another_platform(pip_install: Install, tmp_path: Path) -> None:
    file = wheel(
        tmp_path / "wheels",
        "alpha",
        tag="cp311-cp311-manylinux_2_28_aarch64",
        entry_points=ENTRY_POINTS,
        files={".data/data/share/a.txt": "a"},
    )
    prefix = pip_install(locked(file, "alpha"), subdir="linux-aarch64")
    assert (prefix / "bin/alpha").read_text().startswith(f"#!{prefix}/bin/python\n")
    assert (prefix / "share/a.txt").is_file()
    packed = sdist(tmp_path / "wheels", project(tmp_path / "d", "delta"), "delta")
    with pytest.raises(InstallError, match=r"has to be built, and the Python 3.11.2 of linux-aar"):
        pip_install(locked(packed, "delta"), name="other", subdir="linux-aarch64")


def test_the_lock_must_name_what_the_file_is(pip_install: Install, tmp_path: Path) -> None:
    file = wheel(tmp_path / "wheels", "alpha")
    with pytest.raises(InstallError):
        pip_install(locked(file, "beta"))
    with pytest.raises(InstallError, match=r"is alpha 1.0, and the lock says alpha 2.0"):
        pip_install(locked(file, "alpha", "2.0"))


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://h.example/a-1.0-py3-none-any.whl\n--index-url https://evil.example"},
        {"url": "ftp://h.example/a-1.0-py3-none-any.whl"},
        {"url": "file://host/a-1.0-py3-none-any.whl"},
        {"name": "Not_Normal"},
        {"name": "a\n--pre"},
        {"version": "1.0 --pre"},
        {"sha256": ""},
        {"sha256": "00"},
    ],
)
def test_a_lock_cannot_speak_to_pip(pip_install: Install, change: dict[str, str]) -> None:
    package = PypiPackage("alpha", "1.0", "https://h.example/alpha-1.0-py3-none-any.whl", "0" * 64)
    with pytest.raises(InputError):
        pip_install(replace(package, **change))  # type: ignore[arg-type]


def test_a_lock_cannot_ask_for_variables(
    pip_install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", str(tmp_path / "wheels"))
    file = wheel(tmp_path / "wheels", "alpha")
    url = f"file:///${{SECRET}}/{file.name}"
    with pytest.raises(InstallError):
        pip_install(replace(locked(file, "alpha"), url=url))


def test_a_package_is_locked_once(pip_install: Install, tmp_path: Path) -> None:
    package = locked(wheel(tmp_path / "wheels", "alpha"), "alpha")
    with pytest.raises(InputError, match="locked twice"):
        pip_install(package, package)


def test_what_cannot_be_built_shows_what_was_said(pip_install: Install, tmp_path: Path) -> None:
    folder = project(tmp_path / "b", "broken", backend="raise RuntimeError('no compiler here')\n")
    with pytest.raises(InstallError, match="its wheel cannot be built") as error:
        pip_install(PypiPackage("broken", "1.0", folder.as_uri()))
    assert "no compiler here" in error.value.details
    with pytest.raises(InstallError, match="is not there"):
        pip_install(PypiPackage("gone", "1.0", (tmp_path / "gone").as_uri()))


def test_what_was_linked_here_for_a_newer_glibc_is_refused(
    pip_install: Install, tmp_path: Path
) -> None:
    backend = project(tmp_path / "elf", "elf") / "backend.py"
    backend.write_text(
        backend.read_text().replace(
            "    return info, files\n",
            "    files['elf.so'] = '\\x7fELF padding \\0GLIBC_2.17\\0GLIBC_2.38\\0'\n"
            "    return info, files\n",
        )
    )
    package = PypiPackage("elf", "1.0", (tmp_path / "elf").as_uri())
    with pytest.raises(InstallError, match=r"elf.so was built here and needs glibc 2.38"):
        pip_install(package)
    assert pip_install(package, name="newer", glibc="2.38")


@pytest.mark.channel
def test_the_real_index(base: Base, tmp_path: Path) -> None:
    """The index that the machine is configured for, as a user would have it."""
    arguments = {
        "prefix": base.prefix,
        "installed": base.installed,
        "subdir": "linux-64",
        "glibc": "2.36",
        "scratch": tmp_path / "scratch",
    }
    found = resolve(
        ["idna >=3"],
        folder=tmp_path,
        source="environment.yml",
        **arguments,  # type: ignore[arg-type]
    )
    (package,) = found.packages
    assert package.name == "idna"
    assert package.url.endswith(".whl")
    assert len(package.sha256) == 64


def test_the_support_wheels_are_wheels(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel(tmp_path, "alpha")) as archive:
        assert archive.testzip() is None
