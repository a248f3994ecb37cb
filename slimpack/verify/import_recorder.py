"""Records what the loading of modules depends on, as far as Python tells it.

Like `slimpack.verify.import_worker`, which runs it with `exec`: standard library only, no syntax
newer than Python 3.8. `install` gives an object that notes, for each top-level module, rows
``[kind, module, [what, ...]]``:

- ``edge``: top-level modules that it imported or asked for, loaded already or not. That comes from
  `importlib._bootstrap._find_and_load`, through which everything goes that is not loaded, and from
  reading ``_initializing`` of a module's spec, which the import of a loaded module does in C, too;
- ``search``: ``number:name`` of what was looked for in the folders of ``["path", number,
  folders]``;
- ``file``: paths that it opened or looked at, there or not; ``stat``: the same, and of a folder
  the time of its last change, by which caches know whether it has other names in it now;
- ``exists``: paths of which it learned no more than whether they are there, and what they are;
- ``list``: folders whose names it read (importlib's own look does not count: a search tells more);
- ``ran``: it started a program, or did what cannot be followed;
- ``start``: files of modules that were loaded before this, by nobody that is known;
- ``blind``: what is in `sys.modules` and cannot have a spec, so that nobody sees who imports it.

What happens counts for the modules of all functions that are being called, up to the body of the
module that is being loaded: one of them may keep what it found for the next who asks. Those of the
standard library keep nothing that matters, or look (`stat`) whether it is still so. "" stands for
nobody in particular.
"""

from __future__ import annotations

import _thread
import importlib._bootstrap as bootstrap
import importlib._bootstrap_external as external
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_FINDER = "<frozen importlib._bootstrap_external>"
_PROGRAMS = frozenset(
    (
        *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn"),
        *("os.spawn", "pty.spawn", "os.fwalk"),
    )
)
# No modules: Cython keeps its types and frames there, which come from its compiled code alone.
_CYTHON = ("_cython_", "cython_runtime")
# All that these tell of a path (inspect asks them of each module that is loaded).
_LOOKS = frozenset(
    getattr(os.path, name).__code__
    for name in ("exists", "lexists", "isfile", "isdir", "islink", "realpath", "_joinrealpath")
    if hasattr(getattr(os.path, name, None), "__code__")
)
_OPENS = frozenset(("open", "sqlite3.connect", "ctypes.dlopen"))
_ACCESS = ("__getattribute__", "__setattr__", "__delattr__")
_EVENTS = _OPENS | _PROGRAMS | {"os.listdir", "os.scandir", "import"}


def can_record() -> bool:
    """Tell whether this interpreter has what is needed: CPython's importlib and audit events."""
    return (
        hasattr(sys, "addaudithook")
        and sys.implementation.name == "cpython"
        and all(hasattr(bootstrap, name) for name in ("_find_and_load", "ModuleSpec"))
        and hasattr(external, "PathFinder")
    )


