"""What a command meets in each sandbox, and what is left of it: nothing."""

from __future__ import annotations

import _thread
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.errors import DaemonError, ImageError, InputError
from slimpack.sandbox import Bind, Command, Finished, Options, Prepared, Sandbox, choose_sandbox
from slimpack.sandbox.bubblewrap import Bubblewrap
from slimpack.sandbox.unshare import Unshare
from tests.sandbox.conftest import OWN, Here, find
from tests.support.channel import missing

pytestmark = pytest.mark.sandbox

ROOT = Path(__file__).parents[2]
TOOL = "/bin/tool"
MARK = f"/mark-of-{os.getpid()}-{time.monotonic_ns()}"
TOKEN = secrets.token_hex(8)


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch, own_tmp: Path) -> None:
    """Mark what makes sandboxes here: others may use some on this machine."""
    token = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda size=None: TOKEN + token(size))
    monkeypatch.setattr(tempfile, "tempdir", str(own_tmp))
    monkeypatch.setenv("TMPDIR", str(own_tmp))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{MARK}")


@pytest.fixture(scope="module")
def ready(sandbox: Sandbox, here: Here) -> Iterator[Prepared]:
    with sandbox.prepare(here.root, here.image) as prepared:
        yield prepared


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may write to, and that is empty again in the end."""
    folder = Path("/tmp") / f"slimpack-public-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def call(*argv: str, user: str = "nonroot", timeout: float = 60, **more: object) -> Command:
    more.setdefault("env", (("MARK", MARK),))  # beside it, other workers run the same commands
    return Command((TOOL, *argv), user=user, timeout=timeout, **more)  # type: ignore[arg-type]


def text(finished: Finished) -> str:
    assert finished.returncode == 0, finished
    return finished.stdout.decode()


def leftovers() -> set[str]:
    """Return mounts, processes, containers and images that a sandbox could leave."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found = {f"mount {line.split()[1]}" for line in mounts if OWN in line}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                ours = MARK.encode() in (place / "environ").read_bytes()
            except OSError:
                continue
            starts = (f"{TOOL} ", "bwrap --args")
            if ours and (line.startswith(starts) or "sandbox/worker.py" in line):
                found.add(f"process {place.name} {line}")
    for engine in ("docker", "podman"):
        if shutil.which(engine):
            for listing in (
                ("ps", "--all", "--format", "{{.Names}}"),
                ("images", "--format", "{{.Repository}}:{{.Tag}}"),
            ):
                lines = subprocess.run([engine, *listing], capture_output=True, text=True).stdout
                found.update(f"{engine} {name}" for name in lines.split() if TOKEN in name)
    return found


def nothing_is_left() -> None:
    deadline = time.monotonic() + 10  # the kernel takes its time to take namespaces apart
    while leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert leftovers() == set()


def marked_images() -> set[str]:
    """Return the Docker images that a sandbox of docker made here."""
    command = ["docker", "images", "--quiet", "--filter", "label=slimpack.sandbox"]
    found = subprocess.run(command, capture_output=True, text=True).stdout.split()
    shown = '{{.Id}} {{index .Config.Labels "slimpack.sandbox"}}'
    command = ["docker", "image", "inspect", "--format", shown, *found]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return {line for line in lines if TOKEN in line}


# --- what it is given ---------------------------------------------------------


def test_output_input_and_exit_code(ready: Prepared) -> None:
    data = bytes(range(256)) * 4000
    done = ready.run(call("cat", stdin=data))
    assert (done.returncode, done.stdout, done.timed_out) == (0, data, False)
    assert 0 < done.seconds < 60
    assert ready.run(call("exit", "3")).returncode == 3
    assert ready.run(call("show", "/nothing")).stderr.startswith(b"/nothing: No such file")


def test_an_input_that_nobody_reads_is_no_error(ready: Prepared) -> None:
    assert ready.run(call("exit", "0", stdin=b"x" * 1_000_000)).returncode == 0


