"""What an image exceeds of its limits, and which packages are to blame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

from packaging.utils import canonicalize_name

from slimpack.budget.measure import Measured, Usage, package_key
from slimpack.config import BudgetConfig
from slimpack.errors import InputError

_CULPRITS = 10
_LIMITS = "image, unpacked, layer, files, layers, max_growth or packages"


@dataclass(frozen=True)
class Culprit:
    """A package that makes the difference. amount: in the check's unit, signed for growth."""

    name: str
    origin: str
    version: str
    amount: int


@dataclass(frozen=True)
class Check:
    """One limit, and what became of it.

    limit: the key of ``[budget]``. subject: the layer or package that is meant, "" for the
    image. unit: "bytes" or "count". allowed, actual: in that unit; growth may be negative.
    culprits: the biggest first, where the limit is exceeded.
    """

    limit: str
    subject: str
    unit: str
    allowed: int
    actual: int
    culprits: tuple[Culprit, ...] = ()

    @property
    def exceeded(self) -> bool:
        """Whether it is more than allowed."""
        return self.actual > self.allowed

    @property
    def percent(self) -> float | None:
        """Actual in percent of what is allowed; None where nothing is allowed."""
        return 100 * self.actual / self.allowed if self.allowed else None


@dataclass(frozen=True)
class Verdict:
    """All checks of one image, in the order of the configuration's reference.

    baseline: the digest that growth is measured from, "" for none.
    absent: names of packages with a limit that are not in the image.
    """

    label: str
    digest: str
    baseline: str
    checks: tuple[Check, ...]
    absent: tuple[str, ...] = ()

    @property
    def exceeded(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.exceeded)

    def to_json(self) -> dict[str, object]:
        """Return it as plain data, for ``--json``."""
        checks = [
            {**asdict(check), "exceeded": check.exceeded, "percent": check.percent}
            for check in self.checks
        ]
        return {"version": 1, "ok": not self.exceeded, **asdict(self), "checks": checks}


def judge(measured: Measured, budget: BudgetConfig, baseline: Measured | None = None) -> Verdict:
    """Compare an image with its limits.

    baseline: what growth is measured from. Raises InputError where there is no limit at
    all, or one for growth without a baseline, or a baseline without one.
    """
    _check_limits(budget, baseline)
    checks = [
        *_whole(measured, budget),
        *_layers(measured, budget),
        *_growth(measured, budget, baseline),
        *_packages(measured, budget),
    ]
    names = {package_key(usage.name, usage.origin)[0] for usage in measured.packages}
    absent = (name for name, _ in budget.packages if not _is_glob(name))
    return Verdict(
        label=measured.label,
        digest=measured.digest,
        baseline=baseline.digest if baseline else "",
        checks=tuple(checks),
        absent=tuple(
            name for name in absent if name not in names and canonicalize_name(name) not in names
        ),
    )


def _check_limits(budget: BudgetConfig, baseline: Measured | None) -> None:
    if budget.max_growth is not None and baseline is None:
        raise InputError(
            "max_growth: nothing to compare with",
            hint="pass --against IMAGE (or the JSON of `slimpack report`), or set 'against' "
            "under [budget]",
        )
    if baseline is not None and budget.max_growth is None:
        raise InputError(
            "--against: there is no limit for growth",
            hint="pass --max-growth '5 %', or set max_growth under [budget]",
        )
    single = (budget.image, budget.unpacked, budget.layer, budget.files, budget.layers)
    if all(limit is None for limit in single) and not (budget.packages or budget.max_growth):
        raise InputError(
            "there is nothing that the image could exceed",
            hint=f"set {_LIMITS} under [budget] in slimpack.toml (docs/ci.md)",
        )


def _whole(measured: Measured, budget: BudgetConfig) -> Iterator[Check]:
    sized: tuple[tuple[str, int | None, int, Callable[[Usage], int], str], ...] = (
        ("image", budget.image, measured.compressed, lambda usage: usage.compressed, "bytes"),
        ("unpacked", budget.unpacked, measured.unpacked, lambda usage: usage.bytes, "bytes"),
        ("files", budget.files, measured.files, lambda usage: usage.files, "count"),
    )
    for limit, allowed, actual, amount, unit in sized:
        if allowed is not None:
            found = _culprits(measured.packages, amount) if actual > allowed else ()
            yield Check(limit, "", unit, allowed, actual, found)
    if budget.layers is not None:
        yield Check("layers", "", "count", budget.layers, len(measured.layers))


