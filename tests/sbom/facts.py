"""What a build would know of the sample image."""

from __future__ import annotations

from pathlib import Path

from slimpack.config import AppConfig, Config, CopyRule, EnvConfig, ImageConfig, SlimConfig
from slimpack.debian.model import ResolvedPackage
from slimpack.env.inputs.identify import Input, InputKind
from slimpack.env.locks.lock import Lock, LockedPackage, PypiPackage
from slimpack.oci.compress import Compression
from slimpack.provenance import BuildFacts, lock_facts
from slimpack.slim.ruleset import Rule, Rules
from tests.sbom.images import SECRET

LOCK = Lock(
    platform="linux-64",
    packages=(
        LockedPackage(
            name="python",
            version="3.11.2",
            build="h0_0",
            subdir="linux-64",
            url="https://conda.anaconda.org/conda-forge/linux-64/python-3.11.2-h0_0.conda",
            sha256="ab" * 32,
        ),
    ),
    text="version: 6\n",
    pypi=(
        PypiPackage(
            name="requests",
            version="2.32.0",
            url="https://files.example.org/requests-2.32.0-py3-none-any.whl",
            sha256="12" * 32,
        ),
    ),
)
DEBIAN = (
    ResolvedPackage(
        name="libc6",
        version="2.36-9+deb12u14",
        architecture="amd64",
        sha256="56" * 32,
        filename="pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb",
        size=1,
    ),
)
RULES = Rules((Rule("package-tests", "test suites of packages", "safe"),))


def facts(folder: Path) -> BuildFacts:
    """Return facts of a build whose files lie in `folder`."""
    spec = folder / "environment.yml"
    spec.write_text("dependencies: [python]\n")
    config = Config(
        folder=folder,
        env=EnvConfig(
            inputs=(str(spec),),
            channels=(
                "conda-forge",
                f"https://me:{SECRET}@conda.example.com/t/{SECRET}/team",
                f"file://{folder}/channel",
            ),
            cuda="12.6",
        ),
        image=ImageConfig(env=(("TOKEN", SECRET),), cmd=("python",), base=None),
        app=AppConfig(copy=(CopyRule(folder / "app", "/app"),)),
        slim=SlimConfig(drop_packages=("tk",)),
    )
    return BuildFacts(
        config=config,
        source=Input(InputKind.ENVIRONMENT, spec),
        prefix="/opt/env",
        compression=Compression(),
        epoch=1_700_000_000,
        engine="micromamba 2.8.1",
        lock=lock_facts(LOCK),
        debian=DEBIAN,
        profile="safe",
        rules=RULES,
    )
