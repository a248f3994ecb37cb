"""The Dockerfile's syntax, read back by a small parser of its own; patterns against git's."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from slimpack.config import PackageSlimming, SlimConfig
from slimpack.dockerfile.patterns import dockerignore, expression, glob_terms, ignore_terms
from slimpack.dockerfile.recipe import Recipe, Source
from slimpack.dockerfile.render import render, render_ignore
from slimpack.dockerfile.slimmed import slimmed
from slimpack.errors import InputError
from slimpack.globs import matcher
from slimpack.oci.config import ImageConfig

RECIPE = Recipe(
    file="Dockerfile",
    builder="docker.io/mambaorg/micromamba:2.8.1@sha256:" + "1" * 64,
    final="gcr.io/distroless/base-nossl-debian12:nonroot",
    platform="linux/amd64",
    subdir="linux-64",
    lock="explicit.txt",
    requirements="",
    prefix="/opt/env",
    python=True,
    run=ImageConfig(user="65532", workdir="/home/nonroot"),
    epoch=315532800,
)

# A reader of Dockerfiles, by the description of the language.


def instructions(text: str) -> list[tuple[str, str]]:
    """Logical lines: comments dropped, also between continued lines; INSTRUCTION, the rest."""
    found: list[tuple[str, str]] = []
    whole = ""
    for line in text.split("\n"):
        if line.lstrip().startswith("#") or (not whole and not line.strip()):
            continue
        continued = re.fullmatch(r"(.*)\\[ \t]*", line)
        whole += continued[1] if continued else line
        if not continued:
            name, _, rest = whole.partition(" ")
            found.append((name, rest))
            whole = ""
    assert not whole
    return found


def lexed(word: str) -> str:
    """What is left of a word after quotes, escapes and variables; there may be no variable."""
    out, place, quote = "", 0, ""
    while place < len(word):
        mark = word[place]
        place += 1
        if mark == "\\" and quote != "'":
            assert place < len(word)
            following = word[place]
            out += following if not quote or following in '"$\\' else mark + following
            place += 1
        elif quote:
            if mark == quote:
                quote = ""
            else:
                assert mark != "$" or quote == "'"
                out += mark
        elif mark in "\"'":
            quote = mark
        else:
            assert mark != "$"
            out += mark
    assert not quote
    return out


def words(rest: str) -> Iterator[str]:
    """Words between blanks outside of quotes, quotes kept."""
    word, quote, place = "", "", 0
    while place < len(rest):
        mark = rest[place]
        place += 1
        if mark == "\\" and quote != "'":
            word += mark + rest[place]
            place += 1
            continue
        if mark.isspace() and not quote:
            if word:
                yield word
            word = ""
            continue
        if quote == mark:
            quote = ""
        elif not quote and mark in "\"'":
            quote = mark
        word += mark
    if word:
        yield word


def pairs(text: str, name: str) -> dict[str, str]:
    """All that the last stage sets by ENV or LABEL."""
    found = {}
    for instruction, rest in final_stage(text):
        if instruction == name:
            for word in words(rest):
                key, equals, value = word.partition("=")
                assert equals
                found[lexed(key)] = lexed(value)
    return found


def final_stage(text: str) -> list[tuple[str, str]]:
    lines = instructions(text)
    last = max(number for number, (name, _) in enumerate(lines) if name == "FROM")
    return lines[last:]


def one(text: str, name: str) -> str:
    (rest,) = [rest for instruction, rest in final_stage(text) if instruction == name]
    return rest


def literal(pattern: str) -> str:
    """The one path that a pattern of COPY means, where it has no wildcard but brackets."""

    def of_class(match: re.Match[str]) -> str:
        return match[1].removeprefix("\\") or "\\"

    assert not re.search(r"[*?\\]", re.sub(r"\[(\\?.)\]", "", pattern))
    return re.sub(r"\[(\\?.)\]", of_class, pattern)


def copies(text: str) -> list[tuple[str, str]]:
    """What is copied from the context: source, target."""
    found = []
    for name, rest in instructions(text):
        if name == "COPY" and rest.startswith("["):
            source, target = (lexed(word) for word in json.loads(rest))
            found.append((literal(source), target))
    return found


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)
NASTY = st.lists(
    st.sampled_from(["$", "${A}", "\\", '"', "'", " ", "#", "=", "<<EOF", "[", "*", "?", "é", "a"]),
    max_size=8,
).map("".join)
VALUE = st.one_of(TEXT, NASTY)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
SEGMENT = VALUE.filter(lambda text: text.strip(". ") and "/" not in text)
PATH = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)


@given(
    env=st.dictionaries(NAME, VALUE, max_size=4),
    labels=st.dictionaries(VALUE.filter(lambda text: text and "=" not in text), VALUE, max_size=4),
    entrypoint=st.lists(VALUE, max_size=3),
    cmd=st.lists(VALUE, max_size=3),
    workdir=PATH,
)
def test_what_the_image_is_told_is_read_back(
    env: dict[str, str],
    labels: dict[str, str],
    entrypoint: list[str],
    cmd: list[str],
    workdir: str,
) -> None:
    run = ImageConfig(
        env=tuple(env.items()),
        labels=labels,
        entrypoint=tuple(entrypoint),
        cmd=tuple(cmd),
        workdir=f"/{workdir}",
        user="65532",
        exposed_ports=("53/udp", "8000/tcp"),
    )
    text = render(replace(RECIPE, run=run))
    assert pairs(text, "ENV") == env
    assert pairs(text, "LABEL") == labels
    assert json.loads(one(text, "ENTRYPOINT")) == entrypoint
    assert json.loads(one(text, "CMD")) == cmd
    assert lexed(one(text, "WORKDIR")) == f"/{workdir}"
    assert lexed(one(text, "USER")) == "65532"
    assert one(text, "EXPOSE") == "53/udp 8000/tcp"


@given(path=PATH, target=PATH, folder=st.booleans(), lock=PATH)
def test_what_is_copied_is_read_back(path: str, target: str, folder: bool, lock: str) -> None:
    recipe = replace(RECIPE, sources=(Source(path, target, folder),), lock=lock)
    text = render(recipe)
    assert copies(text) == [
        (lock, "/tmp/explicit.txt"),
        (f"{path}/" if folder else path, "/src/0/"),
    ]
    # The shell's own words: what they come to, a shell says.
    (placing,) = [
        rest
        for name, rest in instructions(text)
        if (name == "RUN" and "mkdir -p /appfs" in rest)
        or (name == "RUN" and "mkdir -p '/appfs" in rest)
    ]
    shown = placing.replace("mkdir", "printf '%s\\n'").replace("cp -R -P", "printf '%s\\n'")
    shown = shown.replace("cp -P", "printf '%s\\n'")
    done = subprocess.run(["sh", "-c", shown], capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1].rstrip("/") == f"/appfs/{target}".rstrip("/")


@given(st.lists(VALUE, min_size=1, max_size=4))
def test_a_command_that_prepares_has_no_shell(command: list[str]) -> None:
    recipe = replace(RECIPE, prepare=tuple(command), sources=(Source("app", "app", True),))
    runs = [rest for name, rest in instructions(render(recipe)) if name == "RUN"]
    assert json.dumps(command) in runs


@pytest.mark.parametrize("mark", ["\n", "\r", "\0", "\x7f", "\x1b", "\x85", "\ud800"])
def test_what_no_line_can_hold_is_refused(mark: str) -> None:
    for change in (
        {"run": ImageConfig(env=(("A", f"x{mark}y"),))},
        {"run": ImageConfig(labels={f"x{mark}y": "v"})},
        {"run": ImageConfig(workdir=f"/{mark}")},
        {"lock": f"a{mark}.txt"},
        {"sources": (Source("a", f"b{mark}", True),)},
        {"sources": (Source("a", "b", True, ignore=(f"x{mark}y",)),)},
        {"drops": (("r", tuple(glob_terms([f"x{mark}y"]))),)},
    ):
        with pytest.raises(InputError, match=r"U\+00|U\+D800"):
            render(replace(RECIPE, **change))


def test_commands_hold_any_character() -> None:
    text = render(replace(RECIPE, run=ImageConfig(entrypoint=("a\nb", "\x1b", "\0"))))
    assert json.loads(one(text, "ENTRYPOINT")) == ["a\nb", "\x1b", "\0"]


@pytest.mark.parametrize("name", ["1A", "A B", "A$B", "", 'A"', "É"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="names of letters"):
        render(replace(RECIPE, run=ImageConfig(env=((name, "x"),))))


@pytest.mark.parametrize("name", ["a b", "$A", "a\nRUN x", "", "-x", "a:b'"])
def test_images_that_are_none_are_refused(name: str) -> None:
    for change in ({"builder": name}, {"final": name}):
        with pytest.raises(InputError, match="not the name of an image"):
            render(replace(RECIPE, **change))  # type: ignore[arg-type]


def test_comments_cannot_be_ended_by_what_they_tell() -> None:
    notes = ("a\nRUN evil\r\nUSER 0\u2028x \\",)
    lines = instructions(render(replace(RECIPE, notes=notes)))
    assert not any("evil" in rest for name, rest in lines)
    assert [rest for name, rest in lines if name == "USER"] == ["root", '"65532"']


def test_it_needs_no_frontend_and_no_shell_in_the_image() -> None:
    text = render(replace(RECIPE, sources=(Source("app", "app", True),)))
    assert not re.search(r"(?m)^#\s*(syntax|escape|check)\s*=", text)
    assert "<<" not in text
    assert [name for name, _ in final_stage(text)] == [
        "FROM", "COPY", "COPY", "WORKDIR", "USER", "ENTRYPOINT", "CMD",
    ]  # fmt: skip


def test_both_images_can_be_replaced() -> None:
    lines = instructions(render(RECIPE))
    assert ("ARG", f"BUILDER_IMAGE={RECIPE.builder}") in lines
    assert ("ARG", f"FINAL_IMAGE={RECIPE.final}") in lines
    assert [rest for name, rest in lines if name == "FROM"] == [
        "${BUILDER_IMAGE} AS env",
        "${FINAL_IMAGE}",
    ]


def test_the_shell_commands_are_such() -> None:
    recipe = replace(
        RECIPE,
        requirements="explicit-pip.txt",
        prepare=("x",),
        link=("usr/local/cuda/compat", "../../../opt/env/cuda-compat"),
        sources=(
            Source("app", "a b'c", True, ("*.txt", "!x y.txt", "it's/")),
            Source("one", "d/one", False),
        ),
        drops=(("r", tuple(glob_terms(["a(b", "c'd/**"]))),),
        keeps=(tuple(glob_terms(["LICENSE*"])),),
    )
    runs = [rest for name, rest in instructions(render(recipe)) if name == "RUN"]
    assert len(runs) > 8
    for run in runs:
        command = re.sub(r"^(--mount=\S+ +)*", "", run)
        if not command.startswith("["):
            subprocess.run(["sh", "-n", "-c", command], check=True)


# The check of what micromamba has installed.


def check_command(lock: Path, prefix: Path, work: Path) -> str:
    (run,) = [
        rest for name, rest in instructions(render(RECIPE)) if name == "RUN" and "cmp" in rest
    ]
    command = run[run.index("sed -nE") :]
    places = {"/tmp/explicit.txt": lock, "/opt/env": prefix, "/tmp/": f"{work}/"}
    return re.sub("/tmp/explicit.txt|/opt/env|/tmp/", lambda m: str(places[m[0]]), command)


@pytest.mark.parametrize(
    ("installed", "code"),
    [
        (("a-1.0-0", "_b-2-py_1", "c-3-h1_0"), 0),
        (("a-1.0-0", "_b-2-py_1"), 1),
        (("a-1.0-0", "_b-2-py_1", "c-3-h1_0", "d-1-0"), 1),
        (("a-1.0-1", "_b-2-py_1", "c-3-h1_0"), 1),
        ((), 1),
    ],
)
def test_exactly_the_lock_must_be_installed(
    tmp_path: Path, installed: Sequence[str], code: int
) -> None:
    lock, prefix = tmp_path / "lock.txt", tmp_path / "prefix"
    lock.write_text(
        "# platform: linux-64\n@EXPLICIT\n"
        "https://conda.example/t/x/noarch/a-1.0-0.conda#0123\n"
        "file:///c/linux-64/_b-2-py_1.tar.bz2\n"
        "oci://host/c/linux-64/c-3-h1_0.conda#sha256:0a\n# pip x @ https://h/x.whl\n"
    )
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta/history").touch()
    for name in installed:
        (prefix / "conda-meta" / f"{name}.json").touch()
    command = check_command(lock, prefix, tmp_path)
    done = subprocess.run(["sh", "-euc", command], capture_output=True, check=False)
    assert done.returncode == code, done.stderr


# Patterns.

SMALL = st.sampled_from(["a", "b", "ab", "a.b", "data", "x y", "+", "é", "[a]", "a]"])
PATHS = st.lists(SMALL, min_size=1, max_size=4).map("/".join)
PIECE = st.sampled_from(
    ["a", "b", "*", "**", "?", "/", "!", ".", "[ab]", "[a", "]", "\\*", "data", "+", " "]
)
# Without [!a]: pathspec lets that be a slash, too, which git does not.
PATTERN = st.lists(PIECE, min_size=1, max_size=5).map("".join)


def chosen(words: Sequence[str], path: str, folder: bool) -> bool:
    """What find's expression says of a path: ( ), !, -o, and else -a."""
    rest = list(words)

    def alternatives() -> bool:
        answer = conjunction()
        while rest and rest[0] == "-o":
            rest.pop(0)
            answer = conjunction() or answer
        return answer

    def conjunction() -> bool:
        answer = True
        while rest and rest[0] not in ("-o", ")"):
            answer = test() and answer
        return answer

    def test() -> bool:
        word = rest.pop(0)
        if word == "!":
            return not test()
        if word == "(":
            answer = alternatives()
            assert rest.pop(0) == ")"
            return answer
        value = rest.pop(0)
        if word == "-type":
            return folder
        assert word == "-regex"
        # The expressions use what POSIX and Python agree on, but for ] that stands first.
        value = re.sub(r"\[(\^?)\]", r"[\1\\]", value)
        return bool(re.fullmatch(value, f"./{path}", re.DOTALL))

    answer = alternatives() if rest else False
    assert not rest
    return answer


