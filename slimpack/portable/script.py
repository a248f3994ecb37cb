"""``bin/conda-unpack``: one file that sh and every Python can run.

Its head is ``conda_unpack.sh``, which Python takes for a string; then comes the
text of ``unpack_program.py``; then the files, once as conda-pack lists them,
because others read that list, and once with the places of their prefixes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby

from slimpack.portable import unpack_program
from slimpack.portable.records import PrefixRecord

NAME = "bin/conda-unpack"
_START = "from __future__ import print_function\n"
_MAIN = """\
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __file__, "{version}"))
"""


def conda_unpack_script(records: Sequence[PrefixRecord], version: str) -> bytes:
    """Return the program for an environment with these files (mode 0755, at `NAME`)."""
    head = files("slimpack.portable").joinpath("conda_unpack.sh").read_text("utf-8")
    program = inspect.getsource(unpack_program)
    parts = [
        head.replace("@VERSION@", version),
        program[program.index(_START) :],
        "\n\n# As conda-pack writes it, for programs that read it.\n_prefix_records = [\n",
        ",\n".join(ascii((r.path, r.placeholder, r.mode)) for r in records),
        "\n]\n\n",
        _MAIN.format(version=version),
        "\n",
        _table(records),
    ]
    return "".join(parts).encode()


def _table(records: Sequence[PrefixRecord]) -> str:
    """Return the table that `unpack_program.parse_table` and the sh part read."""
    lines = [unpack_program.TABLE.decode()]
    ordered = sorted(records, key=lambda record: (record.placeholder, record.path))
    for placeholder, group in groupby(ordered, key=lambda record: record.placeholder):
        lines.append(f"#p {placeholder}")
        lines += [f"#{r.mode[0]} {r.size} {_steps(r)} {r.path}" for r in group]
    return "\n".join(lines) + "\n"


def _steps(record: PrefixRecord) -> str:
    if record.mode == "text":
        return ",".join(str(gap) for gap, _, _ in record.steps)
    return ",".join(":".join(map(str, step)) for step in record.steps)
