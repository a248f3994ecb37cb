"""The first process of new namespaces, started by unshare(1): makes the sandbox, then waits.

Run as ``python -I -S worker.py REQUEST CONTROL STATUS``, three file descriptors:
REQUEST holds JSON (see `slimpack.sandbox.unshare`). STATUS gets ``started``, or why the
sandbox could not be made. CONTROL gets ``T`` to ask the command to end; when it is
closed, because slimpack wants that or is dead, all processes in here end.
Uses the standard library alone, and nothing of the image.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

# linux/mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC = 32, 4096, 16384
MNT_DETACH = 2
# What a mount of another namespace may not lose: statvfs flag -> mount flag.
LOCKED = {
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
    os.ST_NOATIME: 1024,
    os.ST_NODIRATIME: 2048,
    os.ST_RELATIME: 1 << 21,
}
# linux/prctl.h, linux/capability.h
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
CAPABILITY_VERSION_3 = 0x20080522
# net/if.h, linux/sockios.h
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEV_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# Root may write to these whatever its capabilities are.
PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    arguments = [os.fsencode(text) if text is not None else None for text in (source, target, kind)]
    done = libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None)
    checked(done, f"mount {kind or source} on {target}")


def bind(source: str, target: str, *, writable: bool = False, devices: bool = False) -> None:
    mount(source, target, None, MS_BIND | MS_REC)
    if writable and devices:
        return
    have = os.statvfs(target).f_flag
    flags = sum(flag for bit, flag in LOCKED.items() if have & bit and flag > MS_NOEXEC)
    flags |= have & (MS_NOSUID | MS_NODEV | MS_NOEXEC) | MS_NOSUID
    flags |= 0 if devices else MS_NODEV
    flags |= have & MS_RDONLY if writable else MS_RDONLY
    mount("none", target, None, MS_REMOUNT | MS_BIND | flags)


def read_only(target: str) -> None:
    mount("none", target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC)


def make_root(request: dict[str, Any]) -> None:
    root: str = request["root"]
    bind(root, root)
    make_proc(f"{root}/proc")
    make_dev(f"{root}/dev", request["devices"])
    make_sys(f"{root}/sys", request["sys"])
    mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")  # noqa: S108
    for source, inside, writable in request["binds"]:
        make_place(source, f"{root}/{inside}")
        bind(source, f"{root}/{inside}", writable=writable)
    os.chdir(root)
    checked(libc.pivot_root(b".", b"."), "pivot_root")
    checked(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def make_place(source: str, target: str) -> None:
    """Make what is bound on, where it is covered by now: below /tmp, which is the sandbox's own."""
    if os.path.lexists(target):
        return
    if os.path.isdir(source):
        os.makedirs(target)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def make_proc(proc: str) -> None:
    mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in PROC_READ_ONLY:
        if os.path.lexists(f"{proc}/{name}"):
            bind(f"{proc}/{name}", f"{proc}/{name}")


def make_dev(dev: str, more: list[tuple[str, str]]) -> None:
    mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755")
    for source, name in [*((f"/dev/{name}", name) for name in DEVICES), *more]:
        if os.path.exists(source):
            os.makedirs(os.path.dirname(f"{dev}/{name}"), exist_ok=True)
            os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            bind(source, f"{dev}/{name}", writable=True, devices=True)
    for name, target in DEV_LINKS.items():
        os.symlink(target, f"{dev}/{name}")
    os.mkdir(f"{dev}/pts")
    mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666")
    os.mkdir(f"{dev}/shm")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    read_only(dev)


def make_sys(sys_: str, shown: list[str]) -> None:
    mount("tmpfs", sys_, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for path in shown:
        if os.path.isdir(f"/sys/{path}"):
            os.makedirs(f"{sys_}/{path}")
            bind(f"/sys/{path}", f"{sys_}/{path}")
    read_only(sys_)


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


def enter(workdir: str) -> bool:
    """Go to the working directory; tell whether that was allowed.

    As runc does it: first as whoever makes the sandbox, because the image's user may not be
    allowed to look into a folder in which it starts all the same; else as that user.
    """
    try:
        os.chdir(workdir)
    except PermissionError:
        return False
    return True


def become(request: dict[str, Any]) -> None:
    """Take on the user, and give up every capability, also those of an executed file."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # there are no more
    if request["switch"]:
        os.setgroups(request["groups"])
        os.setresgid(*[request["gid"]] * 3)
        os.setresuid(*[request["uid"]] * 3)
    checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl")
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    checked(libc.capset(header, bytes(24)), "capset")
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def execute(request: dict[str, Any]) -> None:
    """Become the command; only comes back to say why not."""
    argv, env = request["argv"], dict(request["env"])
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        os.write(2, os.fsencode(f"cannot run {argv[0]}: {error.strerror}\n"))
        os._exit(127 if isinstance(error, (FileNotFoundError, NotADirectoryError)) else 126)


def start(request: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    execute(request)
    raise AssertionError("exec does not return")


def wait(child: int, control: int, ended: int) -> int:
    """Wait for the command, and for whatever else is left to this process."""
    while True:
        ready, _, _ = select.select([control, ended], [], [])
        if control in ready:
            if not os.read(control, 1):
                return 128 + signal.SIGKILL
            os.kill(child, signal.SIGTERM)
        if ended in ready:
            os.read(ended, 4096)
            code = reap(child)
            if code is not None:
                return code


def reap(child: int) -> int | None:
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not pid:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code


def main() -> None:
    request_fd, control, status = map(int, sys.argv[1:4])
    for number in (request_fd, control, status):
        os.set_inheritable(number, False)
    with os.fdopen(request_fd, "rb") as stream:
        request = json.load(stream)
    try:
        make_root(request)
        socket.sethostname("sandbox")
        if not request["network"]:
            raise_loopback()
        there = enter(request["workdir"])
        become(request)
        os.umask(0o022)
        if not there:
            os.chdir(request["workdir"])
    except OSError as error:
        os.write(status, os.fsencode(str(error)))
        os._exit(1)
    ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    os.write(status, b"started")
    os.close(status)
    child = start(request)
    os._exit(wait(child, control, ended))


if __name__ == "__main__":
    main()
