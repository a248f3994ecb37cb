"""Where an image goes and what a build shares, as data."""

from __future__ import annotations

from dataclasses import dataclass

from slimpack.registry.reference import Reference

AUTO = "auto"
ENGINES = ("docker", "podman", "containerd")
"""Engines, by the names of `slimpack.daemon`, whose libraries take a while to import."""

ROOT_FORMATS = ("squashfs", "sif")
"""Files that hold a whole root file system, for Apptainer and enroot (docs/hpc.md)."""
ROOT_SUFFIXES = {".squashfs": "squashfs", ".sqsh": "squashfs", ".sif": "sif"}


@dataclass(frozen=True)
class RootOutput:
    """A file for one of `ROOT_FORMATS`."""

    path: str
    format: str


@dataclass(frozen=True)
class RootFile:
    """A root file system that was written.

    size: bytes of the file; of a folder, of the files in it, each content once.
    sha256: of the file, 64 hex digits; "" for a folder.
    """

    path: str
    format: str
    size: int
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outputs:
    """Where the image goes, and what is written about it.

    paths: an OCI layout folder when the text ends in "/" or is a folder, else
        one tar that is an OCI layout and a docker-archive at once.
    roots: files with the root file system of the one image.
    load: name of an engine (`slimpack.daemon.load`), "" for none; of several platforms it
        gets the one of this machine.
    push: under these references. insecure: plain HTTP is allowed there.
    documents: names of `slimpack.attestation.FORMS` that are written about each image.
    builder: URI of who runs the build, for provenance; "" for nobody in particular.
    """

    paths: tuple[str, ...] = ()
    roots: tuple[RootOutput, ...] = ()
    load: str = ""
    push: tuple[Reference, ...] = ()
    insecure: bool = False
    documents: tuple[str, ...] = ()
    builder: str = ""


@dataclass(frozen=True)
class RemoteCaching:
    """Repositories that keep what builds made (docs/cache.md): read, and written to."""

    sources: tuple[Reference, ...] = ()
    to: Reference | None = None


NO_REMOTE = RemoteCaching()
