"""Dockerfiles, as text: how each kind of method brings the environment in, then the application.

What belongs to a workload comes from its slimpack.toml: which files go where, variables, labels,
work folder, ports, and what is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from slimpack.config import Config

# Runs beside each other must not take each other's images away.
_RUN = f"building-{os.getpid()}"
DEBIAN = f"slimpack-bench/debian:{_RUN}"
"""What naive Dockerfiles begin with: a shell, and an installer of conda packages."""
BASE = f"slimpack-bench/base:{_RUN}"
"""slimpack's own distroless base."""
BUILDER = f"slimpack-bench/python-builder:{_RUN}"
"""Debian's Python with venv and pip."""
PYTHON = f"slimpack-bench/python-base:{_RUN}"
"""The distroless base with Debian's Python."""

PREFIX = "/opt/env"
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
LABEL = "slimpack.benchmark=building"

INSTALLED = f"""\
FROM {DEBIAN}
COPY installer.py pixi.lock /install/
RUN --mount=type=bind,source=channel,target=@CHANNEL@ \\
    --mount=type=cache,id=slimpack-bench-building,target=/pkgs \\
    ["python3.11", "/install/installer.py", "/install/pixi.lock", "{PREFIX}", "/pkgs"]
"""
PACKED = f"""\
FROM {DEBIAN} AS unpacked
ADD env.tar.gz {PREFIX}
RUN ["python3.11", "{PREFIX}/bin/conda-unpack"]
FROM {BASE}
COPY --from=unpacked {PREFIX} {PREFIX}
"""
VENV = f"""\
FROM {BUILDER} AS installed
RUN --mount=type=bind,source=wheels,target=/wheels \\
    python3.11 -m venv {PREFIX} \\
    && {PREFIX}/bin/pip install --quiet --no-cache-dir --no-index --no-deps /wheels/*.whl
FROM {PYTHON}
COPY --from=installed {PREFIX} {PREFIX}
"""


def application(config: Config, *, conda: bool) -> str:
    """Return the lines after the environment; the files of rule N lie in the context's ``appN``.

    conda: the environment is one of conda, and says so, as activation does.
    """
    return "".join(f"{line}\n" for line in _lines(config, conda=conda))


def _lines(config: Config, *, conda: bool) -> Iterator[str]:
    image = config.image
    for number in range(len(config.app.copy)):
        yield f"COPY app{number} /"
    # Nobody activates the environment: what its packages want set is written down here.
    activated = {"CONDA_PREFIX": PREFIX, "SSL_CERT_FILE": f"{PREFIX}/ssl/cacert.pem"}
    # Debian's OpenSSL has its own folder for them, which a package that is not here makes.
    own = activated if conda else {"VIRTUAL_ENV": PREFIX, "SSL_CERT_FILE": _AUTHORITIES}
    variables = {
        "PATH": f"{PREFIX}/bin:/usr/local/bin:/usr/bin:/bin",
        **own,
        **dict(image.env),
    }
    yield f"ENV {' '.join(f'{name}={quoted(value)}' for name, value in variables.items())}"
    labels = " ".join(f"{quoted(name)}={quoted(value)}" for name, value in image.labels)
    yield f"LABEL {LABEL} {labels}".rstrip()
    if image.workdir:
        yield f"WORKDIR {image.workdir}"
    if image.user:
        yield f"USER {image.user}"
    for port in image.expose:
        yield f"EXPOSE {port}"
    if image.entrypoint:
        yield f"ENTRYPOINT {json.dumps(list(image.entrypoint))}"
    if image.cmd:
        yield f"CMD {json.dumps(list(image.cmd))}"


def quoted(text: str) -> str:
    """Return a value for ENV or LABEL, taken literally."""
    escaped = "".join(f"\\{letter}" if letter in '"\\$' else letter for letter in text)
    return f'"{escaped}"'
