"""Which images go, and what they are called."""

from __future__ import annotations

import pytest

from slimpack.bundle.choosing import Pattern, Rename, choose_images
from slimpack.bundle.model import Bundled, Statement
from slimpack.bundle.to_registry import Place
from slimpack.errors import BundleError, InputError
from slimpack.oci.jsontext import Object

SERVE, LATEST, APP = (
    "docker.io/library/serve:1.0",
    "docker.io/library/serve:latest",
    "ghcr.io/team/app:1",
)


def descriptor(number: int) -> Object:
    return {"mediaType": "x", "digest": f"sha256:{number:064x}", "size": 1}


STATEMENT = Statement(
    (
        Bundled((SERVE, LATEST), descriptor(1)),
        Bundled((APP,), descriptor(2)),
        Bundled((), descriptor(3)),
    )
)


@pytest.mark.parametrize(
    ("wanted", "renames", "names"),
    [
        ([], [], [(SERVE, LATEST), (APP,), ()]),
        (["serve:1.0"], [], [(SERVE,)]),
        (["serve"], [], [(SERVE, LATEST)]),
        (["ghcr.io/team/app:1", "serve:latest"], [], [(LATEST,), (APP,)]),
        ([f"sha256:{3:064x}"], [], [()]),
        ([f"sha256:{1:064x}"], [], [(SERVE, LATEST)]),
        (["serve"], ["serve=x/y"], [("docker.io/x/y:1.0", "docker.io/x/y:latest")]),
        (["serve"], ["serve:1.0=serve:2"], [("docker.io/library/serve:2", LATEST)]),
        (["serve"], ["serve:1.0=x"], [("docker.io/library/x:1.0", LATEST)]),
        (["serve"], ["serve:1.0=serve:latest"], [(LATEST,)]),
        ([APP], [f"{APP}=b.io/c:2"], [("b.io/c:2",)]),
        ([f"sha256:{3:064x}"], [f"sha256:{3:064x}=c:2"], [("docker.io/library/c:2",)]),
        ([f"sha256:{3:064x}"], [f"sha256:{3:064x}=c"], [("docker.io/library/c:latest",)]),
    ],
)
def test_chosen(wanted: list[str], renames: list[str], names: list[tuple[str, ...]]) -> None:
    chosen = choose_images(
        STATEMENT, list(map(Pattern.parse, wanted)), list(map(Rename.parse, renames))
    )
    assert [one.names for one in chosen] == names


@pytest.mark.parametrize(
    ("wanted", "renames"),
    [(["app"], []), (["serve:3"], []), ([], ["serve:3=x"]), ([APP], ["serve=x"])],
)
def test_what_means_nothing(wanted: list[str], renames: list[str]) -> None:
    with pytest.raises(InputError, match="the bundle has no image"):
        choose_images(STATEMENT, list(map(Pattern.parse, wanted)), list(map(Rename.parse, renames)))


@pytest.mark.parametrize("name", ["serve:1.0", "docker.io/library/serve", "../x:1", ""])
def test_names_in_the_bundle_are_full(name: str) -> None:
    with pytest.raises(BundleError, match="which is no full name"):
        choose_images(Statement((Bundled((name,), descriptor(1)),)))


@pytest.mark.parametrize(
    ("place", "name", "there"),
    [
        ("reg.site:5000", SERVE, "reg.site:5000/serve:1.0"),
        ("reg.site/a/b/", SERVE, "reg.site/a/b/serve:1.0"),
        ("reg.site/a", APP, "reg.site/a/team/app:1"),
        ("reg.site/a", "docker.io/team/app:1", "reg.site/a/team/app:1"),
        ("reg.site/a", "ghcr.io/library/app:1", "reg.site/a/library/app:1"),
        ("docker.io", APP, "docker.io/team/app:1"),
        ("docker.io/me", SERVE, "docker.io/me/serve:1.0"),
        ("localhost", SERVE, "localhost/serve:1.0"),
    ],
)
def test_names_in_a_registry(place: str, name: str, there: str) -> None:
    assert str(Place.parse(place).of(name)) == there
