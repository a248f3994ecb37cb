"""From a recipe to the text of a Dockerfile and of its .dockerignore."""

from __future__ import annotations

import posixpath
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from slimpack.app import ALWAYS_IGNORED
from slimpack.dockerfile.patterns import (
    Term,
    dockerignore,
    escaped_path,
    expression,
    ignore_terms,
)
from slimpack.dockerfile.recipe import CONDA_PACK, Recipe, Source
from slimpack.dockerfile.syntax import (
    check_text,
    copy,
    image,
    json_form,
    label,
    pair,
    quoted,
    shell,
)

_PACKAGES = "/var/cache/micromamba"
_LOCK = "/tmp/explicit.txt"  # noqa: S108 (in the builder, which nobody else uses)
_REQUIREMENTS = "/tmp/requirements.txt"  # noqa: S108
_WIDTH = 96
# What conda-pack and micromamba add, and the image has no use for.
_USELESS = ("bin/activate*", "bin/deactivate*", "bin/conda-unpack", ".mambarc", "CACHEDIR.TAG")
_NAME_OF_URL = r"s,^[a-z0-9+.-]*://.*/([^/#?]*)\.(conda|tar\.bz2)([#?].*)?$,\1,p"


# How our files begin, so that one that somebody else wrote is known.
HEAD = "# Written by `slimpack dockerfile`"
IGNORE_HEAD = "# Of the context, only what the Dockerfile copies."


def render(recipe: Recipe) -> str:
    """Return the Dockerfile. Raises InputError for values that none can express."""
    stages = [_head(recipe), _environment(recipe)]
    if recipe.sources:
        stages.append(_application(recipe))
    return "\n".join([*stages, _final(recipe)])


def render_ignore(recipe: Recipe) -> str:
    """Return the .dockerignore for this Dockerfile: nothing but what is copied."""
    lines = [IGNORE_HEAD]
    places = [source.path for source in recipe.sources]
    if "" not in places:
        lines += ["*", f"!{escaped_path(recipe.lock)}"]
        lines += [f"!{escaped_path(recipe.requirements)}"] if recipe.requirements else []
    for source in recipe.sources:
        lines += [f"!{escaped_path(source.path)}"] if "" not in places else []
        if source.folder:
            apart = all(_apart(source.path, other) for other in places if other != source.path)
            # What is not packed may still be needed to prepare.
            own = (
                ()
                if recipe.prepare or not apart or places.count(source.path) > 1
                else source.ignore
            )
            lines += dockerignore(source.path, own)
            lines += dockerignore(source.path, ALWAYS_IGNORED)
    if "" in places:
        lines += [f"!{escaped_path(path)}" for path in (recipe.lock, recipe.requirements) if path]
    for line in lines:
        check_text(line, ".dockerignore")
    return "\n".join(lines) + "\n"


def _apart(one: str, other: str) -> bool:
    return (
        bool(one and other)
        and not f"{one}/".startswith(f"{other}/")
        and not (f"{other}/".startswith(f"{one}/"))
    )


def _head(recipe: Recipe) -> str:
    name = f" --tag {recipe.tag}" if recipe.tag else ""
    command = (
        f"docker buildx build --platform {recipe.platform} --file {shell([recipe.file], '-o')}"
    )
    lines = [
        f"{HEAD}: run it again rather than change this file.",
        f"# For {recipe.platform}. In the folder that is the context:",
        f"#   {command}{name} .",
        "#",
        *_comment("What `slimpack build` does beyond it:"),
        *(line for note in recipe.notes for line in _comment(f"- {note}", "  ")),
        "",
        "# Both can be others: --build-arg FINAL_IMAGE=registry.example/base@sha256:...",
        f"ARG BUILDER_IMAGE={image(recipe.builder, 'builder image')}",
        f"ARG FINAL_IMAGE={image(recipe.final, 'final image')}",
        "# The time of every file, in seconds since 1970; docker buildx hands on the variable.",
        f"ARG SOURCE_DATE_EPOCH={recipe.epoch}",
        "",
    ]
    return "\n".join(lines)


def _comment(text: str, indent: str = "") -> list[str]:
    """Return lines of a comment; foreign text in it cannot end one."""
    plain = "".join(mark if mark.isprintable() else "?" for mark in text)
    return [
        f"# {line}"
        for line in textwrap.wrap(
            plain, _WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
        )
    ]


