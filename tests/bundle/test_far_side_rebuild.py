"""The far side builds again from the lock and the packages of a bundle, without any network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from slimpack.bundle.contents import Extra, Part
from slimpack.bundle.packages import BundledLock, package_extras
from slimpack.env.rattler.engine import RattlerEngine
from tests.bundle.near import served, slimpack_cut_off, unpacked, write_extras
from tests.support.channel import Run, snapshot
from tests.support.images import Built
from tests.support.wheels import wheel


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.mark.channel
@pytest.mark.sandbox
def test_the_same_lock_gives_the_same_image(
    channel: str, python_image: Built, run: Run, tmp_path: Path, no_index: None
) -> None:
    near = tmp_path / "near"
    (near / "channel").mkdir(parents=True)
    snapshot(Path(unquote(urlsplit(channel).path)), near / "channel")
    wheel(near / "wheels", "alpha", requires=["click"])
    base = ("--base", python_image.layout, "--prefix", "/opt/second", "-t", "serve:1")
    with served(near) as url:
        (near / "environment.yml").write_text(
            "dependencies:\n- python =3.11\n- click\n- pip:\n"
            f"  - --find-links {url}/wheels/\n  - alpha\n"
        )
        built = run(
            *("build", "environment.yml", "-c", f"{url}/channel", *base),
            *("--lock", "serve.lock", "-o", "image.tar", "--json"),
            cwd=near,
        )
        lock_file = near / "serve.lock"
        engine = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")
        lock = engine.read_lock(lock_file, "linux-64")
        fetched = tmp_path / "fetched"
        packages = package_extras([BundledLock("serve", (lock,))], fetched)
        text = Extra(Part.of("locks/serve.lock", lock_file.read_bytes()), "lock")
        bundle = write_extras(tmp_path / "a.tar", text, *packages.extras)
        again = package_extras([BundledLock("serve", (lock,))], tmp_path / "again")
        other = write_extras(tmp_path / "b.tar", text, *again.extras)
    assert bundle.read_bytes() == other.read_bytes()
    assert packages.notes == ()
    shutil.rmtree(near)
    shutil.rmtree(fetched)
    site = unpacked(bundle, tmp_path / "site")

    rebuilt = slimpack_cut_off(
        *("build", "locks/serve.lock", "--packages-from", ".", *base),
        *("-o", "image.tar", "--json"),
        cwd=site,
        cache=tmp_path / "far-cache",
    )
    digests = [json.loads(done.stdout)["digest"] for done in (built, rebuilt)]
    assert digests[0] == digests[1]

    # Without the folder there is nothing to install from.
    failed = slimpack_cut_off(
        *("build", "locks/serve.lock", *base, "-o", "none.tar"),
        cwd=site,
        cache=tmp_path / "other-cache",
        code=4,
    )
    assert "127.0.0.1" in failed.stderr

    # Another environment of the same packages is solved from the channel alone.
    slimpack_cut_off(
        *("build", "python =3.11", "click", "-c", f"{(site / 'channel').as_uri()}", *base),
        *("-o", "other.tar"),
        cwd=site,
        cache=tmp_path / "far-cache",
    )
