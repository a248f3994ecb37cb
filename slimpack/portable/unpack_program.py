"""The Python part of ``bin/conda-unpack``: writes the place of an environment into its files.

Its text, from the first import on, goes into the program that every portable
archive carries, and slimpack runs the same code. So: Python 2.7 and every 3,
standard library only, bytes throughout.

A file is described by steps, one for each occurrence of the prefix::

    (gap, tail, count)

gap: bytes between the end of the step before and the prefix. tail, count: 0,
except at the last occurrence inside a C string of a binary: then `count`
occurrences lie in the string, `tail` bytes follow the last one, and after them
come ``count * (len(placeholder) - len(prefix))`` NULs, so that the string always
takes the space that it took at first. With that the offset of each occurrence
is known for any prefix, and nothing is ever searched.
"""

from __future__ import print_function

import argparse
import errno
import os
import re
import stat
import sys
import tempfile

TYPE_CHECKING = False  # Python 2 has no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Seen = Callable[[bytes], None]
    Outcome = tuple[int, list[tuple[bytes, str]]]
    Records = Iterator["Record"]

TABLE = b"#= table 1"  # starts the list of files behind the program
STATE = b"conda-meta/unpacked-prefix"  # the prefixes that files may have by now, newest first
MAX_STATE = 64 << 10  # bytes
MAX_STEPS = 1000000  # of a file whose steps nobody noted
CHANGED = "it was changed after it was packed; the prefix is not where it was"


class RefusedError(Exception):
    """A file that stays as it is; `changed` says that it has none of the known prefixes."""

    def __init__(self, reason, changed=False):
        # type: (str, bool) -> None
        Exception.__init__(self, reason)
        self.changed = changed


class Record(object):
    """A file with a prefix inside: see the head of this module.

    size: bytes of the file with the placeholder. steps: None when they are to be
    found in the file, which works as long as the placeholder is in place.
    """

    def __init__(self, path, placeholder, mode, size=0, steps=None):
        # type: (bytes, bytes, str, int, list[tuple[int, int, int]] | None) -> None
        self.path = path
        self.placeholder = placeholder
        self.mode = mode
        self.size = size
        self.steps = steps


def find_steps(data, placeholder, mode):
    # type: (bytes, bytes, str) -> list[tuple[int, int, int]]
    """Return the steps of a file that has its placeholder."""
    starts = [match.start() for match in re.finditer(re.escape(placeholder), data)]
    steps = []
    position = count = 0
    for index, start in enumerate(starts):
        gap, after = start - position, start + len(placeholder)
        count += 1
        tail = 0
        if mode == "binary":
            end = data.find(b"\0", after)
            end = len(data) if end < 0 else end
            if index + 1 == len(starts) or starts[index + 1] >= end:
                tail = end - after
            else:  # the next occurrence is in the same C string
                steps.append((gap, 0, 0))
                position = after
                continue
        steps.append((gap, tail, count if mode == "binary" else 0))
        position = after + tail
        count = 0
    return steps


def take_apart(data, record, prefix):
    # type: (bytes, Record, bytes) -> list[bytes] | None
    """Return what stands around the prefixes, or None if the file does not have this prefix."""
    pieces = []
    position = 0
    spare = len(record.placeholder) - len(prefix)
    for gap, tail, count in record.steps or ():
        at = position + gap
        after = at + len(prefix)
        if data[at:after] != prefix:
            return None
        end = after + tail
        padding = count * spare
        if padding < 0 or data.count(b"\0", end, end + padding) != padding:
            return None
        if tail and data[end - 1 : end] in (b"", b"\0"):
            return None  # the string is shorter: another prefix that starts like this one
        pieces += [data[position:at], data[after:end]]
        position = end + padding
    pieces.append(data[position:])
    return pieces


def put_together(pieces, record, prefix):
    # type: (list[bytes], Record, bytes) -> bytes
    """Return the file with this prefix; the reverse of `take_apart`."""
    spare = len(record.placeholder) - len(prefix)
    made = []
    for index, (_, _, count) in enumerate(record.steps or ()):
        made += [pieces[2 * index], prefix, pieces[2 * index + 1], b"\0" * (count * spare)]
    return b"".join(made + pieces[-1:])


