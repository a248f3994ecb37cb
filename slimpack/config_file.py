"""Reading ``slimpack.toml``, or ``[tool.slimpack]`` in pyproject.toml, into a `Config`.

Paths are relative to the file that names them. Nothing here looks at the environment.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from slimpack.config import (
    COMPRESSIONS,
    PRIORITIES,
    SANDBOXES,
    AppConfig,
    BudgetConfig,
    Config,
    CopyRule,
    DebianConfig,
    EnvConfig,
    ImageConfig,
    PackageSlimming,
    PackConfig,
    SlimConfig,
    SmokeTest,
    VerifyConfig,
    check_arcroot,
    check_prefix,
    check_version,
)
from slimpack.env.engines import ENGINES
from slimpack.errors import InputError
from slimpack.registry.reference import is_reference
from slimpack.sizes import Growth, parse_growth, parse_size
from slimpack.slim.ruleset import PROFILES
from slimpack.toml import Table, read_toml

FILE_NAME = "slimpack.toml"
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kMGT]?)(?P<binary>i?)B?\Z")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_PORT = re.compile(r"(?P<number>\d{1,5})(?:/(?:tcp|udp|sctp))?\Z")
_USER = re.compile(r"[a-z_0-9][a-z_0-9-]*(?::[a-z_0-9][a-z_0-9-]*)?\Z")


def find_config(folder: Path) -> Config:
    """Read slimpack.toml, else [tool.slimpack] of pyproject.toml, of `folder`; else defaults."""
    own = folder / FILE_NAME
    if own.is_file():
        return read_config(own)
    project = folder / "pyproject.toml"
    if project.is_file():
        tools = read_toml(project).get("tool")
        if isinstance(tools, dict) and "slimpack" in tools:
            return read_config(project)
    return Config(folder=folder)


def read_config(path: Path) -> Config:
    """Read a configuration file; InputError with file, key and a suggestion for what is wrong."""
    data = read_toml(path)
    where = str(path)
    if path.name == "pyproject.toml":
        tools = data.get("tool")
        if not isinstance(tools, dict) or "slimpack" not in tools:
            raise InputError(f"{path}: no table [tool.slimpack]")
        data = tools["slimpack"]
        where = f"{path}: [tool.slimpack]"
    top = Table(data, where, "")
    config = Config(
        folder=path.parent,
        env=_env(top.table("env"), path.parent),
        image=_image(top.table("image"), path.parent),
        app=_app(top.table("app"), path.parent),
        pack=_pack(top.table("pack")),
        slim=_slim(top.table("slim"), path.parent),
        verify=_verify(top.table("verify")),
        debian=_debian(top.table("debian")),
        budget=_budget(top.table("budget"), path.parent),
    )
    top.finish()
    return config


def _env(table: Table, folder: Path) -> EnvConfig:
    defaults = EnvConfig()
    spec, specs = table.path("spec", folder), table.strings("specs")
    if spec and specs:
        table.fail("specs", "cannot stand beside 'spec'", hint="keep one of the two")
    config = EnvConfig(
        inputs=(str(spec),) if spec else specs,
        channels=table.strings("channels"),
        channel_priority=table.choice("channel_priority", PRIORITIES, "strict"),
        platform=table.string("platform"),
        platforms=table.strings("platforms"),
        cuda=_checked(table, "cuda", partial(check_version, example="12.8")),
        allow_cpu=table.strings("allow_cpu"),
        cuda_compat=table.boolean("cuda_compat", defaults.cuda_compat),
        glibc=_checked(table, "glibc", partial(check_version, example="2.28")),
        lock=table.path("lock", folder),
        engine=table.choice("engine", ENGINES, defaults.engine),
        environment=table.string("environment") or defaults.environment,
        categories=table.strings("categories") or defaults.categories,
        accept_changes=table.strings("accept_changes"),
        packages_from=tuple(folder / text for text in table.strings("packages_from")),
    )
    if config.platform and config.platforms:
        table.fail("platforms", "cannot stand beside 'platform'", hint="keep one of the two")
    if config.cuda_compat and not config.cuda:
        table.fail("cuda_compat", "needs 'cuda' too: the libraries are those of one version")
    table.finish()
    return config


def _checked(table: Table, key: str, check: Callable[[str], None]) -> str:
    """Return a string that `check` does not refuse with a ValueError."""
    value = table.string(key)
    if value:
        try:
            check(value)
        except ValueError as error:
            table.fail(key, str(error))
    return value


def _image(table: Table, folder: Path) -> ImageConfig:
    defaults = ImageConfig()
    config = ImageConfig(
        runtime=_runtime(table, folder) or defaults.runtime,
        base=_image_place(table, "base", folder),
        prefix=_checked(table, "prefix", check_prefix),
        name=table.string("name"),
        tags=table.strings("tags"),
        entrypoint=table.strings("entrypoint", hint="there is no shell in the image: write a list"),
        cmd=table.strings("cmd", hint="there is no shell in the image: write a list"),
        env=table.pairs("env"),
        workdir=_absolute(table, "workdir"),
        user=_user(table),
        labels=table.pairs("labels"),
        expose=_ports(table),
        layers=table.integer("layers", defaults.layers, minimum=1, maximum=120),
        max_layer_size=_size(table) or defaults.max_layer_size,
        compression=table.choice("compression", COMPRESSIONS, defaults.compression),
        compression_level=table.optional_integer("compression_level", minimum=1, maximum=22),
        allow_build_paths=table.strings("allow_build_paths"),
    )
    if config.tags and not config.name:
        table.fail("tags", "needs 'name' too: an image is called NAME:TAG")
    table.finish()
    return config


def _image_place(table: Table, key: str, folder: Path) -> str | None:
    path = table.path(key, folder)
    value = table.string(key)
    # A folder may be called as a host is; what is there comes first.
    if path is None:
        return None
    return value if is_reference(value) and not path.exists() else str(path)


def _app(table: Table, folder: Path) -> AppConfig:
    rules = []
    for rule in table.tables("copy"):
        source = rule.path("from", folder)
        target = _absolute(rule, "to")
        if source is None or not target:
            rule.fail("from" if source is None else "to", "is missing")
        rules.append(CopyRule(source=source, target=target, ignore=rule.strings("ignore")))
        rule.finish()
    config = AppConfig(prepare=table.strings("prepare"), copy=tuple(rules))
    if config.prepare and not config.copy:
        table.fail("prepare", "has nothing to work on: add an [[app.copy]]")
    table.finish()
    return config


def _pack(table: Table) -> PackConfig:
    config = PackConfig(
        dest_prefix=_checked(table, "dest_prefix", check_prefix),
        arcroot=_checked(table, "arcroot", check_arcroot).strip("/"),
        exclude=table.strings("exclude"),
        include=table.strings("include"),
        bytecode=table.boolean("bytecode", True),
        allow_build_paths=table.strings("allow_build_paths"),
    )
    table.finish()
    return config


def _slim(table: Table, folder: Path) -> SlimConfig:
    packages = table.table("packages")
    config = SlimConfig(
        profile=table.choice("profile", ("", *PROFILES), ""),
        keep=table.strings("keep"),
        drop=table.strings("drop"),
        disable=table.strings("disable"),
        rules=tuple(folder / name for name in table.strings("rules")),
        drop_packages=table.strings("drop_packages"),
        packages=tuple(_package(packages.table(name), name) for name in packages.names()),
        trace=tuple(folder / name for name in table.strings("trace")),
        gpu_arch=table.strings("gpu_arch"),
        gpu_ptx=table.boolean("gpu_ptx", False),
    )
    packages.finish()
    table.finish()
    return config


def _package(table: Table, name: str) -> PackageSlimming:
    found = PackageSlimming(name, keep=table.strings("keep"), drop=table.strings("drop"))
    table.finish()
    return found


def _verify(table: Table) -> VerifyConfig:
    defaults = VerifyConfig()
    smoke = []
    for test in table.tables("smoke"):
        command = test.strings("command", hint="there is no shell in the image: write a list")
        if not command:
            test.fail("command", "is missing")
        timeout = test.integer("timeout", SmokeTest(()).timeout, minimum=1, maximum=86_400)
        smoke.append(SmokeTest(command, timeout, test.boolean("gpu", False)))
        test.finish()
    config = VerifyConfig(
        enabled=table.boolean("enabled", defaults.enabled),
        sandbox=table.choice("sandbox", SANDBOXES, "auto"),
        ignore=table.strings("ignore"),
        skip_imports=table.strings("skip_imports"),
        smoke=tuple(smoke),
    )
    table.finish()
    return config


def _debian(table: Table) -> DebianConfig:
    config = DebianConfig(
        mirror=table.string("mirror"), security_mirror=table.string("security_mirror")
    )
    table.finish()
    return config


def _budget(table: Table, folder: Path) -> BudgetConfig:
    packages = table.table("packages")
    config = BudgetConfig(
        of=_image_place(table, "of", folder),
        image=_limit(table, "image"),
        unpacked=_limit(table, "unpacked"),
        layer=_limit(table, "layer"),
        files=table.optional_integer("files", minimum=0, maximum=10**9),
        layers=table.optional_integer("layers", minimum=0, maximum=10_000),
        against=_image_place(table, "against", folder),
        max_growth=_growth(table, "max_growth"),
        packages=tuple((name, _limit(packages, name) or 0) for name in packages.names()),
    )
    packages.finish()
    table.finish()
    return config


def _limit(table: Table, key: str) -> int | None:
    text = table.string(key)
    if key not in table.names():
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        table.fail(key, str(error))


def _growth(table: Table, key: str) -> Growth | None:
    text = table.string(key)
    if key not in table.names():
        return None
    try:
        return parse_growth(text)
    except ValueError as error:
        table.fail(key, str(error))


def _runtime(table: Table, folder: Path) -> str:
    value = table.string("runtime")
    # A runtime of one's own is a file beside the configuration.
    return str(folder / value) if value.endswith(".toml") else value


def _absolute(table: Table, key: str) -> str:
    value = table.string(key)
    if value and (not value.startswith("/") or ".." in value.split("/")):
        table.fail(key, f"expected an absolute path in the image, got {value!r}")
    if not value:
        return value
    # A slash at the end means "into this folder".
    normal = "/" + posixpath.normpath(value).strip("/")
    return f"{normal}/" if value.endswith("/") and normal != "/" else normal


def _user(table: Table) -> str:
    value = table.string("user")
    if value and not _USER.match(value):
        table.fail("user", f"expected a name or a number, with or without :GROUP, got {value!r}")
    return value


def _ports(table: Table) -> tuple[str, ...]:
    ports = []
    for value in table.scalars("expose"):
        match = _PORT.match(str(value))
        if not match or not 0 < int(match["number"]) < 65536:
            table.fail("expose", f"expected ports such as 8000 or '53/udp', got {value!r}")
        ports.append(str(value) if "/" in str(value) else f"{value}/tcp")
    return tuple(ports)


def _size(table: Table) -> int:
    value = table.string("max_layer_size")
    if not value:
        return 0
    match = _SIZE.match(value)
    if not match or float(match["number"]) <= 0:
        table.fail("max_layer_size", f"expected a size such as '4GB', got {value!r}")
    unit = _UNITS[match["unit"]]
    if match["binary"]:
        unit = 1 << 10 * list(_UNITS).index(match["unit"])
    return int(float(match["number"]) * unit)