def removed(patterns: Sequence[str], path: str) -> bool:
    """Whether find prunes the path, or a folder that it lies in."""
    words = expression(ignore_terms(patterns))
    parts = path.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts))]
    return any(chosen(words, one, True) for one in above) or chosen(words, path, False)


def ignored(patterns: Sequence[str], path: str) -> bool:
    """The same as slimpack's own walk decides it."""
    spec = GitIgnoreSpec.from_lines(patterns)
    parts = path.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts))]
    return any(spec.match_file(f"{one}/") for one in above) or spec.match_file(path)


def is_plain(pattern: str) -> bool:
    """Whether pathspec takes it as git does: it has its own mind about some odd forms."""
    return not (
        re.search(r"\*\*[^/]|[^/]\*\*|//|\*\*\Z|^!?/?\*\*/\Z|^!?/*\Z", pattern.removeprefix("!"))
        or ("/**/" in pattern and "**/**" in pattern)
        or pattern.endswith("\\")
        or re.search(r"\[(?![ab!]+\])", pattern)
        or pattern != pattern.strip()
        or pattern.startswith("!!")
        # Takes back folders that a later pattern means, which git does not.
        or re.fullmatch(r"!/?[*?/]+", pattern)
    )


@given(st.lists(PATTERN.filter(is_plain), min_size=1, max_size=4), PATHS)
@settings(max_examples=500)
def test_ignoring_is_git_s(patterns: list[str], path: str) -> None:
    try:
        expected = ignored(patterns, path)
    except ValueError:
        assume(False)
        raise
    assert removed(patterns, path) == expected


