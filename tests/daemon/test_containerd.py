"""containerd: which one is taken, and a ``ctr`` that misbehaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from slimpack.daemon.containerd import ADDRESS, Ctr, load_into_containerd
from slimpack.errors import DaemonError, InputError
from tests.daemon.images import small_image

# Answers as ctr does; what it was called with goes to a file, as does its input's length.
FAKE = """\
#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
answers = json.loads((here / "answers.json").read_text())
words = sys.argv[5:]
with (here / "calls").open("a") as file:
    file.write(json.dumps(words) + "\\n")
if words[:2] == ["images", "import"]:
    with (here / "sent").open("a") as file:
        file.write(f"{{len(sys.stdin.buffer.read())}}\\n")
answer = answers.get(" ".join(words[:2]), "")
if isinstance(answer, list):
    done = len((here / "sent").read_text().split()) - 1
    answer = answer[min(done, len(answer) - 1)]
if answer.startswith("ctr: "):
    sys.exit(answer)
print(answer)
"""
HEAD = "REF TYPE DIGEST SIZE PLATFORMS LABELS"


def fake(folder: Path, answers: Mapping[str, object]) -> Ctr:
    path = folder / "ctr"
    path.write_text(FAKE.format(python=sys.executable))
    path.chmod(0o755)
    (folder / "answers.json").write_text(json.dumps(answers))
    return Ctr("/run/x.sock", "default", str(path))


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def listed(*images: tuple[str, str]) -> str:
    return "\n".join(
        [HEAD, *(f"{name} type {digest} 1.0 MiB linux/amd64 -" for name, digest in images)]
    )


def test_the_variables_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    assert Ctr.here() == Ctr(ADDRESS, "default", "ctr")
    monkeypatch.setenv("CONTAINERD_ADDRESS", "/run/k3s/containerd/containerd.sock")
    monkeypatch.setenv("CONTAINERD_NAMESPACE", "k8s.io")
    assert Ctr.here() == Ctr("/run/k3s/containerd/containerd.sock", "k8s.io", "ctr")


def test_no_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="by their names only") as caught:
        load_into_containerd(small_image(tmp_path), [])
    assert "--tag" in caught.value.hint


def test_no_program(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="cannot run /no/ctr") as caught:
        load_into_containerd(small_image(tmp_path), ["a:1"], ctr=Ctr("/x", "default", "/no/ctr"))
    assert "comes with containerd" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "socket", "hint"),
    [
        ("ctr: dial unix x: connect: permission denied", True, "sudo"),
        ("ctr: dial unix x: no such file or directory", False, "CONTAINERD_ADDRESS"),
        ("ctr: dial unix x: connection refused", True, "systemctl status containerd"),
    ],
)
def test_it_does_not_answer(tmp_path: Path, said: str, socket: bool, hint: str) -> None:
    ctr = fake(tmp_path, {"version": said})
    address = tmp_path / "x.sock"
    if socket:
        address.touch()
    ctr = Ctr(str(address), "default", ctr.program)
    with pytest.raises(DaemonError, match="cannot reach containerd at") as caught:
        load_into_containerd(small_image(tmp_path), ["a:1"], ctr=ctr)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_blobs_that_were_removed_meanwhile(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    there = "\n".join(layer.digest for layer in image.layers)
    answers = {
        "content ls": there,
        "images import": ["ctr: content digest not found", "done"],
        "images ls": listed(("docker.io/library/a:1", image.digest)),
    }
    assert load_into_containerd(image, ["a:1"], ctr=fake(tmp_path, answers)) == image.digest
    first, second = map(int, (tmp_path / "sent").read_text().split())
    assert second - first >= sum(layer.size for layer in image.layers)
    imported = [words for words in calls(tmp_path) if words[:2] == ["images", "import"]]
    assert imported == [["images", "import", "--platform=linux/amd64", "-"]] * 2


def test_it_refuses(tmp_path: Path) -> None:
    answers = {"images import": "ctr: write x: no space left on device", "images ls": HEAD}
    with pytest.raises(DaemonError, match="could not import") as caught:
        load_into_containerd(small_image(tmp_path), ["a:1"], ctr=fake(tmp_path, answers))
    assert "no space left" in caught.value.details
    assert "ctr images prune" in caught.value.hint
    assert not any(words[:2] == ["images", "rm"] for words in calls(tmp_path))


def test_a_name_that_was_there_before_stays_after_a_failure(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    answers = {
        "images import": "ctr: lost",
        "images ls": listed(("docker.io/library/a:1", image.digest)),
    }
    with pytest.raises(DaemonError, match="could not import"):
        load_into_containerd(image, ["a:1"], ctr=fake(tmp_path, answers))
    assert not any(words[:2] == ["images", "rm"] for words in calls(tmp_path))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "containerd took the image, but has no docker.io/library/a:1"),
        ([("docker.io/library/a:1", "sha256:0")], "has sha256:0 as docker.io/library/a:1, not"),
    ],
)
def test_what_it_has_afterwards(tmp_path: Path, found: list[tuple[str, str]], message: str) -> None:
    answers = {"images ls": listed(*found)}
    with pytest.raises(DaemonError, match=message):
        load_into_containerd(small_image(tmp_path), ["a:1"], ctr=fake(tmp_path, answers))
