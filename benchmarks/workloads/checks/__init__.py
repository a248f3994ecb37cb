"""Self-tests of packages that need none of the packages' own test suites.

An image carries this folder beside its application. Each module holds ``CHECKS``, functions that
use the public interface of one package broadly and compare with values known beforehand; they
raise when the package does not do what it should, or cannot be imported as a whole any more.
"""

from __future__ import annotations

import math
import sys
import time
import traceback


class MismatchError(Exception):
    """A package gave another answer than it should."""


def expect(condition, what="a condition does not hold"):
    """Raise unless a condition holds. Not ``assert``: that one vanishes with ``python -O``."""
    if not condition:
        raise MismatchError(what)


def equal(found, wanted):
    """Raise unless two plain values are equal."""
    expect(found == wanted, f"found {found!r}, not {wanted!r}")


def close(found, wanted, tolerance=1e-6):
    """Raise unless numbers, or nested sequences of them, agree to a relative tolerance."""
    found, wanted = (x.tolist() if hasattr(x, "tolist") else x for x in (found, wanted))
    if isinstance(wanted, (list, tuple)):
        expect(len(found) == len(wanted), f"{len(found)} values, not {len(wanted)}")
        for one, other in zip(found, wanted):
            close(one, other, tolerance)
        return
    same = math.isclose(found, wanted, rel_tol=tolerance, abs_tol=tolerance)
    expect(same, f"found {found!r}, not {wanted!r}")


def raises(kind, function, *arguments):
    """Raise unless calling a function raises the given kind of exception."""
    try:
        function(*arguments)
    except kind:
        return
    raise MismatchError(f"no {kind.__name__} was raised")


def run(*modules):
    """Run all checks of some modules; a line each, 1 at the first failure, else 0."""
    passed = 0
    for module in modules:
        package = module.__name__.rpartition(".")[2]
        for check in module.CHECKS:
            start = time.perf_counter()
            try:
                check()
            except Exception as problem:
                print(f"FAILED  {package}.{check.__name__}: {type(problem).__name__}: {problem}")
                traceback.print_exc(file=sys.stdout)
                print(f"{passed} checks passed, 1 failed", flush=True)
                return 1
            seconds = time.perf_counter() - start
            print(f"ok  {package}.{check.__name__}  {seconds:.2f} s", flush=True)
            passed += 1
    print(f"{passed} checks passed", flush=True)
    return 0
