"""What a check is given beside its subject."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slimpack.config import VerifyConfig
from slimpack.errors import SlimpackError
from slimpack.sandbox import Bind, Command, Finished, Gpu, Options, Prepared
from slimpack.sandbox.users import find_user
from slimpack.verify.dependence import Dependence
from slimpack.verify.model import SkippedError
from slimpack.verify.subject import Pairs, Subject

Baseline = Callable[[Sequence[str]], set[str] | None]
"""Takes names of modules, returns those that could not be imported before slimming either.

None where nobody can tell. Asked for nothing, it does nothing.
"""


@dataclass(frozen=True)
class Watched:
    """What somebody wants to know of the importing of all modules.

    paths: files of which it matters whether they are read; absolute, in the subject's root,
        without links. read: those of them that were.
    known: names of modules that need not be imported again.
    record: whether to note what modules depend on. dependence: that, with absolute paths.
    loaded: module -> its package, of those that were imported in the process that was recorded.
    failed: module -> why it could not be imported. retried: those that failed among others.
    counts: how many modules were imported, and how many there are.
    """

    paths: frozenset[str] = frozenset()
    read: set[str] = field(default_factory=set)
    known: frozenset[str] = frozenset()
    record: bool = False
    dependence: Dependence = field(default_factory=Dependence)
    loaded: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    retried: set[str] = field(default_factory=set)
    counts: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Runner:
    """Starts programs of a subject as its user would: same user, variables and folder.

    gpu: of this machine, None without one; commands see it when they ask for it.
    binds: what else of this machine they see.
    """

    prepared: Prepared
    subject: Subject
    gpu: Gpu | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    binds: tuple[Bind, ...] = ()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        max_output: int = 1 << 20,
        gpu: bool = False,
        env: Pairs = (),
    ) -> Finished:
        """Run a command to its end; see `slimpack.sandbox.Command`.

        gpu: with that, if any. env: variables beside those of the subject.
        """
        start = self.subject.start
        image = self.subject.kind == "image"
        return self.prepared.run(
            Command(
                argv=tuple(argv),
                env=(*_home(self.subject), *start.env, *env) if image else (*start.env, *env),
                user=start.user if image else "",
                workdir=start.workdir if image else "",
                stdin=stdin,
                timeout=timeout,
                max_output=max_output,
            ),
            # Programs of environments and archives run on this machine, and have it anyway.
            Options(self.binds, gpu=self.gpu if gpu and image else None),
            stop=self.stop,
        )


def _home(subject: Subject) -> Pairs:
    """Return a HOME that can be written to, as that of a container can: cupy makes a folder there.

    The root of a sandbox is read-only. Where the image has files in its user's home, or
    a HOME of its own, that stays.
    """
    try:
        home = find_user(subject.root, subject.start.user).home.strip("/")
    except SlimpackError:
        return ()  # the entrypoint's check tells
    if not home or any(entry.path.startswith(f"{home}/") for entry in subject.tree):
        return ()
    return (("HOME", "/tmp"),)  # noqa: S108 (the sandbox's own)


@dataclass(frozen=True)
class Context:
    """Everything that checks may ask for.

    runner: starts programs, None where that cannot be done; why_not says why.
    scan: whether every byte is searched for build paths (a build has done so).
    forbidden: paths of this machine's builds that must not be in the subject.
    before: gives the same environment before slimming, which is looked at only where something
        is wrong; None when it is not at hand.
    baseline: what failed there, None when nobody can tell.
    watched: learns which files imports read.
    """

    config: VerifyConfig = field(default_factory=VerifyConfig)
    runner: Runner | None = None
    why_not: str = "no sandbox was asked for"
    scan: bool = True
    forbidden: tuple[bytes, ...] = ()
    before: Callable[[], Subject] | None = None
    baseline: Baseline | None = None
    watched: Watched | None = None

    def need_runner(self) -> Runner:
        """Return the runner; SkippedError without one."""
        if self.runner is None:
            raise SkippedError(self.why_not)
        return self.runner