class Recorder:
    """Notes what is done; `take` returns what is new since it was asked last."""

    def __init__(self) -> None:
        self._library = os.path.dirname(os.__file__) + "/"
        self._seen: set[tuple[str, str, str]] = set()
        self._new: dict[tuple[str, str], list[str]] = {}
        self._paths: dict[tuple[str, ...], str] = {}
        self._new_paths: list[list[Any]] = []
        self._loading: dict[int, list[str]] = {}
        self._known = set(sys.modules)
        self._main = _thread.get_ident()
        self._target = ""
        self._standard: dict[str, bool] = {}

    def install(self) -> None:
        """Begin; there is no way back."""
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and not self._is_standard(path):
                self._note("start", {""}, path)
        self._watch_imports()
        self._watch_searches()
        for name, kind in (("stat", "stat"), ("lstat", "file"), ("access", "file")):
            self._watch_call(name, kind)
        sys.addaudithook(self._audit)

    def begin(self, target: str) -> None:
        """Take what nobody else does for done by `target`, which is going to be imported."""
        self._target = _top(target)

    def take(self) -> list[list[Any]]:
        """Return the rows that are new."""
        self._find_blind()
        rows = [["path", *row] for row in self._new_paths]
        rows += [[kind, node, whats] for (kind, node), whats in self._new.items()]
        self._new, self._new_paths = {}, []
        return rows

    def _note(self, kind: str, nodes: set[str], what: str) -> None:
        for node in nodes:
            key = (kind, node, what)
            if key not in self._seen:
                self._seen.add(key)
                self._new.setdefault((kind, node), []).append(what)

    def _is_standard(self, path: str) -> bool:
        found = self._standard.get(path)
        if found is None:
            inside = path.startswith(self._library) and "/site-packages/" not in path
            found = path.startswith("<frozen ") or (inside and "/dist-packages/" not in path)
            self._standard[path] = found
        return found

    def _who(self) -> set[str]:
        """Return the top-level modules for which something is done now."""
        stack = self._loading.get(_thread.get_ident(), ())
        nodes = {_top(stack[-1])} if stack else set()
        standard = self._standard
        frame = sys._getframe(2)
        while frame is not None:
            code = frame.f_code
            body = code.co_name == "<module>"
            # Most frames are functions of importlib: no more is asked of them.
            if body or not standard.get(code.co_filename):
                name = frame.f_globals.get("__name__")
                if isinstance(name, str) and frame.f_globals is not _OWN and name != "__main__":
                    if body and name in stack:
                        nodes.add(_top(name))
                        break
                    if not self._is_standard(code.co_filename):
                        nodes.add(_top(name))
            frame = frame.f_back  # type: ignore[assignment]
        main = _thread.get_ident() == self._main
        return nodes or {self._target if main else ""}

    def _edge(self, name: Any) -> None:
        if isinstance(name, str):
            top = _top(name)
            self._note("edge", self._who() - {top}, top)

    def _path(self, kind: str, path: Any) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            text = os.fsdecode(path)
            whole = text if text.startswith("/") else os.path.join(os.getcwd(), text)
            self._note(kind, self._who(), whole)
        elif path is None:
            self._note(kind, self._who(), os.getcwd())

    def _watch_imports(self) -> None:
        load = bootstrap._find_and_load  # type: ignore[attr-defined]
        find = importlib.util.find_spec

        def find_and_load(name: Any, import_: Any) -> Any:
            self._edge(name)
            stack = self._loading.setdefault(_thread.get_ident(), [])
            stack.append(name)
            try:
                return load(name, import_)
            finally:
                stack.pop()

        def find_spec(name: Any, package: Any = None) -> Any:
            if isinstance(name, str) and not name.startswith("."):
                self._edge(name)
            elif isinstance(package, str):
                self._edge(package)
            found = find(name, package)
            if isinstance(found, _Stand):
                raise ValueError(f"{found.name}.__spec__ is None")
            return found

        def get(spec: Any) -> Any:
            # Nearly always it is the body of the module that is being loaded, and says it again.
            frame, stack = sys._getframe(1), self._loading.get(_thread.get_ident())
            loading = stack[-1] if stack and frame.f_code.co_name == "<module>" else ""
            if not loading or frame.f_globals.get("__name__") != loading:
                self._edge(spec.name)
            elif isinstance(spec.name, str) and _top(spec.name) != _top(loading):
                self._note("edge", {_top(loading)}, _top(spec.name))
            return spec.__dict__.get("_initializing", False)

        def put(spec: Any, value: Any) -> None:
            spec.__dict__["_initializing"] = value

        bootstrap._find_and_load = find_and_load  # type: ignore[attr-defined]
        importlib.util.find_spec = find_spec
        bootstrap.ModuleSpec._initializing = property(get, put)  # type: ignore[attr-defined]

    def _watch_searches(self) -> None:
        finder: Any = external.PathFinder
        find = finder.find_spec.__func__

        def find_spec(cls: Any, fullname: str, path: Any = None, target: Any = None) -> Any:
            folders = tuple(one for one in (sys.path if path is None else path) if type(one) is str)
            number = self._paths.get(folders)
            if number is None:
                number = self._paths[folders] = f"{os.getpid()}.{len(self._paths)}"
                absolute = [os.path.join(os.getcwd(), folder) for folder in folders]
                self._new_paths.append([number, absolute])
            what = f"{number}:{fullname.rpartition('.')[2]}"
            self._note("search", self._who() | {_top(fullname)}, what)
            return find(cls, fullname, path, target)

        finder.find_spec = classmethod(find_spec)

    def _watch_call(self, name: str, kind: str) -> None:
        original: Callable[..., Any] = getattr(os, name)

        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("dir_fd") is not None:
                self._note("ran", self._who(), name)
            else:
                self._path("exists" if sys._getframe(1).f_code in _LOOKS else kind, path)
            return original(path, *args, **kwargs)

        call.__name__, call.__doc__ = name, original.__doc__
        call.__module__ = "os"
        setattr(os, name, call)
        for able in ("dir_fd", "effective_ids", "fd", "follow_symlinks"):
            those: Any = getattr(os, f"supports_{able}", set())
            if original in those:
                those.add(call)

    def _audit(self, event: str, details: Any) -> None:
        if event not in _EVENTS:  # most are not: each look at a frame is an event, too
            return
        if event in _OPENS:
            self._path("file", details[0]) if details[0] is not None else None
        elif event in ("os.listdir", "os.scandir"):
            if isinstance(details[0], int):
                self._note("ran", self._who(), event)
            elif sys._getframe(1).f_code.co_filename != _FINDER:
                self._path("list", details[0])
        elif event == "import" and len(details) > 1 and isinstance(details[1], str):
            self._path("file", details[1])
        elif event in _PROGRAMS:
            self._note("ran", self._who(), event)

    def _find_blind(self) -> None:
        """Give a spec to modules that somebody has made by hand, so that their imports are seen.

        What was loaded at the same time may have made them, or use them.
        """
        new = set(sys.modules) - self._known
        self._known |= new
        tops = {_top(name) for name in new} | {self._target}
        for name in sorted(new):
            module = sys.modules.get(name)
            if name.startswith(_CYTHON) or module is sys.modules["__main__"]:
                continue
            try:
                spec = vars(module).get("__spec__")
            except TypeError:
                spec = None
            if isinstance(spec, bootstrap.ModuleSpec):
                continue
            for top in tops - {_top(name)}:
                self._note("edge", {_top(name)}, top)
                self._note("edge", {top}, _top(name))
            if _can_have_a_spec(module):
                vars(module)["__spec__"] = _Stand(name, None)
            elif module is not None:  # None says that there is no such module: a search, each time
                self._note("blind", {""}, _top(name))


class _Stand(bootstrap.ModuleSpec):
    """The spec of a module that has none."""


def _can_have_a_spec(module: Any) -> bool:
    """Tell whether its spec is what is in its dictionary: also of a class of somebody's own."""
    kind: Any = type(module)
    plain: Any = type(sys)
    if not issubclass(kind, plain):
        return False
    own = kind.__mro__[: kind.__mro__.index(plain)]
    same = (getattr(kind, name) is getattr(plain, name) for name in _ACCESS)
    return all(same) and not any("__spec__" in vars(one) for one in own)


def _top(name: str) -> str:
    return name.partition(".")[0]


_OWN = globals()