def test_the_end_by_a_signal(ready: Prepared) -> None:
    assert ready.run(call("signal", str(int(signal.SIGKILL)))).returncode in (137, 0)
    assert ready.run(call("beat", "/tmp/x", "0")).returncode == 0


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "0:0"),
        ("0", "0:0"),
        ("nonroot", "65532:65532"),
        ("65532", "65532:65532"),
        ("65532:65532", "65532:65532"),
        ("nonroot:data", "65532:50"),
        ("other", "1234:65532"),
        ("4321", "4321:0"),
        ("4321:99", "4321:99"),
    ],
)
def test_it_is_the_user_of_the_image(ready: Prepared, user: str, expected: str) -> None:
    who = text(ready.run(call("who", user=user))).split()
    assert who[0] == expected
    assert who[-1] == "/"


def test_groups_are_those_of_the_image(ready: Prepared, sandbox: Sandbox) -> None:
    if os.geteuid():
        missing("SANDBOX", "only root can take on groups")
    groups = set(text(ready.run(call("who"))).split()[1:-1]) - {"65532"}
    assert groups == ({"65534"} if sandbox.name == "bubblewrap" else {"50", "60"})
    assert ready.run(call("show", "/etc/of-data")).stdout == b"of a group"
    assert ready.run(call("show", "/etc/of-data", user="4321")).returncode == 1
    assert set(text(ready.run(call("who", user="nonroot:data"))).split()[1:-1]) <= {"50"}


def test_an_unknown_user_is_an_error(ready: Prepared) -> None:
    with pytest.raises(ImageError, match="has no user 'daemon'"):
        ready.run(call("who", user="daemon"))
    with pytest.raises(ImageError, match="has no group 'audio'"):
        ready.run(call("who", user="nonroot:audio"))


def test_only_its_own_variables(ready: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "of the host")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    given = (("A", "1=2 3"), ("EMPTY", ""), ("QUOTED", "\"x\" '$y' \\n"), ("\u00e4", "\u6f22 "))
    lines = text(ready.run(call("env", env=given))).splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert {name: found.pop(name) for name, _ in given} == dict(given)
    assert found.pop("HOME") == "/home/nonroot"
    assert found.pop("PATH").startswith("/usr/local/sbin:")
    assert set(found) <= {"HOSTNAME", "container", "TERM", "PWD"}  # marks of engines
    assert "of the host" not in "".join(lines)


def test_path_and_home_can_be_given(ready: Prepared) -> None:
    env = (("PATH", "/nowhere:/bin"), ("HOME", "/x"))
    done = ready.run(Command(("alias", "env"), env, "nonroot"))
    assert {"PATH=/nowhere:/bin", "HOME=/x"} <= set(text(done).splitlines())


def test_no_secret_in_an_argument_list(ready: Prepared) -> None:
    secret = "s3cret-" + "x" * 20
    seen: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            for place in Path("/proc").iterdir():
                if place.name.isdigit():
                    try:
                        seen.append((place / "cmdline").read_bytes())
                    except OSError:
                        continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        assert ready.run(call("sleep", "1", env=(("TOKEN", secret),))).returncode == 0
    finally:
        over.set()
        watcher.join()
    assert any(line.startswith(b"/bin/tool\0sleep") for line in seen)
    assert not any(secret.encode() in line for line in seen)


def test_the_working_directory(ready: Prepared) -> None:
    assert text(ready.run(call("who", workdir="/bin"))).split()[-1] == "/bin"
    assert text(ready.run(call("who", workdir="/made/for/it"))).split()[-1] == "/made/for/it"


def test_a_working_directory_that_the_user_may_not_enter(here: Here) -> None:
    """As with runc: distroless images start in a home of mode 0700, whoever the user is."""
    if os.geteuid():
        pytest.skip("only root becomes another user than the one whom the files belong to")
    home = here.root / "private"
    home.mkdir(mode=0o700)
    os.chown(home, 65532, 65532)
    try:
        with Unshare().prepare(here.root, here.image) as prepared:
            for user in ("0", "7"):
                done = prepared.run(call("who", user=user, workdir="/private"))
                assert text(done).split()[-1] == "/private"
    finally:
        home.rmdir()


