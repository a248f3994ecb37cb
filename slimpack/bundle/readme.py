"""README.txt of a bundle: for somebody who has nothing but the file and the usual tools."""

from __future__ import annotations

from collections.abc import Iterator

from slimpack.bundle.contents import Contents, Packed, Part
from slimpack.bundle.installer import PATH as INSTALLER
from slimpack.bundle.model import FileKind, Statement
from slimpack.oci.index import Index, images_of
from slimpack.oci.names import familiar_name

PATH = "README.txt"

_HEAD = """\
This is a bundle of slimpack: container images in one file, to be carried to a
place without network. It is a plain tar, and at once an OCI image layout and a
docker-archive, so that the commands below need no slimpack. In them FILE.tar
stands for the name of the bundle.

If it came in volumes (FILE.tar.001 and so on), put them together first:

  cat FILE.tar.[0-9]* > FILE.tar
"""

_CHECK = """\
CHECK

  mkdir bundle && tar -xf FILE.tar -C bundle && cd bundle
  sha256sum -c SHA256SUMS

That finds damage. Whether the bundle is from whom you think tells a signature:
if slimpack/bundle.json.sig is there, you need the signer's public key, which
has to reach you by another way.

  cosign verify-blob --key cosign.pub --insecure-ignore-tlog \\
    --signature slimpack/bundle.json.sig slimpack/bundle.json

It covers slimpack/bundle.json, which has the digest of every other file. To see
that it has that of SHA256SUMS, too (1 is right):

  grep -c "$(sha256sum SHA256SUMS | cut -d ' ' -f 1)" slimpack/bundle.json

slimpack checks all of this at once:

  slimpack bundle verify FILE.tar --key cosign.pub
"""

_LOAD = """\
LOAD

  docker load -i FILE.tar
  podman load -i FILE.tar
  ctr image import FILE.tar        for Kubernetes: ctr -n k8s.io image import

Into a registry, one image at a time, by the names above:

  skopeo copy --all oci-archive:FILE.tar:{name} docker://REGISTRY/{path}

or, from the folder that it was unpacked into, with what tells of the image
(SBOMs, provenance, signatures), by its digest:

  oras copy -r --from-oci-layout bundle@{digest} \\
    REGISTRY/{path}

slimpack brings all of it to its place, sends only what is missing, and goes on
where it was interrupted. TARGET is registry=HOST:PORT/PREFIX, layout=FOLDER, docker,
podman or containerd:

  slimpack bundle apply FILE.tar --to TARGET
"""

_ZSTD = """\
Layers here are compressed with zstd. Docker before 23.0 cannot load them
("invalid tar header"), and skopeo cannot make a docker-archive of them:
`slimpack bundle apply` can. podman, containerd and registries take them as they
are.
"""

_SEVERAL = """\
Of images for several platforms, docker load takes the first that is listed;
skopeo with --all, oras and slimpack take all.
"""

_DELTA = """\
THIS IS A DELTA

It lacks what the far side has already, and is of no use without that:

  blobs that are left out     {absent} ({absent_size} MB)
  blobs that patches make     {patches} ({patched_size} MB)
{since}
Only slimpack can put that together, where blobs are kept: in a registry or an OCI
layout. It checks first that nothing is missing:

  slimpack bundle verify FILE.tar --key cosign.pub
  slimpack bundle apply FILE.tar --to registry=HOST:PORT/PREFIX
  slimpack bundle apply FILE.tar --to layout=FOLDER
"""

_FILES: dict[FileKind, str] = {
    "lock": """\
locks/            exactly which packages the images were built from. With channel/ or
                  wheelhouse/ here, slimpack builds from these files, without network:
                    slimpack build locks/NAME.pixi.lock --packages-from . -o image.tar
""",
    "channel": """\
channel/          their conda packages. Without slimpack:
                    micromamba create -n NAME --override-channels \\
                      -c "file://$PWD/channel" --file locks/NAME-linux-64.txt
                  (a folder in channel/ that is no platform is a channel of its own,
                  to be added with another -c)
                  Into a channel that others use: slimpack bundle apply FILE.tar \\
                    --to channel=FOLDER
""",
    "wheelhouse": """\
wheelhouse/       what pip installs on top of them:
                    pip install --no-deps --no-index --find-links wheelhouse \\
                      --require-hashes -r wheelhouse/requirements-NAME.txt
""",
    "archive": """\
archives/         environments without a container. Unpack one anywhere, then run
                  bin/conda-unpack in it once, and: source bin/activate
""",
    "slimpack": """\
slimpack-wheels/  slimpack itself, for Python without network:
                    pip install --no-index --find-links slimpack-wheels slimpack
""",
}
_INSTALLER = """\
install.sh        checks this bundle and loads its images with docker, podman or ctr;
                  needs sh and no slimpack: sh install.sh --help
"""


def readme(statement: Statement, contents: Contents) -> Part:
    """Return README.txt of the bundle that has this statement, perhaps without install.sh.

    It depends on the contents alone, and never on the name of the bundle's file.
    """
    return Part.of(PATH, "\n".join(_parts(statement, contents)).encode())


def _parts(statement: Statement, contents: Contents) -> Iterator[str]:
    yield _HEAD
    yield "IMAGES\n"
    for packed in contents.images:
        yield _image(packed)
    kinds = {file.kind for file in statement.files}
    others = [text for kind, text in _FILES.items() if kind in kinds]
    if any(file.path == INSTALLER for file in statement.files):
        others.append(_INSTALLER)
    if others:
        yield "OTHER FILES\n"
        yield "".join(f"  {line}" for text in others for line in text.splitlines(keepends=True))
    yield _CHECK
    if statement.is_delta:
        yield _delta(statement)
        return
    yield _load(contents.images)


def _image(packed: Packed) -> str:
    images = images_of(packed.target)
    told = f", {len(packed.documents)} documents" if packed.documents else ""
    platforms = ", ".join(str(image.platform) for image in images)
    return "\n".join(
        [
            *(f"  {familiar_name(name)}" for name in packed.names),
            f"    {packed.target.digest}",
            f"    {platforms}; {_megabytes(packed.target.size)} MB{told}",
            "",
        ]
    )


def _load(images: tuple[Packed, ...]) -> str:
    if not images:
        return ""
    first = images[0]
    name = familiar_name(first.names[0])
    path = name.rpartition("/")[2]
    parts = [_LOAD.format(name=name, path=path, digest=first.target.digest)]
    layers = [x for one in images for image in images_of(one.target) for x in image.layers]
    if any(layer.media_type.endswith("+zstd") for layer in layers):
        parts.append(_ZSTD)
    if any(isinstance(one.target, Index) and len(one.target.images) > 1 for one in images):
        parts.append(_SEVERAL)
    return "\n".join(parts)


def _delta(statement: Statement) -> str:
    since = "".join(f"  it follows                  {digest}\n" for digest in statement.since)
    return _DELTA.format(
        absent=len(statement.absent),
        absent_size=_megabytes(sum(blob.size for blob in statement.absent)),
        patches=len(statement.patches),
        patched_size=_megabytes(sum(patch.target.size for patch in statement.patches)),
        since=since,
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"
