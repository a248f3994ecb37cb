"""Whether a bundle has all that its images need, and nothing that none of them does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from slimpack.bundle.contents import Document, Packed, layout_parts, sums_part
from slimpack.bundle.findings import Findings
from slimpack.bundle.model import Blob, Bundled, Statement
from slimpack.bundle.needs import Need, document_needs, image_needs, name_of
from slimpack.bundle.reader import Elsewhere
from slimpack.errors import ImageError
from slimpack.oci.index import images_of
from slimpack.oci.read import read_described

_SUMS = "SHA256SUMS"
_MOST_TOLD = 2  # of what a shared blob is for
_MOST_NEEDS = 400_000  # of all images together
_MOST_JSON = 128 << 20  # bytes of manifests and configs, counted for each image that has them


@dataclass
class _KeptFiles:
    """The blobs of a bundle as `slimpack.oci.read` wants them: JSON has bytes, the rest a size."""

    what: str
    sizes: Mapping[str, Blob]
    kept: Mapping[str, bytes]

    def has(self, name: str) -> bool:
        return name in self.sizes

    def find(self, name: str) -> Elsewhere:
        if name not in self.sizes:
            raise ImageError(f"{self.what} lacks the file {name[:200]!r}")
        blob = self.sizes[name]
        return Elsewhere(blob.digest, blob.size, "it has passed")

    def read(self, name: str, limit: int) -> bytes:
        data = self.kept.get(self.find(name).digest, b"")
        if not 0 < len(data) <= limit:
            raise ImageError(f"{name} did not come whole, or is no JSON of an image")
        return data


class Completeness:
    """The question, asked when all has passed. needs: what each blob is for, by its path.

    kept: the JSON of images by digest. unpacked: digest of the tar in each layer that was
    unpacked, by that of the layer.
    """

    def __init__(
        self,
        statement: Statement,
        kept: Mapping[str, bytes],
        unpacked: Mapping[str, str],
        findings: Findings,
    ) -> None:
        self._unpacked = unpacked
        self.needs: dict[str, list[str]] = {}
        self._told: set[str] = set()
        self._count = 0
        self._read = 0
        self._statement = statement
        self._kept = kept
        self._findings = findings
        elsewhere = (*statement.absent, *(patch.target for patch in statement.patches))
        self._there = {blob.path: blob for blob in (*statement.blobs, *elsewhere)}

    def check(self) -> None:
        """Tell of all that is missing, of what nobody needs, and of a layout that says more."""
        packed = [self._image(image) for image in self._statement.images]
        whole = [one for one in packed if one is not None]
        if len(whole) < len(packed):
            return  # what an image needs that cannot be read is not known
        for path in self._there:
            if path not in self.needs:
                self._findings.add("image", "the statement has it, but no image needs it", path)
        self._layout(whole)

    def _image(self, image: Bundled) -> Packed | None:
        """Return an image, if all that can be said of it without its layers is right."""
        name = name_of(image)
        try:
            self._check_bounds()
            whole = self._present(image_needs(image, self._kept))
            for attached in image.attached:
                if Blob(attached.subject, 0).path not in self.needs:
                    raise ImageError(f"a document tells of {attached.subject}, which it is not")
                whole &= self._present(document_needs(image, attached, self._kept))
            if not whole:
                return None
            files = _KeptFiles("the bundle", self._there, self._kept)
            target = read_described(files, image.descriptor)
            if not images_of(target):
                raise ImageError("an index that lists no image")
            if target.descriptor() != image.descriptor:
                raise ImageError("the statement describes it otherwise than its manifest does")
            for layer in (layer for one in images_of(target) for layer in one.layers):
                if self._unpacked.get(layer.digest, layer.diff_id) != layer.diff_id:
                    said = f"it unpacks to another tar than its image says ({layer.diff_id})"
                    self._findings.add("image", said, Blob(layer.digest, 0).path)
        except ImageError as error:
            self._findings.add("image", f"{name}: {error.message}")
            return None
        return Packed(image.names, target, tuple(Document(one, b"", ()) for one in image.attached))

    def _present(self, needs: Iterable[Need]) -> bool:
        """Tell of each blob that is not there, once; return whether all are."""
        whole = True
        for need in needs:
            path = need.blob.path
            self._count += 1
            self._read += len(self._kept.get(need.blob.digest, b""))
            self._check_bounds()
            told = self.needs.setdefault(path, [])
            if len(told) < _MOST_TOLD:
                told.append(need.what)
            there = self._there.get(path)
            if there == need.blob:
                continue
            whole = False
            said = "it is neither in the bundle, nor made by a patch, nor listed as absent"
            if there is not None:
                said = f"the image declares {need.blob.size} bytes, the statement {there.size}"
            if path not in self._told:
                self._told.add(path)
                self._findings.add("image", said, path)
        return whole

    def _check_bounds(self) -> None:
        if self._count > _MOST_NEEDS or self._read > _MOST_JSON:
            raise ImageError("it has, with the images before it, more parts than are allowed")

    def _layout(self, images: list[Packed]) -> None:
        """Compare what other tools read with what the statement says."""
        statement = self._statement
        files = {file.path: file for file in statement.files}
        expected = list(layout_parts(images))
        if _SUMS in files:
            rest = tuple(file for file in statement.files if file.path != _SUMS)
            expected.append(sums_part(replace(statement, files=rest)))
        for part in expected:
            file = files.get(part.path)
            if file is None:
                self._findings.add("layout", "the statement does not list it", part.path)
            elif file.digest != part.digest:
                said = "it does not agree with the images that the statement lists"
                self._findings.add("layout", said, part.path)


def descriptions(statement: Statement, needs: Mapping[str, list[str]]) -> Mapping[str, str]:
    """Return what members are for people, by their path."""
    found = {path: _joined(told) for path, told in needs.items()}
    for patch in statement.patches:
        found[patch.path] = f"patch that makes {found.get(patch.target.path, patch.target.digest)}"
    for file in statement.files:
        found[file.path] = _file(file.path, file.kind)
    return found


def _joined(told: list[str]) -> str:
    return told[0] if len(told) == 1 else f"{told[0]}, and of others"


def _file(path: str, kind: str) -> str:
    name = path.rpartition("/")[2]
    if kind == "channel":
        package = name.endswith((".conda", ".tar.bz2"))
        return f"package {name} of the channel" if package else f"{name} of the channel"
    return {
        "layout": "what makes the bundle an OCI layout and a docker-archive",
        "text": "text for the far side",
        "lock": f"lock {name}",
        "wheelhouse": f"{name} of the wheelhouse",
        "archive": f"portable archive {name}",
        "slimpack": f"{name}, slimpack itself",
    }.get(kind, "")