def test_programs_that_cannot_run(ready: Prepared) -> None:
    assert ready.run(Command(("/bin/nothing",))).returncode == 127
    assert ready.run(Command(("nothing",))).returncode == 127
    assert ready.run(Command(("/etc/passwd",))).returncode == 126


# --- what it sees -------------------------------------------------------------


def test_the_root_is_that_of_the_image_alone(ready: Prepared, here: Here) -> None:
    (here.root.parent / "beside").write_text("of the host")
    names = set(text(ready.run(call("list", "/"))).split())
    image = {"bin", "dev", "etc", "home", "proc", "sys", "tmp"}
    # Mount points and working directories of other tests, and what podman makes.
    assert image <= names <= image | {"made", "shared", "one", "run", "var"}
    assert set(text(ready.run(call("list", "/dev"))).split()) <= {
        *("null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr"),
        *("ptmx", "pts", "shm", "mqueue", "console", "core"),
    }
    assert ready.run(call("show", f"/..{here.root.parent}/beside")).returncode == 1
    assert ready.run(call("list", "/proc/1/root/work")).returncode == 1
    mounts = text(ready.run(call("show", "/proc/self/mounts", user="")))
    assert not {line.split()[1] for line in mounts.splitlines()} & {"/oldroot", "/work", "/root"}


def test_only_its_own_processes(ready: Prepared) -> None:
    names = text(ready.run(call("list", "/proc"))).split()
    assert 1 <= sum(name.isdigit() for name in names) <= 3


def test_access_is_that_of_the_image(ready: Prepared) -> None:
    if os.geteuid():
        missing("SANDBOX", "only root can unpack files of several users")
    assert ready.run(call("show", "/home/nonroot/mine")).stdout == b"for nonroot"
    assert ready.run(call("show", "/home/nonroot/mine", user="4321")).returncode == 1
    assert ready.run(call("show", "/etc/secret")).returncode == 1
    assert ready.run(call("show", "/etc/secret", user="")).stdout == b"of root"


@pytest.mark.parametrize("user", ["nonroot", ""])
def test_nothing_can_be_written_but_what_is_its_own(
    ready: Prepared, sandbox: Sandbox, user: str
) -> None:
    engine = sandbox.name in ("podman", "docker")  # there, root has a /dev of its own
    places = ("/file", "/bin/tool", "/home/nonroot/x", "/sys/x", "/etc/hosts", "/dev/x")
    for path in places[: -1 if engine and not user else None]:
        done = ready.run(call("create", path, user=user))
        assert done.returncode == 1, path
    for path in ("/tmp/x", "/dev/shm/x", "/dev/null"):
        assert text(ready.run(call("create", path, user=user))) == "made\n"
    assert ready.run(call("show", "/tmp/x", user=user)).returncode == 1  # a new /tmp each time


@pytest.mark.parametrize(
    "path", ["/proc/sys/kernel/core_pattern", "/proc/irq/default_smp_affinity"]
)
def test_root_can_change_nothing_of_the_kernel(ready: Prepared, path: str) -> None:
    done = ready.run(call("writable", path, user=""))
    assert done.returncode == 1
    assert b"Read-only file system" in done.stderr


@pytest.mark.parametrize("user", ["nonroot", ""])
def test_it_has_no_capability(ready: Prepared, user: str) -> None:
    status = text(ready.run(call("show", "/proc/self/status", user=user)))
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert re.search(rf"^{name}:\s+0+$", status, re.MULTILINE), status
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)


def test_devices_and_hosts(ready: Prepared) -> None:
    assert ready.run(call("show", "/dev/null")).stdout == b""
    assert text(ready.run(call("stat", "/dev/shm"))).startswith("1777 ")
    assert text(ready.run(call("stat", "/tmp"))).startswith("1777 ")
    assert "localhost" in text(ready.run(call("show", "/etc/hosts")))


