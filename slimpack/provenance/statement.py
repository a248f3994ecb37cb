"""How an image came to be: SLSA provenance v1 in an in-toto statement.

Formats: in-toto Attestation Framework v1 (Statement, ResourceDescriptor); SLSA v1.0,
'Provenance' (https://slsa.dev/provenance/v1). docs/supply-chain.md describes our build
type. By default nothing in it depends on when or where the build ran.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from slimpack import __version__
from slimpack.env.inputs.identify import Input
from slimpack.env.redact import redacted
from slimpack.oci.digest import hex_of
from slimpack.oci.jsontext import Object
from slimpack.provenance.facts import BuildFacts, rules_digest
from slimpack.sbom.model import Component, Inventory
from slimpack.sbom.purls import debian_purl, public_url

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:slimpack:build:v1"
"""Names the meaning of the parameters; docs/supply-chain.md, 'Build type'."""
DEFAULT_BUILDER = "urn:slimpack:builder:unspecified"
"""A builder that nobody vouches for: whoever runs builds for others names theirs."""

_TOOLS = ("py-rattler", "conda-pack", "python-zstandard")
_DISTRIBUTIONS = {"python-zstandard": "zstandard"}


@dataclass(frozen=True)
class Run:
    """What is said of the build itself.

    builder: URI of who ran it. invocation: URI of the run. started, finished: RFC 3339.
    What is "" is left out.
    """

    builder: str = DEFAULT_BUILDER
    invocation: str = ""
    started: str = ""
    finished: str = ""


def provenance(inventory: Inventory, facts: BuildFacts, run: Run = Run()) -> bytes:
    """Return the statement about one image; the same arguments give the same bytes."""
    statement: Object = {
        "_type": STATEMENT,
        "subject": [
            {
                "name": inventory.name or "image",
                "digest": {"sha256": hex_of(inventory.digest)},
            }
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(facts),
                "internalParameters": _internal(facts),
                "resolvedDependencies": list(_dependencies(inventory, facts)),
            },
            "runDetails": _run_details(run),
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True).encode("ascii") + b"\n"


def _external(facts: BuildFacts) -> Object:
    """Return what the user decided; no path and no address of the machine that built."""
    config = facts.config
    source: Object = {"kind": facts.source.kind.value}
    if facts.source.specs:
        source["specs"] = [_told(spec) for spec in facts.source.specs]
    if files := list(_input_files(facts.source)):
        source["files"] = files
    image, env, slim = config.image, config.env, config.slim
    settings: Object = {
        "env": {
            "channels": [_channel(channel) for channel in env.channels],
            "channelPriority": env.channel_priority,
            "platform": env.platform,
            "cuda": env.cuda,
            "glibc": env.glibc,
            "environment": env.environment,
            "categories": list(env.categories),
        },
        "image": {
            "runtime": Path(image.runtime).name,
            "base": facts.base[0] if facts.base else "",
            "entrypoint": list(image.entrypoint),
            "cmd": list(image.cmd),
            "env": [name for name, _ in image.env],
            "user": image.user,
            "workdir": image.workdir,
            "labels": dict(image.labels),
            "expose": list(image.expose),
            "layers": image.layers,
        },
        "app": {
            "copy": [rule.target for rule in config.app.copy],
            "prepare": bool(config.app.prepare),
        },
        "slim": {
            "profile": facts.profile,
            "keep": list(slim.keep),
            "drop": list(slim.drop),
            "disable": list(slim.disable),
            "dropPackages": list(slim.drop_packages),
            "gpuArch": list(slim.gpu_arch),
        },
        "verify": {"enabled": config.verify.enabled, "ignore": list(config.verify.ignore)},
    }
    return {"input": source, "configuration": _without_empty(settings)}


def _internal(facts: BuildFacts) -> Object:
    """Return what the tool decided."""
    compression = facts.compression
    found: Object = {
        "prefix": facts.prefix,
        "sourceDateEpoch": facts.epoch,
        "compression": {
            "kind": compression.name,
            "level": compression.level,
            "library": compression.library,
        },
        "slimming": {"profile": facts.profile},
    }
    if facts.rules is not None:
        found["slimming"]["rules"] = {"sha256": rules_digest(facts.rules)}
    if facts.engine:
        found["engine"] = facts.engine
    if facts.lock is not None:
        found["lock"] = {"platform": facts.lock.platform, "sha256": facts.lock.sha256}
    return found


def _dependencies(inventory: Inventory, facts: BuildFacts) -> Iterator[Object]:
    """Yield all that went into the image, with the digests that are known of it."""
    if facts.base:
        name, digest = facts.base
        yield {"name": name, "digest": {"sha256": hex_of(digest)}, "annotations": {"as": "base"}}
    debian = {(one.name, one.version): one for one in facts.debian}
    for part in inventory.components:
        known = debian.pop((part.name, part.version), None) if part.kind == "debian" else None
        yield _descriptor(part, known.sha256 if known else "")
    for one in debian.values():  # whose files are all there, but not its record
        purl = debian_purl(one.name, one.version, arch=one.architecture)
        yield {"name": one.name, "uri": purl, "digest": {"sha256": one.sha256}}


def _descriptor(part: Component, sha256: str) -> Object:
    digests = {"sha256": sha256} if sha256 else dict(part.digests)
    found: Object = {"name": part.name, "uri": part.purl}
    if digests:
        found["digest"] = digests
    if part.url:
        found["downloadLocation"] = part.url
    return found


def _run_details(run: Run) -> Object:
    metadata = {
        "invocationId": run.invocation,
        "startedOn": run.started,
        "finishedOn": run.finished,
    }
    details: Object = {"builder": {"id": run.builder, "version": dict(_versions())}}
    if said := {key: value for key, value in metadata.items() if value}:
        details["metadata"] = said
    return details


def _versions() -> Iterator[tuple[str, str]]:
    yield "slimpack", __version__
    for name in _TOOLS:
        try:
            yield name, version(_DISTRIBUTIONS.get(name, name))
        except PackageNotFoundError:  # vendored by whoever packaged slimpack
            continue


def _input_files(source: Input) -> Iterator[Object]:
    """Yield the files that were given, by name and digest; a folder or archive has no digest."""
    for path in (source.path, source.manifest):
        if path is None:
            continue
        item: Object = {"name": path.name}
        if path.is_file():
            with path.open("rb") as stream:
                item["digest"] = {"sha256": _digest(stream)}
        yield item


def _digest(stream: Any) -> str:
    value = hashlib.sha256()
    while data := stream.read(1 << 20):
        value.update(data)
    return value.hexdigest()


def _channel(channel: str) -> str:
    """Return a channel as others may know it: its name, its public URL, or that it is private."""
    if "://" in channel:
        return public_url(channel) or "private"
    return "private" if "/" in channel.strip("/") and channel.startswith(("/", ".")) else channel


def _told(spec: str) -> str:
    """Return a match spec; of a package file only its name."""
    text = redacted(spec)
    if "://" in text:
        return public_url(text) or text.partition("#")[0].rpartition("/")[2]
    return text if "::" in text else text.rpartition("/")[2]


def _without_empty(settings: Mapping[str, Any]) -> Object:
    """Return the settings that say something: others have their defaults."""
    told = {
        table: {key: value for key, value in values.items() if value not in ("", [], {}, None)}
        for table, values in settings.items()
    }
    return {table: values for table, values in told.items() if values}