def _environment(recipe: Recipe) -> str:
    prefix = recipe.prefix
    cached = f"RUN --mount=type=cache,id=slimpack-packages,target={_PACKAGES},sharing=locked"
    lines = [
        "FROM ${BUILDER_IMAGE} AS env",
        "USER root",
        'SHELL ["/bin/sh", "-euc"]',
        "ENV HOME=/root LC_ALL=C.UTF-8",
        f"ENV MAMBA_ROOT_PREFIX=/opt/micromamba CONDA_PKGS_DIRS={_PACKAGES}",
        "",
        "# What packs it has an environment of its own.",
        f"ARG CONDA_PACK={CONDA_PACK}",
        "ARG TOOLS_CHANNEL=conda-forge",
        f"{cached} \\",
        *_steps(
            [
                "micromamba create --yes --no-rc --prefix /opt/tools"
                ' --channel "${TOOLS_CHANNEL}" "${CONDA_PACK}" pip'
            ]
        ),
        "",
        "# micromamba can succeed and have installed nothing: exactly the lock must be there.",
        "# Credentials of channels: --secret id=mamba-auth,src=FILE (`micromamba auth` writes it).",
        copy([recipe.lock], _LOCK),
        f"{cached} \\",
        "    --mount=type=secret,id=mamba-auth,target=/root/.mamba/auth/authentication.json \\",
        *_steps(
            [
                f"micromamba create --yes --no-rc --no-pyc --platform {recipe.subdir}"
                f" --prefix {prefix} --file {_LOCK}",
                f"sed -nE '{_NAME_OF_URL}' {_LOCK} | sort >/tmp/locked",
                rf"ls {prefix}/conda-meta | sed -n 's,\.json$,,p' | sort >/tmp/installed",
                "test -s /tmp/locked && cmp /tmp/locked /tmp/installed",
            ]
        ),
    ]
    if recipe.requirements:
        lines += [
            copy([recipe.requirements], _REQUIREMENTS),
            "RUN --mount=type=cache,id=slimpack-pip,target=/root/.cache/pip \\",
            *_steps(
                [
                    f"/opt/tools/bin/python -m pip --python {prefix}/bin/python install --no-deps"
                    f" --require-hashes --no-compile --requirement {_REQUIREMENTS}"
                ]
            ),
        ]
    lines += ["", *_packing(recipe, cached), "", *_slimming(recipe)]
    lines += ["ARG SOURCE_DATE_EPOCH", *_finishing(recipe, f"/rootfs{prefix}", prefix, "/rootfs")]
    return "\n".join(lines) + "\n"


def _steps(commands: Sequence[str]) -> list[str]:
    """Return the commands of one RUN; the shell ends at the first that fails (-e)."""
    return [
        f"    {command}" + (" && \\" if number < len(commands) else "")
        for number, command in enumerate(commands, 1)
    ]


def _packing(recipe: Recipe, cached: str) -> Iterator[str]:
    root = f"/rootfs{recipe.prefix}"
    missing = " --ignore-missing-files" if recipe.requirements else ""
    yield "# Nothing in the image can start through /usr/bin/env or a shell."
    yield f"{cached} \\"
    steps = [
        f"mkdir -p {posixpath.dirname(root)}",
        f"/opt/tools/bin/conda-pack --quiet --prefix {recipe.prefix} --dest-prefix {recipe.prefix}"
        f" --format no-archive --output {root}{missing}",
        f"rm -f {' '.join(f'{root}/{name}' for name in _USELESS)}",
        # conda-pack 0.9.2 leaves its empty temporary file there.
        f"find {root} -maxdepth 1 -type f -empty -name 'tmp????????' -delete",
        f": >{root}/conda-meta/history",
        f"find {root}/bin -type f -exec grep -lIE '^#! ?/usr/bin/env [^ ]+$' {{}} + "
        f"| xargs -r sed -i -E '1s,^#! ?/usr/bin/env ([^ ]+)$,#!{recipe.prefix}/bin/\\1,'",
    ]
    if recipe.link:
        path, target = recipe.link
        steps += [f"mkdir -p /rootfs/{posixpath.dirname(path)}", f"ln -s {target} /rootfs/{path}"]
    yield from _steps(steps)


def _slimming(recipe: Recipe) -> Iterator[str]:
    if not recipe.drops:
        return
    yield "# What slimming drops, as far as patterns can say it (docs/slimming.md):"
    yield from _comment(f"{', '.join(name for name, _ in recipe.drops)}.")
    yield f"RUN cd /rootfs{recipe.prefix} && \\"
    yield "    find . -regextype posix-extended ! -type d \\( \\"
    yield from _choices(terms for _, terms in recipe.drops)
    kept = list(_choices(recipe.keeps))
    yield from (["    \\) ! \\( \\", *kept] if kept else [])
    yield "    \\) -delete"