def test_there_is_no_network_but_loopback(ready: Prepared) -> None:
    assert text(ready.run(call("network"))).splitlines() == ["lo", "loopback answers"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert ready.run(call("reach", port)).returncode == 1
        done = ready.run(call("reach", port), Options(network=True))
    assert text(done) == "reached\n"


def test_binds(ready: Prepared, public: Path) -> None:
    (public / "file").write_text("from here")
    options = Options((Bind(public, "/shared", writable=True), Bind(public / "file", "/one")))
    assert text(ready.run(call("show", "/one"), options)) == "from here"
    assert text(ready.run(call("create", "/shared/new"), options)) == "made\n"
    assert (public / "new").read_text() == "made"
    assert ready.run(call("create", "/one"), options).returncode == 1
    if os.geteuid() == 0:
        assert (public / "new").stat().st_uid == 65532
    # /tmp is the sandbox's own, and shows all the same what is bound below it.
    options = Options((Bind(public, "/tmp/of/here"), Bind(public / "file", "/tmp/one")))
    assert text(ready.run(call("show", "/tmp/one"), options)) == "from here"
    assert text(ready.run(call("show", "/tmp/of/here/file"), options)) == "from here"
    with pytest.raises(InputError, match="no absolute path"):
        ready.run(call("who"), Options((Bind(public, "shared"),)))
    with pytest.raises(InputError, match="there is no"):
        ready.run(call("who"), Options((Bind(public / "gone", "/shared"),)))


# --- bounds and ends ----------------------------------------------------------


def test_output_is_bounded_and_its_end_kept(ready: Prepared) -> None:
    done = ready.run(call("flood", "200000", max_output=1000))
    assert done.returncode == 0
    assert len(done.stdout) == 1000
    assert done.stdout.endswith(b"000000000199999\n")
    assert done.stderr.endswith(b"the end")


def test_time_is_bounded_for_every_process(ready: Prepared, public: Path) -> None:
    options = Options((Bind(public, "/shared", writable=True),))
    before = time.monotonic()
    done = ready.run(call("beat", "/shared/beats", "60000", timeout=3), options)
    assert done.timed_out
    assert time.monotonic() - before < 30
    nothing_is_left()
    size = (public / "beats").stat().st_size
    assert size > 0
    time.sleep(0.5)
    assert (public / "beats").stat().st_size == size


def test_what_stays_behind_ends_with_the_command(ready: Prepared, public: Path) -> None:
    options = Options((Bind(public, "/shared", writable=True),))
    assert ready.run(call("beat", "/shared/beats", "500"), options).returncode == 0
    nothing_is_left()


def test_ctrl_c_leaves_nothing(sandbox: Sandbox, here: Here) -> None:
    images = marked_images()
    seen: set[str] = set()

    def press() -> None:
        seen.update(leftovers())
        _thread.interrupt_main()

    timer = threading.Timer(3, press)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt), sandbox.prepare(here.root, here.image) as ready:
            ready.run(call("sleep", "60"))
    finally:
        timer.cancel()
    assert any(f"{TOOL} sleep 60" in line for line in seen)  # what is looked for can be found
    nothing_is_left()
    assert marked_images() == images


def test_it_can_be_asked_to_end(ready: Prepared, public: Path) -> None:
    options = Options((Bind(public, "/shared", writable=True),))
    stop = threading.Event()

    def ask() -> None:
        while not (public / "up").exists():
            time.sleep(0.01)
        stop.set()

    watcher = threading.Thread(target=ask)
    watcher.start()
    done = ready.run(call("serve", "/shared/up"), options, stop=stop)
    watcher.join()
    assert (done.returncode, done.stdout, done.timed_out) == (5, b"made\nasked\n", False)


def test_one_that_does_not_end_when_asked_is_killed(
    ready: Prepared, monkeypatch: pytest.MonkeyPatch, public: Path
) -> None:
    monkeypatch.setattr("slimpack.sandbox.process.GRACE", 0.5)
    stop = threading.Event()
    stop.set()  # before there is anybody to ask
    done = ready.run(call("beat", "/tmp/x", "60000"), stop=stop)
    assert done.timed_out or done.returncode == 128 + signal.SIGTERM
    nothing_is_left()


def test_docker_images_are_gone_and_others_stay(here: Here) -> None:
    docker = find("docker")
    images = marked_images()
    with docker.prepare(here.root, here.image) as ready:
        assert len(marked_images() - images) == 1
        assert ready.run(call("exit", "4")).returncode == 4
    assert marked_images() == images