@given(st.lists(st.text("ab*?/.!", min_size=1, max_size=6), min_size=1, max_size=4), PATHS)
@settings(max_examples=500)
def test_globs_are_slimming_s(patterns: list[str], path: str) -> None:
    assert chosen(expression(glob_terms(patterns)), path, False) == matcher(patterns)(path)


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        (["*.txt"], {"a.txt", "sub/b.txt", "sub/data/c.txt"}),
        (["*.txt", "!b.txt"], {"a.txt", "sub/data/c.txt"}),
        (["/data/"], set()),
        (["data/"], {"sub/data/c.txt", "sub/data/d.bin"}),
        (["sub/*"], {"sub/b.txt", "sub/data/c.txt", "sub/data/d.bin"}),
        (["sub/**/d.bin"], {"sub/data/d.bin"}),
        (["**/data"], {"sub/data/c.txt", "sub/data/d.bin", "other/data"}),
        (["[!a].txt"], {"sub/b.txt", "sub/data/c.txt"}),
        (["it's (1)"], {"it's (1)"}),
        (["# not", "", "  ", "\\#yes"], {"#yes"}),
        (["\\!bang", "x\\ "], {"!bang", "x "}),
        (["[]]x", "[a^]y"], {"]x", "^y"}),
        (["*"], {
            "a.txt", "sub/b.txt", "sub/data/c.txt", "sub/data/d.bin", "other/data", "it's (1)",
            "#yes", "!bang", "x ", "]x", "^y",
        }),
    ],
)  # fmt: skip
def test_gnu_find_does_it(tmp_path: Path, patterns: list[str], gone: set[str]) -> None:
    names = (
        "a.txt", "sub/b.txt", "sub/data/c.txt", "sub/data/d.bin", "other/data", "it's (1)",
        "#yes", "!bang", "x ", "]x", "^y",
    )  # fmt: skip
    source = Source("app", "app", True, tuple(patterns))
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    text = render(replace(RECIPE, sources=(source,)))
    (run,) = [rest for name, rest in instructions(text) if name == "RUN" and "cd /src/0" in rest]
    subprocess.run(["sh", "-euc", run.replace("/src/0", str(tmp_path))], check=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert set(names) - left == gone


def test_gnu_find_slims(tmp_path: Path) -> None:
    names = {"include/a.h", "lib/x.a", "lib/x.so", "share/man/LICENSE", "share/man/man1/x.1"}
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    drops, keeps, _ = slimmed(SlimConfig(), ["python"], sorted(names))
    text = render(replace(RECIPE, drops=drops, keeps=keeps))
    (run,) = [rest for name, rest in instructions(text) if name == "RUN" and "! -type d" in rest]
    command = run.replace("/rootfs/opt/env", str(tmp_path))
    subprocess.run(["sh", "-euc", command], check=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"lib/x.so", "share/man/LICENSE"}


# Slimming.

FILES = ["include/a.h", "lib/x.a", "share/man/x", "share/icons/y", "lib/python3.11/test/z.py"]


def rules(config: SlimConfig, *packages: str) -> list[str]:
    return [name for name, _ in slimmed(config, packages, FILES)[0]]


def test_rules_rest_where_slimming_s_do() -> None:
    assert rules(SlimConfig()) == ["static-libraries", "headers", "documentation"]
    assert rules(SlimConfig(), "gcc_impl_linux-64") == ["documentation"]
    assert rules(SlimConfig(disable=("headers",))) == ["static-libraries", "documentation"]
    assert rules(SlimConfig(profile="none")) == []
    assert rules(SlimConfig(profile="none", drop=("share/icons",))) == []
    assert rules(SlimConfig(drop=("share/icons",)))[-1] == "[slim] drop"


def test_what_patterns_cannot_say_is_told() -> None:
    config = SlimConfig(
        drop_packages=("tk",), gpu_arch=("sm_90",), packages=(PackageSlimming("a", drop=("x",)),)
    )
    told = "\n".join(slimmed(config, (), FILES)[2])
    for part in ("python-tests", "debug-sections", "drop_packages", "sm_90", "every byte"):
        assert part in told, part


def test_what_is_kept_stays() -> None:
    config = SlimConfig(keep=("include/a.h",), packages=(PackageSlimming("p", keep=("lib/x.a",)),))
    _, keeps, _ = slimmed(config, (), FILES)
    kept = [path for path in FILES if any(chosen(expression(one), path, False) for one in keeps)]
    assert kept == ["include/a.h", "lib/x.a"]


# .dockerignore


def moby(lines: Sequence[str], path: str) -> bool:
    """Whether the file is left out of the context (moby/patternmatcher: last match decides)."""
    out = False
    for line in lines:
        if not line or line.startswith("#"):
            continue
        negated, pattern = line.startswith("!"), line.removeprefix("!").strip("/")
        regex = ""
        for piece in re.findall(r"\*\*/?|\\.|.", pattern):
            if piece.startswith("**"):
                regex += "(.*/)?" if piece.endswith("/") else ".*"
            elif piece == "*":
                regex += "[^/]*"
            elif piece == "?":
                regex += "[^/]"
            else:
                regex += re.escape(piece.removeprefix("\\") if len(piece) > 1 else piece)
        parts = path.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        if any(re.fullmatch(regex, one) for one in above):
            out = not negated
    return out


@given(st.lists(PATTERN.filter(is_plain), max_size=4), PATHS, st.sampled_from(["", "src/app"]))
@settings(max_examples=300)
def test_the_context_lacks_nothing_that_is_not_ignored(
    patterns: list[str], path: str, source: str
) -> None:
    whole = f"{source}/{path}" if source else path
    if moby(dockerignore(source, patterns), whole):
        assert ignored(patterns, path)


def test_the_context_is_what_is_copied() -> None:
    sources = (
        Source("app", "app", True, ("*.ipynb", "data/", "/top")),
        Source("[1] x.py", "x.py", False),
        Source("lib/sub", "lib", True, ("!a",)),
    )
    lines = render_ignore(replace(RECIPE, sources=sources)).splitlines()

    def there(path: str) -> bool:
        return not moby(lines, path)

    assert all(map(there, ["app/a.py", "app/data", "[1] x.py", "lib/sub/y", "explicit.txt"]))
    assert all(map(there, ["app/sub/top"]))
    for path in ("other", "app/x.ipynb", "app/s/data/big", "app/top", "lib/z", "Dockerfile"):
        assert not there(path), path
    assert not there("app/__pycache__/x.pyc")
    assert not there("lib/sub/.git/config")


def test_what_is_ignored_is_there_to_prepare() -> None:
    source = Source("app", "app", True, ("*.csv",))
    lines = render_ignore(replace(RECIPE, sources=(source,), prepare=("x",))).splitlines()
    assert not moby(lines, "app/a.csv")
    assert moby(lines, "app/a.pyc")


def test_the_whole_context_can_be_copied() -> None:
    source = Source("", "app", True, ("*.csv",))
    lines = render_ignore(replace(RECIPE, sources=(source,))).splitlines()
    assert not moby(lines, "a/b.py")
    assert moby(lines, "a/b.csv")
    assert not moby(lines, "explicit.txt")


def test_sources_in_each_other_are_all_copied() -> None:
    sources = (Source("app/sub", "x", True), Source("app", "y", True, ("sub",)))
    lines = render_ignore(replace(RECIPE, sources=sources)).splitlines()
    assert not moby(lines, "app/sub/a.py")