def _choices(choices: Iterable[Sequence[Term]]) -> Iterator[str]:
    """Yield a line of find's words for each choice, any of which may be meant."""
    for number, words in enumerate(filter(None, map(expression, choices))):
        yield f"      {'-o ' if number else ''}{shell(words, 'pattern')} \\"


def _finishing(recipe: Recipe, code: str, place: str, root: str) -> Iterator[str]:
    """Yield what makes bytecode, modes and times as slimpack does.

    code: a folder of sources, whose path in the image is `place`.
    """
    if recipe.python:
        yield "# Bytecode that no time stamp makes stale (PEP 552), with its path in the image."
        yield "# What is no Python of this version ships without."
        yield "RUN PYTHONHASHSEED=0 \\"
        # Scripts are never imported.
        scripts = shell(["-x", f"^{re.escape(code)}/bin/"], "prefix") if place != "/" else ""
        yield f"    {recipe.prefix}/bin/python -m compileall -qq -f -d {place} {scripts} \\"
        yield f"    --invalidation-mode unchecked-hash {code} || true"
    yield f"RUN chmod -R u=rwX,go=rX {root} && \\"
    yield f'    find {root} -exec touch -hcd "@${{SOURCE_DATE_EPOCH}}" {{}} +'


def _application(recipe: Recipe) -> str:
    lines = ["FROM env AS app", *(_prepared_env(recipe) if recipe.prepare else ())]
    for number, source in enumerate(recipe.sources):
        # Of a folder its content, of a file the file.
        inner = f"{source.path or '.'}/" if source.folder else source.path
        lines.append(copy([inner], f"/src/{number}/"))
    if recipe.prepare:
        lines += ["WORKDIR /src/0", f"RUN {json_form(recipe.prepare)}", "WORKDIR /"]
    lines += ["", "# What is ignored, and the rest to its place."]
    lines += [line for pair_ in enumerate(recipe.sources) for line in _placing(*pair_)]
    lines += ["ARG SOURCE_DATE_EPOCH"]
    lines += _finishing(recipe, "/appfs", "/", "/appfs")
    return "\n".join(lines) + "\n"


def _prepared_env(recipe: Recipe) -> Iterator[str]:
    for name, value in recipe.prepare_env:
        yield f"ENV {pair(name, value, 'ENV')}"
    yield f"ENV PATH={recipe.prefix}/bin:/usr/bin:/bin"


def _placing(number: int, source: Source) -> Iterator[str]:
    terms = ignore_terms((*source.ignore, *ALWAYS_IGNORED)) if source.folder else []
    if chosen := expression(terms):
        find = ["find", ".", "-mindepth", "1", "-regextype", "posix-extended", "(", *chosen, ")"]
        yield f"RUN cd /src/{number} && \\"
        yield f"    {shell(find, '[[app.copy]] ignore')} -prune -exec rm -rf {{}} +"
    if source.folder:
        target = shell([f"/appfs/{source.target}"], "[[app.copy]] to")
        yield f"RUN mkdir -p {target} && cp -R -P /src/{number}/. {target}/"
    else:
        parent = shell([posixpath.dirname(f"/appfs/{source.target}")], "[[app.copy]] to")
        name = shell([f"/src/{number}/{posixpath.basename(source.path)}"], "[[app.copy]] from")
        target = shell([f"/appfs/{source.target}"], "[[app.copy]] to")
        yield f"RUN mkdir -p {parent} && cp -P {name} {target}"


def _final(recipe: Recipe) -> str:
    run = recipe.run
    lines = ["FROM ${FINAL_IMAGE}", copy(["/rootfs/"], "/", "--from=env")]
    if recipe.sources:
        lines.append(copy(["/appfs/"], "/", "--from=app"))
    lines += [f"ENV {pair(name, value, 'ENV')}" for name, value in run.env]
    lines += [f"LABEL {label(name, value)}" for name, value in sorted(run.labels.items())]
    lines += [f"EXPOSE {' '.join(run.exposed_ports)}"] if run.exposed_ports else []
    lines += [f"WORKDIR {quoted(run.workdir, 'workdir')}"] if run.workdir else []
    lines += [f"USER {quoted(run.user, 'user')}"] if run.user else []
    lines += [f"STOPSIGNAL {quoted(run.stop_signal, 'stop signal')}"] if run.stop_signal else []
    # Both, so that nothing of the base's is left.
    lines += [f"ENTRYPOINT {json_form(run.entrypoint)}", f"CMD {json_form(run.cmd)}"]
    return "\n".join(lines) + "\n"