def present_prefix(data, record, known):
    # type: (bytes, Record, list[bytes]) -> bytes
    """Return the prefix that the file has, one of `known` or the placeholder."""
    candidates = known + [record.placeholder] * (record.placeholder not in known)
    found = [prefix for prefix in candidates if take_apart(data, record, prefix) is not None]
    if len(found) > 1:  # such as /a and /ab: they differ in length, so the size decides
        count = len(record.steps or ())
        spare = len(record.placeholder)
        sizes = [record.size + count * (len(prefix) - spare) for prefix in found]
        found = [prefix for prefix, size in zip(found, sizes) if size == len(data)]  # noqa: B905
    if len(found) != 1:
        raise RefusedError(CHANGED, changed=True)
    return found[0]


def rewritten(data, record, known, prefix):
    # type: (bytes, Record, list[bytes], bytes) -> bytes
    """Return the content with `prefix`, the same when it has it already."""
    if record.steps is None:
        if data.count(record.placeholder) > MAX_STEPS:
            raise RefusedError("it holds the prefix more than %d times" % MAX_STEPS)
        found = find_steps(data, record.placeholder, record.mode)
        record = Record(record.path, record.placeholder, record.mode, len(data), found)
    if not record.steps:
        return data
    present = present_prefix(data, record, known)
    if present == prefix:
        return data
    if record.mode == "binary" and len(prefix) > len(record.placeholder):
        limit = len(record.placeholder)
        raise RefusedError("the prefix has %d bytes, this binary holds %d" % (len(prefix), limit))
    pieces = take_apart(data, record, present)
    assert pieces is not None
    return put_together(pieces, record, prefix)


