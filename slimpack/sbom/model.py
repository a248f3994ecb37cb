"""What a bill of materials says, independent of its format."""

from __future__ import annotations

from dataclasses import dataclass, field

Properties = tuple[tuple[str, str], ...]
"""(name, value) in order of name."""


@dataclass(frozen=True)
class Licence:
    """The licence that a package declares.

    named: as the package says it, "" when it says nothing.
    expression: the same as an SPDX expression; what SPDX does not know is a LicenseRef.
    texts: (LicenseRef, what it stands for) of each one in `expression`.
    """

    named: str = ""
    expression: str = ""
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Dist:
    """A Python distribution that a conda package brought: the same software by another name."""

    purl: str
    name: str
    version: str
    licence: Licence = field(default_factory=Licence)


@dataclass(frozen=True)
class Component:
    """One package of the image.

    purl: package URL; also what other components call it by.
    kind: "conda", "pypi" or "debian".
    digests: (algorithm "sha256" or "md5", hex) of the archive it was installed from.
    url: where anybody can get that archive, "" when nobody knows.
    supplier: who made the package, as its metadata says.
    depends: purls of components of the image that it needs.
    dists: that it brought, for a conda package.
    record: path in the image of what says all this.
    layer: diffID of the layer that holds most of it, "" for none. size: bytes in the image.
    """

    purl: str
    kind: str
    name: str
    version: str
    record: str
    licence: Licence = field(default_factory=Licence)
    digests: tuple[tuple[str, str], ...] = ()
    url: str = ""
    homepage: str = ""
    supplier: str = ""
    summary: str = ""
    depends: tuple[str, ...] = ()
    dists: tuple[Dist, ...] = ()
    properties: Properties = ()
    layer: str = ""
    size: int = 0


@dataclass(frozen=True)
class FileItem:
    """A file of no package. path: in the image, without a slash before it.

    sha1: because SPDX 2.3 asks for it of each file (clause 8.4); nothing rests on it.
    """

    path: str
    sha256: str
    sha1: str
    size: int


@dataclass(frozen=True)
class OperatingSystem:
    """What /etc/os-release says of the base: ``debian``, ``12``, ``Debian GNU/Linux 12``."""

    name: str
    version: str
    title: str


@dataclass(frozen=True)
class Inventory:
    """All that is known of one image.

    name: the image's, "" when it has none. digest: of its manifest. created: RFC 3339.
    purl: of the image, "" without a name.
    components: in order of purl. files: of no package and above the base, in order of path.
    omitted_files: how many more of those there are.
    roots: purls of the components that no other needs.
    slimming: what slimming did as a whole. notes: what could not be read.
    """

    name: str
    digest: str
    image_id: str
    platform: str
    created: str
    purl: str
    components: tuple[Component, ...]
    files: tuple[FileItem, ...] = ()
    omitted_files: int = 0
    system: OperatingSystem | None = None
    roots: tuple[str, ...] = ()
    slimming: Properties = ()
    layers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