def test_the_folder_stays_as_it_is_but_for_mount_points(ready: Prepared, here: Here) -> None:
    def state() -> dict[str, object]:
        return {
            str(path.relative_to(here.root)): (path.lstat().st_mode, path.lstat().st_size)
            for path in here.root.rglob("*")
        }

    ready.run(call("create", "/tmp/x", user=""))
    before = state()
    ready.run(call("create", "/etc/x", user=""))
    assert state() == before


# --- bubblewrap and unshare alone ----------------------------------------------

KILLED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from slimpack.sandbox import Bind, Command, Options, choose_sandbox
with choose_sandbox(sys.argv[1]).prepare(Path(sys.argv[2])) as ready:
    argv, env = ("/bin/tool", "beat", "/shared/beats", "60000"), (("MARK", {MARK!r}),)
    command = Command(argv, env, user="nonroot")
    ready.run(command, Options((Bind(Path(sys.argv[3]), "/shared", writable=True),)))
"""


def test_a_sigkill_of_slimpack_leaves_nothing(
    namespaces: Sandbox, here: Here, public: Path, own_tmp: Path
) -> None:
    arguments = [namespaces.name, str(here.root), str(public)]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments]) as process:
        while not (public / "beats").exists():
            assert process.poll() is None
            time.sleep(0.05)
        assert leftovers()
        process.kill()
    nothing_is_left()
    for folder in own_tmp.glob("slimpack-*/hosts"):  # SIGKILL leaves the file of hosts
        shutil.rmtree(folder.parent)


def test_a_wrapper_follows_into_the_namespace(
    namespaces: Sandbox, here: Here, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        missing("SANDBOX", "strace is not installed")
    trace = tmp_path / "trace"
    options = Options(wrapper=("strace", "-f", "-qq", "-e", "trace=%file", "-o", str(trace), "--"))
    with namespaces.prepare(here.root) as ready:
        done = ready.run(call("show", "/home/nonroot/mine"), options)
        assert done.stdout == b"for nonroot"
        assert re.search(r'open(at)?\(.*"/home/nonroot/mine", O_RDONLY\) = 3', trace.read_text())
        before = time.monotonic()
        assert ready.run(call("sleep", "60", timeout=2), options).timed_out
        assert time.monotonic() - before < 20
    nothing_is_left()


def test_variables_may_have_line_breaks(namespaces: Sandbox, here: Here) -> None:
    with namespaces.prepare(here.root) as ready:
        assert "A=1\n2\n" in text(ready.run(call("env", env=(("A", "1\n2"),))))


@pytest.mark.parametrize("name", ["podman", "docker"])
def test_what_container_engines_cannot_do(here: Here, name: str) -> None:
    with find(name).prepare(here.root, here.image) as ready:
        with pytest.raises(InputError, match="line break"):
            ready.run(call("env", env=(("A", "1\n2"),)))
        with pytest.raises(InputError, match="in front"):
            ready.run(call("who"), Options(wrapper=("strace", "--")))


def test_docker_needs_the_image(here: Here) -> None:
    with pytest.raises(InputError, match="not folders"), find("docker").prepare(here.root):
        pass


@pytest.mark.parametrize("name", ["tmp", "proc", "dev", "sys"])
def test_mount_points_that_are_links_are_refused(
    namespaces: Sandbox, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / name).symlink_to("../outside")
    with pytest.raises(ImageError, match="is a link"), namespaces.prepare(tmp_path / "root"):
        pass
    assert list(outside.iterdir()) == []


def test_root_with_bubblewrap_names_a_folder_that_the_user_cannot_reach(
    here: Here, tmp_path: Path
) -> None:
    bubblewrap = find("bubblewrap")
    if os.geteuid():
        missing("SANDBOX", "only root takes on another user")
    tmp_path.chmod(0o700)
    shutil.copytree(here.root, tmp_path / "root", symlinks=True)
    with bubblewrap.prepare(tmp_path / "root") as ready:
        with pytest.raises(DaemonError, match="Permission denied") as caught:
            ready.run(call("who"))
        assert "unshare" in caught.value.hint
    with find("unshare").prepare(tmp_path / "root") as ready:
        assert text(ready.run(call("who"))).startswith("65532:65532")


# --- as somebody who is not root ------------------------------------------------

UNPRIVILEGED = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}] + {[p for p in sys.path if "site-packages" in p]!r}
from pathlib import Path
from slimpack.errors import SlimpackError
from slimpack.sandbox import Bind, Command, Options, choose_sandbox
assert os.getuid() == 4242
try:
    sandbox = choose_sandbox(sys.argv[1])
except SlimpackError as error:
    sys.exit(str(error))
root, shared = Path(sys.argv[2]), Path(sys.argv[3])
with sandbox.prepare(root) as ready:
    def call(*argv, user="nonroot", **more):
        done = ready.run(Command(("/bin/tool", *argv), user=user, **more), options)
        print(done.returncode, done.stdout.decode().split() or done.stderr.decode().strip())
    options = Options((Bind(shared, "/shared", writable=True),))
    call("who")
    call("who", user="")
    call("create", "/bin/x")
    call("create", "/tmp/x")
    call("create", "/shared/x")
    call("network")
    call("env", env=(("A", "1"), ("PWD", "/")))
"""


