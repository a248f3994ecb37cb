"""From any input to a portable archive, in conda-pack's layout.

The same straight line as `slimpack.build`: the environment, its files without a
place of their own, bytecode, what finishes the job at the other end, and one pass
that writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from slimpack import __version__, content
from slimpack.archive.folder import check_free
from slimpack.archive.formats import Packing
from slimpack.archive.links import with_copies
from slimpack.archive.selfextract import Payload
from slimpack.archive.write import write_archive
from slimpack.bytecode import bytecode_notes, with_bytecode, without_bytecode
from slimpack.cache import Cache
from slimpack.config import DEFAULT_GLIBC, Config, PackConfig
from slimpack.env.activation import UNSET, declared_variables, moved
from slimpack.environment import Environment, decide, locate, platform_of, provide
from slimpack.errors import InputError
from slimpack.portable.activation import ACTIVATION_PREFIXES, PREFIX_TOKEN, activation_files
from slimpack.portable.installer import installer
from slimpack.portable.records import PrefixRecord, find_records
from slimpack.portable.script import NAME as CONDA_UNPACK
from slimpack.portable.script import conda_unpack_script
from slimpack.progress import SILENT, Progress
from slimpack.relocate import PrefixedFile, Relocated
from slimpack.result import Slimmed
from slimpack.slim.bytecode import BytecodeReport, source_of
from slimpack.slimming import begin
from slimpack.stages import Stages
from slimpack.tree import Entry, Tree, bytes_entry, under
from slimpack.verify.prefixes import forbidden_paths, scanned

# Archives are for people who know conda-pack's: they hold everything, unless asked otherwise.
DEFAULT_PROFILE = "none"


@dataclass(frozen=True)
class PackResult:
    """What was packed. Sizes in bytes; `stages` are (name, seconds) in order.

    rewrites: files that conda-unpack has to rewrite at the other end.
    """

    source: str
    platform: str
    output: str
    format: str
    sha256: str
    size: int
    unpacked: int
    files: int
    packages: int
    pypi: int
    rewrites: int
    bytecode: BytecodeReport
    slimmed: Slimmed
    notes: tuple[str, ...]
    stages: tuple[tuple[str, float], ...]


def pack(
    config: Config,
    output: Path,
    packing: Packing,
    *,
    cache: Cache,
    epoch: int,
    name: str = "env",
    force: bool = False,
    progress: Progress = SILENT,
) -> PackResult:
    """Pack the environment that `config` describes into an archive at `output`.

    epoch: mtime of every file, in seconds. name: the folder that the
    self-extracting form makes. force: replace what is at `output`.
    Raises the children of SlimpackError; then `output` is as it was.
    """
    _check_output(output, packing, config.pack, force=force)
    stage = Stages()
    dest = config.pack.dest_prefix
    with cache.scratch() as scratch:
        with stage("input"):
            located = locate(config, scratch, progress)
            platform = platform_of(located, config)
        glibc = config.env.glibc or DEFAULT_GLIBC
        planned = decide(
            located, config, platform, glibc, cache=cache, progress=progress, stage=stage
        )
        environment = provide(
            planned, config, cache=cache, scratch=scratch, progress=progress, stage=stage
        )
        with stage("relocate"):
            relocated = content.relocated(environment, dest or None, scratch)
            tree = _chosen(relocated.tree, dest, config.pack)
        with stage("slim"):
            slimming = begin(config.slim, DEFAULT_PROFILE, environment, relocated, tree, dest)
            tree = slimming.dropped(tree) if slimming else tree
        with stage("bytecode"):
            tree, code = _bytecode(tree, environment, relocated, config.pack, scratch, progress)
        with stage("shrink"):
            if slimming:
                tree, slimming = slimming.finished(tree)
            tree = content.with_true_records(tree, environment, relocated, dest)
        with stage("finish"):
            tree = _at_root(tree, dest)
            tree, records = _finished(tree, environment, relocated, packing, dest)
            private = (str(scratch), str(cache.packages))
            checked = _checked(tree, environment, relocated, records, private, config.pack)
        with stage("write"):
            written = write_archive(
                _below(checked, config.pack.arcroot),
                output,
                packing,
                mtime=epoch,
                progress=progress,
                installer=_header(name, dest) if packing.format == "sh" else None,
                force=force,
            )
    return PackResult(
        source=environment.source,
        platform=platform,
        output=str(output),
        format=packing.format,
        sha256=written.sha256,
        size=written.size,
        unpacked=tree.size,
        files=written.files,
        packages=len(environment.installed.packages),
        pypi=len(environment.installed.dists),
        rewrites=len(records),
        bytecode=code,
        slimmed=Slimmed.of(slimming.account if slimming else None),
        notes=(
            *((*slimming.notes, *slimming.promises()) if slimming else ()),
            *content.notes(environment, relocated),
            *bytecode_notes(code),
        ),
        stages=tuple(stage.seconds),
    )


def _check_output(output: Path, packing: Packing, config: PackConfig, *, force: bool) -> None:
    """Refuse at once what could only be refused when everything is done."""
    if packing.format == "folder":
        check_free(output, force)
    elif output.is_file() and not force:
        raise InputError(f"{output} is there already", hint="pass --force to replace it")
    if packing.format == "sh" and config.arcroot:
        raise InputError(
            "--arcroot has no meaning in a self-extracting archive",
            hint="leave it out: the script makes the folder that its --prefix names",
        )


def _chosen(tree: Tree, dest: str, config: PackConfig) -> Tree:
    """Leave out what the user excludes; patterns are matched as conda-pack does."""
    start = len(under(dest, ""))

    def wanted(entry: Entry) -> bool:
        path = entry.path[start:]
        return not any(fnmatch(path, glob) for glob in config.exclude) or any(
            fnmatch(path, glob) for glob in config.include
        )

    return tree.filter(wanted)


def _bytecode(
    tree: Tree,
    environment: Environment,
    relocated: Relocated,
    config: PackConfig,
    scratch: Path,
    progress: Progress,
) -> tuple[Tree, BytecodeReport]:
    if not config.bytecode:
        return without_bytecode(tree), BytecodeReport()
    tree, report = with_bytecode(
        tree,
        content.compiler_of(environment),
        dest_prefix=config.dest_prefix,
        scratch=scratch,
        # Where an archive is unpacked, people edit files; nobody does in an image.
        checked=True,
        progress=progress,
        sources=relocated.sources,
    )
    # A source that conda-unpack rewrites would no longer be that of its bytecode.
    changing = {file.path for file in relocated.prefixes}
    return tree.filter(lambda entry: source_of(entry.path) not in changing), report


def _at_root(tree: Tree, dest: str) -> Tree:
    start = len(under(dest, ""))
    return tree.map(lambda entry: replace(entry, path=entry.path[start:]))


def _finished(
    tree: Tree, environment: Environment, relocated: Relocated, packing: Packing, dest: str
) -> tuple[Tree, tuple[PrefixRecord, ...]]:
    """Add what lets the environment work at the other end; return what is left to rewrite."""
    prefixes = relocated.prefixes
    if packing.format == "zip" and not packing.zip_symlinks:
        tree, prefixes = _copied(tree, prefixes)
    tree = tree.merge(_activation(environment, dest))
    if dest:
        return tree, ()
    records = find_records(tree, (*prefixes, *ACTIVATION_PREFIXES))
    script = conda_unpack_script(records, __version__)
    return tree.merge([bytes_entry(CONDA_UNPACK, script, mode=0o755)]), records


def _copied(tree: Tree, prefixes: Sequence[PrefixedFile]) -> tuple[Tree, tuple[PrefixedFile, ...]]:
    """Put copies in the place of links; a copy of a file with a prefix has it too."""
    copies, origins = with_copies(tree)
    known = {file.path: file for file in prefixes}
    found = ((copy, known.get(origin)) for copy, origin in origins.items())
    return copies, (*prefixes, *(replace(file, path=copy) for copy, file in found if file))


def _below(tree: Tree, arcroot: str) -> Tree:
    return tree.map(lambda entry: replace(entry, path=under(arcroot, entry.path)))


def _activation(environment: Environment, dest: str) -> list[Entry]:
    """Return the scripts that every portable archive carries."""
    variables = declared_variables(environment.prefix, environment.variables)
    old = (str(environment.prefix), environment.origin)
    files = activation_files(
        variables=[
            (name, moved(value, old, dest or PREFIX_TOKEN))
            for name, value in variables.items()
            if value != UNSET
        ],
        dest_prefix=dest or None,
        has_conda=environment.installed.get("conda") is not None,
    )
    return [bytes_entry(path, data, mode=mode) for path, (data, mode) in files.items()]


def _checked(
    tree: Tree,
    environment: Environment,
    relocated: Relocated,
    records: Sequence[PrefixRecord],
    private: tuple[str, ...],
    config: PackConfig,
) -> Tree:
    """Return the tree with contents that raise when they name a path that no record lists.

    Files that conda-unpack rewrites hold a placeholder by design; in the others one
    would stay for ever.
    """
    listed = {record.path for record in records} | {CONDA_UNPACK}
    # conda's own records tell which placeholders there were.
    listed |= {entry.path for entry in tree if fnmatch(entry.path, "conda-meta/*.json")}
    origin = "" if config.dest_prefix == environment.origin else environment.origin
    vouched = content.vouched(relocated, config.dest_prefix)

    def scan(part: Tree, forbidden: tuple[bytes, ...]) -> Tree:
        allow = config.allow_build_paths
        return scanned(part, forbidden, allow=allow, origin=origin, vouched=vouched)

    placeholders = environment.installed.placeholders
    open_ended = tree.filter(lambda entry: entry.path in listed)
    finished = tree.filter(lambda entry: entry.path not in listed)
    return scan(finished, forbidden_paths(private, placeholders)).merge(
        scan(open_ended, forbidden_paths(private, None))
    )


def _header(name: str, dest: str) -> Callable[[Payload], bytes]:
    def make(payload: Payload) -> bytes:
        return installer(name, __version__, payload, dest_prefix=dest or None)

    return make
