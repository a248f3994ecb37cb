"""Programs that read all, nothing, or only the beginning; that say much or no."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from slimpack.daemon.process import ProgramError, ask, feed


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


COUNT = "import sys; print(len(sys.stdin.buffer.read()))"


def test_all_chunks_arrive() -> None:
    assert feed(python(COUNT), [b"x" * 100_000] * 30) == "3000000"


def test_much_output_while_input_is_written() -> None:
    echo = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    assert len(feed(python(echo), [b"x" * 100_000] * 30)) == 3_000_000


def test_a_program_that_reads_nothing_tells_why() -> None:
    text = "import sys; sys.stdin.close(); sys.exit('error: it is full')"
    with pytest.raises(ProgramError, match="error: it is full"):
        feed(python(text), [b"x" * 100_000] * 100)


def test_a_program_that_is_content_with_the_beginning() -> None:
    assert feed(python("import sys; print(len(sys.stdin.buffer.read(5)))"), [b"x" * 99999] * 9)


def test_what_a_program_says_is_cut() -> None:
    with pytest.raises(ProgramError) as caught:
        ask(python("import sys; sys.exit('x' * 100_000 + 'the end')"))
    assert caught.value.message.endswith("the end")
    assert len(caught.value.message) <= 2000


def test_an_exit_code_without_a_word() -> None:
    with pytest.raises(ProgramError, match="exit code 3"):
        ask(python("raise SystemExit(3)"))


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ProgramError, match="cannot run no-such-program: No such file"):
        ask(["no-such-program"])


def test_an_error_in_the_stream_ends_the_program() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("a layer is damaged")

    with pytest.raises(KeyError, match="damaged"):
        feed(python(COUNT), broken())


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimpack.daemon.process._GRACE", 0.5)
    deaf = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)"
    )

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        feed(python(deaf), broken())