def _layers(measured: Measured, budget: BudgetConfig) -> Iterator[Check]:
    """Yield a check for each layer that is too big, else one for the biggest."""
    if budget.layer is None or not measured.layers:
        return
    biggest = sorted(enumerate(measured.layers), key=lambda pair: -pair[1].compressed)
    for place, (number, layer) in enumerate(biggest):
        over = layer.compressed > budget.layer
        if over or not place:
            inside = [usage for usage in measured.packages if usage.layer == number]
            found = _culprits(inside, lambda usage: usage.compressed) if over else ()
            subject = layer.name or f"number {number}"
            yield Check("layer", subject, "bytes", budget.layer, layer.compressed, found)


def _growth(measured: Measured, budget: BudgetConfig, baseline: Measured | None) -> Iterator[Check]:
    if budget.max_growth is None or baseline is None:
        return
    allowed = budget.max_growth.allowed(baseline.compressed)
    actual = measured.compressed - baseline.compressed
    found = _grown(measured, baseline) if actual > allowed else ()
    yield Check("max_growth", "", "bytes", allowed, actual, found)


def _grown(measured: Measured, baseline: Measured) -> tuple[Culprit, ...]:
    old = {package_key(usage.name, usage.origin): usage for usage in baseline.packages}
    grown = []
    for usage in measured.packages:
        before = old.get(package_key(usage.name, usage.origin))
        more = usage.compressed - (before.compressed if before else 0)
        version = usage.version
        if before is None:
            version = f"{version} (new)".strip()
        elif before.version != version:
            version = f"{before.version} -> {version}"
        if more > 0:
            grown.append(Culprit(usage.name, usage.origin, version, more))
    return tuple(sorted(grown, key=lambda item: (-item.amount, item.name)))[:_CULPRITS]


def _packages(measured: Measured, budget: BudgetConfig) -> Iterator[Check]:
    """Yield a check for each package that is too big, else one for the biggest of a pattern."""
    ruled: dict[str, list[Usage]] = {}
    for usage in measured.packages:
        if (pattern := _pattern(usage, budget.packages)) is not None:
            ruled.setdefault(pattern, []).append(usage)
    for pattern, allowed in budget.packages:
        usages = sorted(ruled.get(pattern, ()), key=lambda usage: (-usage.bytes, usage.name))
        for place, usage in enumerate(usages):
            if usage.bytes > allowed or not place:
                subject = f"{usage.name} {usage.version}".strip()
                yield Check(f"packages.{pattern}", subject, "bytes", allowed, usage.bytes)


def _pattern(usage: Usage, patterns: Iterable[tuple[str, int]]) -> str | None:
    """Return the pattern that counts for a package: its name, else the glob with most letters.

    Folders of files that no package owns are only meant by patterns with a slash in front.
    """
    name = package_key(usage.name, usage.origin)[0]
    fitting = [
        pattern
        for pattern, _ in patterns
        if pattern.startswith("/") == (not usage.origin)
        and (pattern in (name, usage.name) or fnmatchcase(name, _spelt(pattern, usage.origin)))
    ]
    return max(fitting, key=_exactness, default=None)


def _exactness(pattern: str) -> tuple[bool, int]:
    return not _is_glob(pattern), sum(character not in "*?[]" for character in pattern)


def _spelt(pattern: str, origin: str) -> str:
    """Return a pattern as names of pip's packages are spelt: My_Wheel is my-wheel."""
    if origin != "pypi":
        return pattern
    return pattern.lower().replace("_", "-").replace(".", "-")


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _culprits(usages: Iterable[Usage], amount: Callable[[Usage], int]) -> tuple[Culprit, ...]:
    found = [Culprit(one.name, one.origin, one.version, amount(one)) for one in usages]
    return tuple(sorted(found, key=lambda item: (-item.amount, item.name)))[:_CULPRITS]