def interpreter() -> str:
    """Return a Python that another user can run."""
    here = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    for program in (os.path.realpath(sys.executable), here):
        done = subprocess.run(
            [
                "setpriv",
                "--reuid=4242",
                "--regid=4242",
                "--clear-groups",
                program,
                "-c",
                "import os, sys; os.stat(sys.executable)",
            ],
            capture_output=True,
        )
        if done.returncode == 0:
            return program
    missing("SANDBOX", "no Python here can be run by another user")
    raise AssertionError


@pytest.mark.parametrize("name", ["bubblewrap", "unshare"])
def test_without_root(here: Here, public: Path, name: str) -> None:
    if os.geteuid():
        missing("SANDBOX", "only root can become another user")
    root = public / "root"
    shutil.copytree(here.root, root, symlinks=True)
    shared = public / "shared"
    shared.mkdir()
    subprocess.run(["chown", "-R", "4242:4242", str(root), str(shared)], check=True)
    user = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"]
    done = subprocess.run(
        [*user, interpreter(), "-c", UNPRIVILEGED, name, str(root), str(shared)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PLANTED_SECRET": "1"},
        check=False,
    )
    if done.returncode and "no sandbox works" in done.stderr:
        missing("SANDBOX", done.stderr)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "0 ['65532:65532', '/']",
        "0 ['0:0', '/']",
        "1 /bin/x: Read-only file system",
        "0 ['made']",
        "0 ['made']",
        "0 ['lo', 'loopback', 'answers']",
        "0 ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', "
        "'HOME=/home/nonroot', 'A=1', 'PWD=/']",
    ]
    made = (shared / "x").stat()
    assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (4242, 0o644)


# --- choosing -------------------------------------------------------------------


def test_auto_finds_one_that_works(here: Here) -> None:
    sandbox = find("auto")
    assert sandbox.name != "host"
    assert isinstance(sandbox, Bubblewrap if os.geteuid() else Unshare)
    with sandbox.prepare(here.root, here.image) as ready:
        assert ready.run(call("exit", "9")).returncode == 9


def test_when_nothing_works_every_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho bwrap: No permissions to create new namespace >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DaemonError) as caught:
        choose_sandbox("auto")
    told = str(caught.value)
    for reason in ("unshare is not on PATH", "podman is not", "docker is not", "bubblewrap: "):
        assert reason in told
    assert "apt-get install bubblewrap" in caught.value.hint


def test_a_sandbox_that_is_there_but_does_nothing_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar = tmp_path / "podman"
    liar.write_text("#!/bin/sh\nexit 0\n")
    liar.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DaemonError, match="a program that returns 42 returned 0"):
        choose_sandbox("podman")


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="no sandbox 'chroot'"):
        choose_sandbox("chroot")
