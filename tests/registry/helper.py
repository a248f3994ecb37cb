"""A credential helper that keeps its secrets in a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_PROGRAM = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
store = here / "{name}.json"
known = json.loads(store.read_text())
text = sys.stdin.read()
with (here / "calls").open("a") as calls:
    calls.write("{name}:" + " ".join(sys.argv[1:]) + " " + text.strip() + "\\n")
if sys.argv[1] == "store":
    new = json.loads(text)
    known[new["ServerURL"]] = [new["Username"], new["Secret"]]
elif text not in known:
    print("credentials not found in native keychain")
    sys.exit(1)
elif sys.argv[1] == "get":
    print(json.dumps(dict(ServerURL=text, Username=known[text][0], Secret=known[text][1])))
else:
    del known[text]
store.write_text(json.dumps(known))
"""


def write_helper(folder: Path, name: str, known: dict[str, list[str]]) -> Path:
    """Write ``docker-credential-NAME``; server -> [user, secret] is what it knows."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(known))
    program = folder / f"docker-credential-{name}"
    program.write_text(_PROGRAM.format(python=sys.executable, name=name))
    program.chmod(0o755)
    return program
