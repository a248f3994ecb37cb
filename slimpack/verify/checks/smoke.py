"""The user's own tests, run in the result."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, SkippedError
from slimpack.verify.subject import Subject

_TAIL = 2000  # characters of output that are shown


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    if not context.config.smoke:
        raise SkippedError("no [[verify.smoke]] is configured")
    runner = context.need_runner()
    for test in context.config.smoke:
        command = shlex.join(test.command)
        if test.gpu and runner.gpu is None:
            yield Finding(
                "",
                f"{command}: not verified: no GPU here",
                severity="warning",
                fix="run `slimpack verify` on a machine with a GPU",
            )
            continue
        done = runner.run(test.command, timeout=test.timeout, gpu=test.gpu)
        output = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-_TAIL:]
        if done.timed_out:
            how = f"did not end within {test.timeout} seconds"
        elif done.returncode:
            how = f"failed with exit code {done.returncode}"
        else:
            continue
        yield Finding("", f"{command} {how}{f': {output}' if output else ''}")


CHECK = Check(
    name="smoke",
    severity="error",
    explanation="Your own test of the result did not succeed.",
    fix="see its output; run it by hand with the same command in the image",
    run=_run,
    runs=True,
)
