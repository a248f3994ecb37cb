"""The recipes for CI: their syntax, and the Action's steps as a runner would run them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from slimpack.cli import cli
from slimpack.config_file import read_config
from slimpack.oci.archive import write_archive
from tests.registry.fake import Fake, serving
from tests.report.samples import sample
from tests.support.channel import ROOT, MiniChannel, Run
from tests.test_docs import blocks

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
DOCS = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
GITHUB, GITLAB, PRE_COMMIT = map(yaml.safe_load, blocks(DOCS, "yaml"))
(JENKINS,) = blocks(DOCS, "groovy")
BUDGET = "Check the size"


# The Action as data.


def test_no_command_has_an_input_in_its_text() -> None:
    for step in STEPS.values():
        assert "${{" not in step.get("run", ""), step["name"]
        assert "run" not in step or step["shell"] == "bash"


def test_every_variable_of_a_command_is_set_and_every_input_used() -> None:
    whole = json.dumps(ACTION["runs"])
    for name in ACTION["inputs"]:
        assert f"inputs.{name} " in whole or f"inputs.{name}'" in whole, name
    for step in STEPS.values():
        used = set(re.findall(r"\b(?:INPUT|SLIMPACK)(?:_[A-Z]+)?\b", step.get("run", "")))
        assert used - set(step.get("env", {})) <= {"SLIMPACK_CACHE_DIR"}, step["name"]
        assert set(step.get("env", {})) - used <= {"SLIMPACK_CACHE_DIR"}, step["name"]
    for expression in re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", whole):
        assert expression in ACTION["inputs"]


def test_outputs_are_those_of_the_build() -> None:
    written = set(re.findall(r'"(\w+)": ', STEPS["Build"]["run"]))
    for name, output in ACTION["outputs"].items():
        assert output["value"] == f"${{{{ steps.build.outputs.{name} }}}}"
        assert name in written


# The Action as it is run.


@dataclass
class Runner:
    """What GitHub's runner does for a composite action: expressions, variables, outputs."""

    folder: Path
    inputs: dict[str, str]
    outputs: dict[str, str]
    variables: dict[str, str]

    def value(self, text: str) -> str:
        def known(match: re.Match[str]) -> str:
            kind, _, name = match[1].partition(".")
            if kind == "inputs":
                return self.inputs[name]
            if kind == "steps":
                return self.outputs.get(name.replace(".outputs.", "/"), "")
            assert match[1] == "github.action_path"
            return str(ROOT)

        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", known, text)

    def run(self, name: str, **given: str) -> subprocess.CompletedProcess[str]:
        step = STEPS[name]
        told, summary = self.folder / "output", self.folder / "summary.md"
        told.write_text("")
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
            cwd=self.folder / self.value(step.get("working-directory", ".")),
            env={
                **os.environ,
                **self.variables,
                "RUNNER_TEMP": str(self.folder / "temp"),
                "GITHUB_OUTPUT": str(told),
                "GITHUB_STEP_SUMMARY": str(summary),
                **{key: self.value(value) for key, value in step.get("env", {}).items()},
                **given,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        for line in told.read_text().splitlines():
            key, _, value = line.partition("=")
            self.outputs[f"{step.get('id', name)}/{key}"] = value
        return done


Start = Callable[..., Runner]


@pytest.fixture
def start(tmp_path: Path, cache_dir: Path) -> Start:
    """A runner on which the installed slimpack is the one that is tested."""
    folder = tmp_path / "runner"
    (folder / "temp").mkdir(parents=True)
    program = folder / "slimpack"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m slimpack "$@"\n')
    program.chmod(0o755)

    def runner(**given: str) -> Runner:
        inputs = {name: one["default"] for name, one in ACTION["inputs"].items()}
        unknown = {name.replace("_", "-") for name in given} - set(inputs)
        assert not unknown
        inputs |= {name.replace("_", "-"): value for name, value in given.items()}
        outputs = {
            "install/slimpack": str(program),
            "install/python": sys.executable,
            "install/cache": str(cache_dir),
        }
        return Runner(folder, inputs, outputs, {"PYTHONPATH": str(ROOT)})

    return runner


@pytest.fixture
def project(mini: MiniChannel, start: Start, tmp_path: Path) -> Path:
    """A folder with a small environment; below it is no base, so that no mirror is asked."""
    folder = tmp_path / "runner/project"
    folder.mkdir()
    write_archive(sample(tmp_path, slimmed=False), folder / "base.tar", ())
    mini.add("thing", {"share/thing": "x" * 5000})
    (folder / "environment.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [thing]\n")
    (folder / "slimpack.toml").write_text(
        '[env]\nspec = "environment.yml"\n[image]\nbase = "base.tar"\nprefix = "/opt/other"\n'
        '[verify]\nenabled = false\n[budget]\nimage = "1 MB"\n'
    )
    return folder


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


def test_it_builds_checks_and_pushes(start: Start, project: Path, fake: Fake) -> None:
    names = f"{fake.host}/team/app:1\n\n{fake.host}/team/app:latest\n"
    runner = start(
        working_directory="project", tags=names, push="true", budget="true", profile="none",
        flags="--layers\n3\n", output="out put.tar",
    )  # fmt: skip
    done = runner.run("Build")
    assert done.returncode == 0, done.stderr
    image = project / "out put.tar"
    assert runner.outputs["build/output"] == str(image)
    digest = runner.outputs["build/digest"]
    assert runner.outputs["build/image"] == f"{fake.host}/team/app@{digest}"
    assert 1000 < int(runner.outputs["build/size"]) < 1_000_000
    assert runner.run(BUDGET).returncode == 0
    summary = (runner.folder / "summary.md").read_text()
    assert "is within its budget" in summary
    assert digest in summary
    done = runner.run("Push")
    assert done.returncode == 0, done.stderr
    assert ("team/app", digest) in fake.manifests
    assert fake.manifests["team/app", "1"] == fake.manifests["team/app", "latest"]


def test_what_exceeds_its_budget_fails_with_the_culprits_in_the_summary(
    start: Start, project: Path
) -> None:
    config = (project / "slimpack.toml").read_text()
    (project / "other.toml").write_text(config.replace("1 MB", "1 kB"))
    runner = start(working_directory="project", config="other.toml", input="environment.yml")
    assert runner.run("Build").returncode == 0
    done = runner.run(BUDGET)
    assert done.returncode == 11
    assert "exceeds 1 limit" in done.stderr
    summary = (runner.folder / "summary.md").read_text()
    assert "exceeds its budget" in summary
    assert "| thing 1.0 |" in summary


HOSTILE = "$(touch pwned)`touch pwned`\"; touch pwned #'; touch pwned; \\"


@pytest.mark.parametrize(
    "name", ["input", "tags", "output", "platforms", "profile", "config", "flags"]
)
def test_inputs_are_never_run(start: Start, project: Path, name: str) -> None:
    runner = start(**{"working_directory": "project", name: HOSTILE})
    done = runner.run("Build")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert not list(runner.folder.rglob("pwned"))
    assert not list(project.rglob("*pwned*.tar"))


def test_flags_of_ours_are_no_inputs(start: Start, project: Path) -> None:
    done = start(working_directory="project", input="--load").run("Build")
    assert done.returncode == 2
    assert "--load" in done.stderr


def test_a_failing_build_fails_the_step_and_sets_nothing(start: Start, project: Path) -> None:
    (project / "environment.yml").write_text("dependencies: [none-such]\nchannels: []\n")
    runner = start(working_directory="project")
    assert runner.run("Build").returncode != 0
    assert "build/digest" not in runner.outputs


def test_an_image_without_a_name_cannot_be_pushed(start: Start, project: Path) -> None:
    runner = start(working_directory="project", push="true")
    assert runner.run("Build").returncode == 0
    assert runner.outputs["build/image"] == ""
    done = runner.run("Push")
    assert done.returncode == 2
    assert "the image has no name" in done.stdout


STAND_IN = """\
#!/bin/sh
printf '%s\\n' "$0 $*" >>"$LOG"
for word; do last=$word; done
case "$*" in
*venv*--clear*) mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; cp "$0" "$last/bin/slimpack";;
esac
"""


@pytest.mark.parametrize("tool", ["uv", "pip"])
@pytest.mark.parametrize("version", ["", "1.2; touch pwned"])
def test_it_is_installed_with_uv_or_pip(
    start: Start, tmp_path: Path, tool: str, version: str
) -> None:
    """Programs that say how they were called stand in for uv and Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python9", *(["uv"] if tool == "uv" else [])):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    runner = start(python="python9", version=version)
    log = tmp_path / "log"
    done = runner.run("Install slimpack", PATH=f"{folder}:/usr/bin:/bin", LOG=str(log))
    assert done.returncode == 0, done.stderr
    venv = runner.folder / "temp/slimpack-venv"
    assert runner.outputs["install/slimpack"] == f"{venv}/bin/slimpack"
    package = f"slimpack=={version}" if version else str(ROOT)
    made, installed, asked = log.read_text().splitlines()
    assert installed.endswith(f" -- {package}")
    assert ("uv venv" in made, "uv pip install" in installed) == ((tool == "uv"),) * 2
    assert asked == f"{venv}/bin/slimpack --version"
    assert not list(tmp_path.rglob("pwned"))


# Hooks.


def test_hooks_are_commands_of_ours() -> None:
    for hook in HOOKS:
        program, command, *flags = shlex.split(hook["entry"])
        assert program == "slimpack"
        known = {name for item in cli.commands[command].params for name in item.opts}
        assert set(flags) <= known
        assert hook["language"] == "python"
        assert set(hook.get("stages", [])) <= {"pre-push", "manual"}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("environment.yml", True),
        ("envs/environment.yaml", True),
        ("pixi.lock", True),
        ("conda-lock.yml", True),
        ("explicit-linux-64.txt", True),
        ("slimpack.toml", True),
        ("my-environment.yml.orig", False),
        ("requirements.txt", False),
        ("README.md", False),
    ],
)
def test_the_lock_is_checked_when_it_or_its_specification_changes(path: str, meant: bool) -> None:
    (hook,) = [hook for hook in HOOKS if hook["id"] == "slimpack-lock"]
    assert bool(re.search(hook["files"], path)) == meant


def test_hooks_fail_where_they_should(project: Path, run: Run) -> None:
    commands = {hook["id"]: shlex.split(hook["entry"])[1:] for hook in HOOKS}
    with (project / "slimpack.toml").open("a") as config:
        config.write('of = "image.tar"\n')
    check = commands["slimpack-lock"]
    assert "does not exist" in run(*check, "environment.yml", cwd=project, code=10).stderr
    run("lock", "environment.yml", cwd=project)
    run(*check, "environment.yml", cwd=project)
    run("build", "--output", "image.tar", cwd=project)
    run(*commands["slimpack-budget"], cwd=project)
    text = (project / "slimpack.toml").read_text()
    (project / "slimpack.toml").write_text(text.replace("1 MB", "1 kB"))
    run(*commands["slimpack-budget"], cwd=project, code=11)


def test_the_documented_hooks_are_there() -> None:
    (repository,) = PRE_COMMIT["repos"]
    assert {hook["id"] for hook in repository["hooks"]} == {hook["id"] for hook in HOOKS}


# Documents.


def shown_commands() -> list[list[str]]:
    """Every command of slimpack's in the recipes for GitLab and Jenkins."""
    lines = [line for job in GITLAB.values() for line in job_script(job)]
    lines += re.findall(r"(?m)^\s*sh '(.*)'$", JENKINS)
    parts = [part.strip() for line in lines for part in re.split(r" \| | && ", line)]
    words = [shlex.split(part) for part in parts]
    return [word for word in words if word[0].rpartition("/")[2] == "slimpack"]


def job_script(job: Any) -> list[str]:
    if not isinstance(job, dict):
        return []
    return [*job.get("before_script", []), *job.get("script", [])]


def test_commands_in_recipes_are_ours_with_flags_that_exist() -> None:
    commands = shown_commands()
    assert {words[1] for words in commands} >= {"login", "build", "budget", "push", "lock"}
    for _, command, *words in commands:
        known = {name for item in cli.commands[command].params for name in item.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_passwords_are_no_arguments_and_no_groovy_strings() -> None:
    assert all("PASSWORD" not in word and "PSW" not in word for c in shown_commands() for word in c)
    doubles = re.findall(r'"[^"\n]*"', re.sub(r"'[^'\n]*'", "", JENKINS))
    assert doubles
    assert all("REGISTRY" not in text for text in doubles)
    assert len(re.findall(r"(?m)^\s*sh '", JENKINS)) == len(re.findall(r"\bsh\b ", JENKINS))


def test_the_pipeline_for_jenkins_is_balanced() -> None:
    """Strings end on their line, and every bracket is closed: there is no Groovy here."""
    code = re.sub(r"//[^\n]*|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", "", JENKINS)
    assert "'" not in code
    assert '"' not in code
    open_ones: list[str] = []
    for mark in re.findall(r"[][(){}]", code):
        if mark in "[({":
            open_ones.append(mark)
        else:
            assert open_ones.pop() + mark in ("[]", "()", "{}")
    assert not open_ones
    assert re.findall(r"stage\('(\w+)'\)", JENKINS) == ["Install", "Lock", "Build", "Push"]
    assert list(re.findall(r"(?m)^    (\w+)", JENKINS)) == ["agent", "environment", "stages"]


def test_gitlab_s_jobs_extend_what_is_there() -> None:
    stages = GITLAB["stages"]
    jobs = {name: job for name, job in GITLAB.items() if isinstance(job, dict) and "script" in job}
    assert list(jobs) == ["lock", "image"]
    for job in jobs.values():
        assert job["stage"] in stages
        assert job["extends"] in GITLAB


def test_the_documented_inputs_are_the_action_s() -> None:
    (job,) = GITHUB["jobs"].values()
    (step,) = [step for step in job["steps"] if step.get("id") == "image"]
    assert set(step["with"]) <= set(ACTION["inputs"])
    table = DOCS[: DOCS.index("## GitLab")]
    named = {name for row in re.findall(r"(?m)^\| (`.*?) \|", table) for name in row.split(", ")}
    assert named == {f"`{name}`" for name in ACTION["inputs"]}
    for name in ACTION["outputs"]:
        assert f"`{name}`" in table


def test_the_documented_budget_is_read(tmp_path: Path) -> None:
    (block,) = blocks(DOCS, "toml")
    (tmp_path / "slimpack.toml").write_text(block)
    budget = read_config(tmp_path / "slimpack.toml").budget
    assert budget.image == 200_000_000
    assert dict(budget.packages) == {
        "*": 10**8,
        "torch": 2 * 10**8,
        "/app": 10**7,
        "tensorflow": 0,
    }


def test_the_documented_commands_work(tmp_path: Path, run: Run) -> None:
    (tmp_path / "dist").mkdir()
    write_archive(sample(tmp_path), tmp_path / "dist/serve.tar", ())
    (tmp_path / "slimpack.toml").write_text('[budget]\nimage = "200 MB"\n')
    (block,) = blocks(DOCS, "sh")
    ran = 0
    for line in block.splitlines():
        shown, _, target = line.partition(" > ")
        program, *words = shlex.split(shown, comments=True)
        assert program == "slimpack"
        told = run(*words, cwd=tmp_path).stdout
        ran += 1
        if target:
            (tmp_path / target).write_text(told)
    assert ran == 5
