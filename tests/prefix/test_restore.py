from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from conda_pack.prefixes import replace_prefix
from hypothesis import assume, given
from hypothesis import strategies as st

from slimpack.prefix.restore import PLACEHOLDER, occurrences, proven, replaced, restore, stands_in
from slimpack.prefix.shebang import shortened
from slimpack.verify.prefixes import GENERIC_PLACEHOLDERS

LONG = "/build/_h_env_PPPPPPPPPPPPPPPP"
# One segment: no two occurrences of such a path can overlap.
PREFIXES = st.from_regex(r"/[a-z \u00e9]{1,12}", fullmatch=True)
PIECES = st.lists(
    st.one_of(
        st.just(LONG.encode()),
        st.sampled_from([b"\0", b"\0\0\0", b"/a:", b"/lib", b"x", b"\xff\xfe", b"\n"]),
        st.binary(max_size=6),
    ),
    max_size=12,
).map(b"".join)


@given(data=PIECES, prefix=PREFIXES)
def test_restoring_a_binary_undoes_the_installer(data: bytes, prefix: str) -> None:
    assume(prefix.encode() not in data)
    installed = replace_prefix(data, "binary", LONG, prefix)
    assert restore(installed, prefix, LONG, "binary") == data


@given(data=PIECES, prefix=PREFIXES)
def test_restoring_text_undoes_the_installer(data: bytes, prefix: str) -> None:
    assume(prefix.encode() not in data)
    installed = replace_prefix(data, "text", LONG, prefix)
    assert restore(installed, prefix, LONG, "text") == data


def test_a_string_at_the_end_of_the_file_takes_all_the_room() -> None:
    """Rattler replaces those too, and leaves no NUL behind them but the padding."""
    room = b"\0" * (len(LONG) - 2)
    assert restore(b"\0/p" + room, "/p", LONG, "binary") == b"\0" + LONG.encode()


@pytest.mark.parametrize(
    "data",
    [b"/p", b"/p/x\0", b"/p:/p" + b"\0" * (2 * (len(LONG) - 2) - 1), b"/p\0\0x" + b"\0" * 99],
)
def test_a_string_without_room_cannot_grow(data: bytes) -> None:
    with pytest.raises(ValueError, match="no room behind the string at byte 0"):
        restore(data, "/p", LONG, "binary")


def test_what_cannot_be_restored() -> None:
    with pytest.raises(ValueError, match="longer than the placeholder"):
        restore(b"", "/" + "x" * 300, LONG, "binary")
    with pytest.raises(ValueError, match="text or binary"):
        restore(b"", "/p", LONG, "unknown")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("packaged", "installed"),
    [
        ("#!{}/bin/python -s\nx {}\n", "#!/p/bin/python -s\nx /p\n"),
        # Too long or with blanks: conda, then rattler, then distlib.
        ("#!{}/bin/python -s\nx {}\n", "#!/usr/bin/env python -s\nx /p\n"),
        (
            "#!{}/bin/python -s\nx\n",
            "#!/bin/sh\n'''exec' \"/p/bin/python\" -s \"$0\" \"$@\" #'''\nx\n",
        ),
        ("#!{}/bin/python\nx\n", "#!/bin/sh\n'''exec' /p/bin/python \"$0\" \"$@\"\n' '''\nx\n"),
        # The package names a path that only begins like the prefix.
        ("a {}/x b /p2/x", "a /p/x b /p2/x"),
        ("nothing", "nothing"),
    ],
)
def test_proven_text(packaged: str, installed: str) -> None:
    original = packaged.replace("{}", LONG).encode()
    found = proven(installed.encode(), sha(original), prefix="/p", placeholder=LONG, mode="text")
    assert found == original
    changed = proven(
        installed.encode() + b"!", sha(original), prefix="/p", placeholder=LONG, mode="text"
    )
    assert changed is None


def test_the_mode_is_seen_when_no_record_tells() -> None:
    original = b"\0" + LONG.encode() + b"/x\0"
    installed = replace_prefix(original, "binary", LONG, "/p")
    assert proven(installed, sha(original), prefix="/p", placeholder=LONG) == original


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("/opt/env", 1),
        ("/opt/env/bin:/opt/env/lib", 2),
        ("'/opt/env' \"/opt/env\" =/opt/env;", 3),
        ("-I/opt/env/include -Wl,-rpath,/opt/env/lib -isystem/opt/env", 3),
        ("file:///opt/env/x", 1),
        (r"'\n/opt/env/bin'", 1),
        ("lives in /opt/env.", 1),
        ("/opt/env2 /opt/env-old /opt/env_x /opt/env.d /opt/envé", 0),
        ("/srv/opt/env ~/opt/env ${ROOT}/opt/env $ROOT/opt/env", 0),
    ],
)
def test_whole_paths_only(text: str, count: int) -> None:
    assert len(list(occurrences(text.encode(), "/opt/env"))) == count
    assert replaced(text.encode(), "/opt/env", "@@").count(b"@@") == count


@pytest.mark.parametrize(
    ("data", "named"),
    [(b"\0V/opt/env/x\0", True), (b"\0/opt/env2\0/opt/env\0", True), (b"\0/opt/env2\0", False)],
)
def test_binaries_have_any_byte_before_a_path(data: bytes, named: bool) -> None:
    assert stands_in(data, "/opt/env") is named


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_replacing_keeps_everything_else(before: bytes, after: bytes) -> None:
    data = before + b"/opt/env" + after
    assert replaced(data, "/opt/env", "/opt/env") == data


def test_our_placeholder_is_known_to_the_scan() -> None:
    """Bytecode of this package would hold it if the compiler could fold it."""
    assert len(PLACEHOLDER) == 255
    assert any(text in PLACEHOLDER for text in GENERIC_PLACEHOLDERS)
    import slimpack.prefix.restore as module

    code = compile(Path(module.__file__).read_text(encoding="utf-8"), "restore.py", "exec")
    assert not [c for c in code.co_consts if isinstance(c, str) and PLACEHOLDER[:40] in c]


def test_plain_scripts_stay_the_same_object() -> None:
    data = b"#!/bin/sh\necho\n"
    assert shortened(data) is data