def replace_file(path, data):
    # type: (bytes, bytes) -> None
    """Give a file new content at once; mode, owner and times stay, hard links part."""
    status = os.stat(path)
    folder, name = os.path.split(path)
    handle, temporary = tempfile.mkstemp(b".tmp", b"." + name[:100] + b".", folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        if os.geteuid() == 0:
            os.chown(temporary, status.st_uid, status.st_gid)
        os.chmod(temporary, stat.S_IMODE(status.st_mode))
        if hasattr(status, "st_mtime_ns"):
            os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
        else:
            os.utime(temporary, (status.st_atime, status.st_mtime))
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def rewrite_file(root, record, known, prefix, check=False):
    # type: (bytes, Record, list[bytes], bytes, bool) -> bool
    """Write `prefix` into one file; return False when it is there already.

    check: only say so. Raises RefusedError.
    """
    path = root
    for part in record.path.split(b"/"):
        path = os.path.join(path, part)
        if os.path.islink(path):
            raise RefusedError("a link is in the way")
    if not os.path.isfile(path):
        raise RefusedError("it is not there")
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        after = rewritten(data, record, known, prefix)
        if after != data and not check:
            replace_file(path, after)
    except (IOError, OSError) as error:
        reason = error.strerror or "it cannot be read or written"
    else:
        return after != data
    raise RefusedError(reason)


def read_state(root):
    # type: (bytes) -> list[bytes]
    """Return the prefixes that files under `root` may have, besides their placeholders."""
    path = os.path.join(root, STATE)
    if not os.path.exists(path):
        return []
    with open(path, "rb") as stream:
        text = stream.read(MAX_STATE + 1)
    if len(text) > MAX_STATE:
        raise IOError(errno.EFBIG, os.strerror(errno.EFBIG))
    return [line for line in text.split(b"\n") if line]


def write_state(root, prefixes):
    # type: (bytes, list[bytes]) -> None
    """Keep the prefixes for the next run."""
    path = os.path.join(root, STATE)
    if read_state(root) == prefixes:
        return
    if not os.path.isdir(os.path.dirname(path)):
        os.mkdir(os.path.dirname(path))
    if not os.path.exists(path):
        open(path, "ab").close()
        os.chmod(path, 0o644)  # whatever the umask
    replace_file(path, b"".join(prefix + b"\n" for prefix in prefixes))


def rewrite(root, records, prefix, check=False, seen=None):
    # type: (bytes, list[Record], bytes, bool, Seen | None) -> Outcome
    """Write `prefix` into all files of the environment that lies at `root`.

    Return how many had another one, and (path, reason) for each that stays as
    it is. Before the first file the state names the new prefix beside the old
    ones, so that a run that was cut off is completed by the next, wherever the
    environment lies by then. Raises OSError when the state cannot be kept.
    """
    known = read_state(root)
    new = [prefix] + [other for other in known if other != prefix]
    if records and not check:
        write_state(root, new)
    count = 0
    failed = []
    settled = True
    for record in records:
        try:
            changed = rewrite_file(root, record, new, prefix, check)
        except RefusedError as refused:
            failed.append((record.path, str(refused)))
            settled = settled and refused.changed
            continue
        count += changed
        if changed and seen is not None:
            seen(record.path)
    if records and not check and settled:
        write_state(root, [prefix])
    return count, failed


def parse_table(text):
    # type: (bytes) -> Records
    """Yield the records of the table behind the program; ValueError when it is malformed.

    Lines: ``#p PLACEHOLDER`` and, for the placeholder before it, ``#t SIZE STEPS PATH``
    (text; a step is a gap) or ``#b SIZE STEPS PATH`` (binary; gap:tail:count).
    """
    placeholder = b""
    for line in text.split(b"\n"):
        kind, _, rest = line.partition(b" ")
        if kind == b"#p":
            placeholder = rest
        elif kind in (b"#t", b"#b"):
            size, steps, path = rest.split(b" ", 2)
            mode = "text" if kind == b"#t" else "binary"
            parsed = [parse_step(step, mode) for step in steps.split(b",")]
            if not placeholder:
                raise ValueError("a file without a placeholder")
            check_counts(parsed, mode)
            yield Record(path, placeholder, mode, int(size), parsed)
        elif line:
            raise ValueError("unknown line")


def parse_step(text, mode):
    # type: (bytes, str) -> tuple[int, int, int]
    """Return one step; ValueError when it is malformed."""
    numbers = [int(number) for number in text.split(b":")]
    if mode == "text":
        numbers += [0, 0]
    gap, tail, count = numbers
    if min(numbers) < 0:
        raise ValueError("a negative number")
    return gap, tail, count


def check_counts(steps, mode):
    # type: (list[tuple[int, int, int]], str) -> None
    """Raise ValueError unless each count is that of the steps in one C string."""
    inside = 0
    for _, _, count in steps:
        inside += mode == "binary"
        if count:
            if count != inside:
                raise ValueError("a wrong count")
            inside = 0
    if inside:
        raise ValueError("a string without an end")


def own_folder(program):
    # type: (str) -> str
    """Return the environment that the program lies in: the folder above its own."""
    while os.path.islink(program):
        target = os.readlink(program)
        program = os.path.join(os.path.dirname(program), target)
    return os.path.abspath(os.path.join(os.path.dirname(program), os.pardir))


def as_bytes(text):
    # type: (str | bytes) -> bytes
    """Return a path as the system has it."""
    if isinstance(text, bytes):
        return text  # Python 2
    return os.fsencode(text)


def shown(text):
    # type: (bytes) -> str
    """Return a path for a message."""
    if isinstance(text, str):
        return text  # Python 2
    return text.decode("utf-8", "replace")


def parser():
    # type: () -> argparse.ArgumentParser
    """Return the command line's parser."""
    made = argparse.ArgumentParser(
        prog="conda-unpack",
        description="Write the place where this environment lies into its files. "
        "Run it after unpacking, and again after each move.",
    )
    made.add_argument("--version", action="store_true", help="Show version then exit")
    made.add_argument("--verbose", "-v", action="store_true", help="Name each rewritten file")
    made.add_argument("--check", action="store_true", help="Write nothing; say what would be done")
    made.add_argument("--prefix", metavar="PATH", help="Write for this place instead")
    return made


def main(arguments, program, version):
    # type: (list[str], str, str) -> int
    """Run conda-unpack; return 0, or 1 when a file could not be rewritten."""
    options = parser().parse_args(arguments)
    out, err = sys.stdout, sys.stderr
    if options.version:
        out.write("conda-unpack %s\n" % version)
        return 0
    with open(program, "rb") as stream:
        table = stream.read().partition(b"\n" + TABLE + b"\n")[2]
    root = own_folder(program)
    prefix = as_bytes(root if options.prefix is None else options.prefix)
    if len(prefix) > 1:
        prefix = prefix.rstrip(b"/")
    if not prefix.startswith(b"/") or b"\n" in prefix:
        err.write("conda-unpack: the prefix must be an absolute path on one line\n")
        return 2

    def seen(path):
        # type: (bytes) -> None
        out.write(shown(path) + "\n")

    try:
        watcher = seen if options.verbose else None
        records = list(parse_table(table))
        count, failed = rewrite(as_bytes(root), records, prefix, options.check, watcher)
    except (IOError, OSError) as error:
        err.write("conda-unpack: %s: %s\n" % (shown(STATE), error.strerror))
        return 1
    for path, reason in failed:
        err.write("conda-unpack: %s: %s\n" % (shown(path), reason))
    if options.check:
        out.write("%d to rewrite, %d that cannot be\n" % (count, len(failed)))
    elif options.verbose:
        out.write("%d rewritten, %d could not be\n" % (count, len(failed)))
    return 1 if failed else 0
