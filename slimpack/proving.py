"""The proof that an image works: made, or known from an earlier build (`slimpack.warm.proof`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial as bound
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.config import Config
from slimpack.cuda.arch import promise
from slimpack.errors import SlimpackError
from slimpack.means import Means
from slimpack.oci.image import Image
from slimpack.part import Part
from slimpack.verify.model import Verification
from slimpack.warm.members import known_members
from slimpack.warm.proof import (
    IMPORTS,
    SMOKE,
    Proof,
    keep_modules,
    keep_proof,
    recall_imports,
    recall_modules,
    recall_proof,
    recall_rest,
)

if TYPE_CHECKING:  # a build of which nothing changed needs none of it
    from slimpack.env.locks.lock import Lock
    from slimpack.oci.layer import Layer
    from slimpack.oci.members import Listed
    from slimpack.oci.rootfs import Placed
    from slimpack.oci.untar import Member
    from slimpack.verify.context import Watched
    from slimpack.verify.model import Result
    from slimpack.verify.subject import Subject
    from slimpack.verify.verifying import Choose
    from slimpack.warm.imported import Imported
    from slimpack.warm.partial import Partial


def prove(
    image: Image,
    proof: Proof,
    config: Config,
    means: Means,
    *,
    name: str,
    staging: Path | None,
    scratch: Path,
    lock: Lock | None,
    listed: Callable[[], Listed],
    warm: bool,
) -> Verification:
    """Return what came of all checks of `image`.

    proof: by what it is known; warm: whether an earlier build's counts. name: of the image
    in messages. staging: the environment, None when it was not installed: what could not be
    imported there is no fault of the image. lock: what it was installed from, None where nobody
    knows. listed: gives what layers are said to hold (`slimpack.rootfs.unpack_image`), so that
    they are read once, and not first for their names. Raises what `slimpack.verify.verifying` does.
    """
    memos = means.memos
    if warm and (known := recall_proof(proof, name, memos)):
        return known
    rest = recall_rest(proof, name, memos) if warm else None
    if rest and not config.verify.smoke:
        keep_proof(proof, rest, (), memos)
        return rest
    from slimpack.oci.rootfs import merged_view

    if rest:  # the user's own tests see all
        results = {one.name: one for one in rest.results if one.name != SMOKE}
    else:
        results = recall_imports(proof, memos) if warm else {}
    earlier = recall_modules(proof, memos) if warm and IMPORTS not in results else None
    told, known_of = listed(), known_members(memos)

    def members_of(layer: Layer) -> list[Member]:
        members = told.get(layer.digest)
        return known_of(layer) if members is None else list(members)

    with _choosing(config.verify.sandbox, str(image.platform)) as choose:
        view = means.layers.healing(lambda: merged_view(image, members_of))
        task = _Task(image, proof, config, means, name, staging, scratch, view, told, choose)
        done = task.some(earlier, lock) if earlier else None
        return done or task.all(results, earlier, kept=f"all but {SMOKE}" if rest else "")


@contextmanager
def _choosing(wanted: str, platform: str) -> Iterator[Choose]:
    """Give what tells which sandbox to take: they are tried out while the image is unpacked."""
    from concurrent.futures import ThreadPoolExecutor

    from slimpack.sandbox import choose_sandbox
    from slimpack.verify.verifying import NONE

    if wanted == NONE:
        yield choose_sandbox
        return
    with ThreadPoolExecutor(1) as pool:
        chosen = pool.submit(choose_sandbox, wanted, platform)
        yield lambda *_: chosen.result()


@dataclass(frozen=True)
class _Task:
    """One image to verify; see `prove`.

    view: its files, of which `listed` is a part. choose: gives the sandbox.
    """

    image: Image
    proof: Proof
    config: Config
    means: Means
    name: str
    staging: Path | None
    scratch: Path
    view: Mapping[str, Placed]
    listed: Listed
    choose: Choose

    def all(
        self, results: Mapping[str, Result], earlier: Imported | None, *, kept: str
    ) -> Verification:
        """Unpack all files, and make all checks but those of which there are `results`.

        earlier: which modules need not be imported. kept: what was proven before, if
        `results` do not tell.
        """
        watched = self._watched(earlier)
        with self._opened("root") as subject:
            done = self._verified(subject, watched, results)
            self._keep(done, subject, watched, earlier)
        return replace(done, kept=kept or _told(results, watched))

    def some(self, earlier: Imported, lock: Lock | None) -> Verification | None:
        """Look at what has changed alone; None where that is not enough."""
        from slimpack.warm.partial import is_enough, partial_of, with_known

        partial = partial_of(earlier, self.proof.packed, lock, self.proof.how)
        if partial is None or self.config.verify.smoke:  # the user's own tests see all
            return None
        watched = self._watched(earlier)
        try:
            with self._opened("some", partial) as subject:
                done = self._verified(subject, watched, partial.results)
                if not is_enough(partial, subject, watched, done, self.proof.packed):
                    return None
                done = with_known(partial, done)
                self._keep(done, subject, watched, earlier)
        except FileNotFoundError:  # a check has opened what is not there
            return None
        rest = f"files of all packages but {', '.join(sorted(earlier.packages))}"
        return replace(done, kept=f"{rest}, {_told((), watched)}")

    def _keep(
        self, done: Verification, subject: Subject, watched: Watched, earlier: Imported | None
    ) -> None:
        """Keep what was found of the whole image, for later builds."""
        keep_proof(self.proof, done, watched.read, self.means.memos)
        keep_modules(self.proof, subject, watched, earlier, done, self.means.memos)

    def _watched(self, earlier: Imported | None) -> Watched:
        from slimpack.verify.context import Watched

        known = earlier.known if earlier else frozenset()
        return Watched(self.proof.watched, known=known, record=bool(self.proof.imported))

    @contextmanager
    def _opened(self, name: str, partial: Partial | None = None) -> Iterator[Subject]:
        """Unpack the image, in memory where there is room: files are read once, and removed."""
        from slimpack.cache.memory import memory_scratch

        absent = partial.absent if partial else frozenset()
        there = [one.source for path, one in self.view.items() if path not in absent]
        size = sum(member.size for member in there if member)
        with memory_scratch(size, len(there)) as memory:
            yield self._unpacked(name, memory, absent, partial.known if partial else {})

    def _unpacked(
        self, name: str, memory: Path | None, absent: Set[str], known: Mapping[str, str]
    ) -> Subject:
        from slimpack.verify.opening import open_image

        def opened(folder: Path) -> Subject:
            return self.means.layers.healing(
                lambda: open_image(
                    self.image,
                    folder / name,
                    self.name,
                    view=self.view,
                    listed=self._compared(absent),
                    absent=absent,
                    known=known,
                    progress=self.means.progress,
                )
            )

        if memory:
            try:
                return opened(memory)
            except SlimpackError as error:
                if not isinstance(error.__cause__, OSError):
                    raise  # else others have taken the memory meanwhile
        return opened(self.scratch)

    def _compared(self, absent: Set[str]) -> Listed:
        """Return what layers are said to hold, of those that are read anyway."""
        if not absent:
            return self.listed
        read = {
            self.image.layers[one.layer].digest
            for path, one in self.view.items()
            if path not in absent and one.source and one.source.kind == "file"
        }
        return {digest: members for digest, members in self.listed.items() if digest in read}

    def _verified(
        self, subject: Subject, watched: Watched, results: Mapping[str, Result]
    ) -> Verification:
        from slimpack.verify.opening import open_prefix
        from slimpack.verify.verifying import verify

        return verify(
            subject,
            self.config.verify,
            scan=False,  # every byte was searched while the layers were written
            before=bound(open_prefix, self.staging) if self.staging else None,
            known=results,
            watched=watched,
            choose=self.choose,
            progress=self.means.progress,
        )


def _told(results: Iterable[str], watched: Watched) -> str:
    """Say what was not proven again."""
    asked, total = watched.counts or (0, 0)
    some = (f"imports of all but {asked} of {total} modules",) if asked < total else ()
    return ", ".join((*results, *some))


def raise_if_failed(verification: Verification) -> None:
    """Raise VerifyError before anybody gets what does not work."""
    if verification.failed:
        from slimpack.verify import verifying

        verifying.raise_if_failed(verification)


def promises(part: Part, config: Config, verification: Verification | None) -> Iterator[str]:
    """Say what the image holds less than its user may expect."""
    if part.devices:
        yield promise(part.devices, verified=_on_gpu(config, verification))


def _on_gpu(config: Config, verification: Verification | None) -> bool:
    """Tell whether the user's tests for a GPU ran on one, and all went well."""
    done = [one for one in (verification.results if verification else ()) if one.name == SMOKE]
    asked = any(test.gpu for test in config.verify.smoke)
    return asked and any(not one.skipped and not one.findings for one in done)
