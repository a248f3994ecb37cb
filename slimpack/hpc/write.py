"""Root file systems as files: squashfs, SIF, or a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from slimpack.archive.formats import Packing
from slimpack.archive.squash import check_squashfs, write_squashfs_of_tar
from slimpack.errors import InputError
from slimpack.files import atomic_file, size_and_digest
from slimpack.hpc.flatten import Root, content_size, flat_tar, root_of
from slimpack.hpc.scripts import inspection
from slimpack.hpc.sif import Told, check_architecture, sif_front
from slimpack.oci.compress import Name, kind_of
from slimpack.oci.image import Image
from slimpack.outputs import RootFile, RootOutput
from slimpack.progress import SILENT, Progress
from slimpack.rootfs import unpack_image


def root_packing(compression: Name, level: int | None) -> Packing:
    """Return how a squashfs is packed, with zstd or gzip.

    Raises InputError for anything else, a level that is none of it, or a machine without
    mksquashfs 4.5.
    """
    if compression == "none":
        raise InputError(
            "--compression none: a squashfs or SIF is always compressed", hint="use zstd or gzip"
        )
    codec: Literal["zstd", "gzip"] = "gzip" if kind_of(compression) == "gzip" else "zstd"
    packing = Packing(format="squashfs", squashfs=codec, level=level)
    check_squashfs()
    return packing


def write_folder(image: Image, path: str, *, progress: Progress = SILENT) -> RootFile:
    """Write what `write_root` does to a folder, which is new or empty.

    Raises as `slimpack.rootfs.unpack_image` does.
    """
    root = root_of(image)
    done = unpack_image(root.image, Path(path), view=root.view, progress=progress)
    return RootFile(path, "folder", done.size, "", root.notes)


def write_root(
    image: Image, output: RootOutput, packing: Packing, *, progress: Progress = SILENT
) -> RootFile:
    """Write what is visible in `image`, and what runtimes read of its configuration.

    The file appears when it is whole. Its bytes depend on the image, `packing` but for its
    threads, and the version of mksquashfs alone. Raises InputError for an output that is in
    the way, an architecture that SIF does not know, or a missing mksquashfs; ImageError for
    layers that are damaged or hostile; ArchiveError if mksquashfs fails; SlimpackError for a
    disk that refuses.
    """
    path, is_sif = Path(output.path), output.format == "sif"
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file", hint="choose another name")
    if is_sif:
        check_architecture(image.platform.architecture)  # before anything is read
    root = root_of(image)
    told = _told(image, packing, root) if is_sif else None
    with atomic_file(path) as out:
        made = Path(out.name)  # mksquashfs writes over it
        _squash(root, made, packing, told.start if told else 0, path.name, progress)
        if told:
            out.seek(0)
            out.write(sif_front(told, made.stat().st_size - told.start))
            out.flush()
            made.chmod(0o755)  # it starts itself, where Apptainer is
        size, sha256 = size_and_digest(made)
    return RootFile(output.path, output.format, size, sha256, root.notes)


def _squash(
    root: Root, made: Path, packing: Packing, offset: int, name: str, progress: Progress
) -> None:
    with progress.task(f"write {name}", total=content_size(root)) as task:
        chunks = flat_tar(root, advance=task.advance)
        write_squashfs_of_tar(chunks, made, packing, newest=root.newest, offset=offset)


def _told(image: Image, packing: Packing, root: Root) -> Told:
    documents = (
        ("inspect-metadata.json", inspection(image.config, root.view)),
        ("oci-config.json", _run_config(image)),
    )
    identity = f"{image.digest} {packing.squashfs} {packing.effective_level}"
    return Told(image.platform.architecture, identity, root.newest, documents)


def _run_config(image: Image) -> bytes:
    """Return the image's own words for how it is run, as Apptainer's builds keep them."""
    config = json.loads(image.config_json).get("config")
    return json.dumps(config or {}, sort_keys=True, separators=(",", ":")).encode()
