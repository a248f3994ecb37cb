"""What no package brings: accounts, name service, and the usual folders.

The same accounts as distroless: root, nobody and nonroot, none with a shell
or a password.
"""

from __future__ import annotations

from slimpack.tree import Entry, bytes_entry, directory_entry

NONROOT = 65532
NOBODY = 65534

_PASSWD = f"""\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:{NOBODY}:{NOBODY}:nobody:/nonexistent:/sbin/nologin
nonroot:x:{NONROOT}:{NONROOT}:nonroot:/home/nonroot:/sbin/nologin
"""
_GROUP = f"""\
root:x:0:
nobody:x:{NOBODY}:
tty:x:5:
staff:x:50:
nonroot:x:{NONROOT}:
"""
# The databases that libc6 can answer by itself: files, and names also by DNS.
_NSSWITCH = """\
passwd:         files
group:          files
shadow:         files
gshadow:        files
hosts:          files dns
networks:       files
protocols:      db files
services:       db files
ethers:         db files
rpc:            db files
netgroup:       files
"""


def skeleton() -> list[Entry]:
    """Return the entries; of folders that packages bring too, these decide."""
    return [
        directory_entry("dev"),
        directory_entry("etc"),
        bytes_entry("etc/group", _GROUP.encode()),
        bytes_entry("etc/nsswitch.conf", _NSSWITCH.encode()),
        bytes_entry("etc/passwd", _PASSWD.encode()),
        directory_entry("home"),
        directory_entry("home/nonroot", mode=0o700, uid=NONROOT, gid=NONROOT),
        directory_entry("proc"),
        directory_entry("root", mode=0o700),
        directory_entry("run"),
        directory_entry("sys"),
        directory_entry("tmp", mode=0o1777),
        directory_entry("var"),
        directory_entry("var/tmp", mode=0o1777),
    ]
