"""A registry as the far side.

``docker.io/library/serve:1.0`` goes to ``HOST/PREFIX/serve:1.0`` and ``ghcr.io/me/app:2`` to
``HOST/PREFIX/me/app:2``: hosts are dropped, and so is ``library/`` of docker.io.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from slimpack.bundle.far import Move, Parcel, Sent
from slimpack.bundle.inventory import Inventory
from slimpack.bundle.model import Blob
from slimpack.bundle.rebuild import Held
from slimpack.bundle.shipment import Shipment
from slimpack.bundle.stock import registry_inventory
from slimpack.bundle.supply import Supply
from slimpack.errors import InputError, RegistryError
from slimpack.oci.names import DEFAULT_HOST, has_host, split_name
from slimpack.progress import Progress
from slimpack.registry.client import Registry
from slimpack.registry.connecting import Registries
from slimpack.registry.parallel import run_all
from slimpack.registry.push import put_artifact
from slimpack.registry.reference import Reference
from slimpack.registry.sending import Count, Sending, Waiting


@dataclass(frozen=True)
class Place:
    """A registry, and what comes before the names of repositories on it, "" for nothing."""

    host: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read ``HOST[:PORT][/PREFIX]``; raise InputError for anything else."""
        text = text.rstrip("/")
        if not has_host(f"{text}/x"):
            raise InputError(
                f"{text[:300]!r} does not begin with the host of a registry",
                hint="write registry=HOST[:PORT][/PREFIX]; a host has a dot or a port",
            )
        host, path, _ = split_name(f"{text}/x")
        prefix = path.rpartition("/")[0]
        bare = host == DEFAULT_HOST and text.count("/") == 0
        return cls(host, "" if bare else prefix)

    def of(self, name: str) -> Reference:
        """Return where an image with the full name `name` goes."""
        host, path, tag = split_name(name)
        path = path.removeprefix("library/") if host == DEFAULT_HOST else path
        return Reference.parse("/".join(filter(None, (self.host, self.prefix, f"{path}:{tag}"))))

    def __str__(self) -> str:
        return "/".join(filter(None, (self.host, self.prefix)))


@dataclass
class RegistryFar:
    """A registry. mount_from: more repositories that may have some of the blobs.

    _known: all repositories that may have some. _where: digest -> a repository that has it.
    """

    place: Place
    registries: Registries
    mount_from: Sequence[Reference] = ()
    _known: list[str] = field(default_factory=list)
    _where: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Host and prefix."""
        return str(self.place)

    @property
    def _registry(self) -> Registry:
        return self.registries.of(self.place.host)

    @property
    def _others(self) -> tuple[str, ...]:
        """The repositories of this registry that the user names."""
        return tuple(one.repository for one in self.mount_from if one.host == self.place.host)

    def plan(self, shipments: Sequence[Shipment]) -> list[Parcel]:
        """As `Far.plan`. Raises RegistryError."""
        places = _places(self.place, shipments)
        self._known = [*self._others, *places]
        parcels = []
        for repository, found in places.items():
            there = self._there(repository, {blob for one, _ in found for blob in one.all_blobs})
            self._where.update({blob.digest: repository for blob in there})
            for one, references in found:
                parcels.append(self._parcel(one, references, there))
                there |= set(one.all_blobs)
        order = {id(one): number for number, one in enumerate(shipments)}
        return sorted(parcels, key=lambda parcel: order[id(parcel.shipment)])

    def _parcel(self, one: Shipment, references: Sequence[Reference], there: set[Blob]) -> Parcel:
        digest = one.target.digest
        moves = []
        for reference in references:
            head = self._registry.head_manifest(reference.repository, reference.tag)
            moves.append(Move(str(reference), (head.digest or "unknown") if head else "", digest))
        return Parcel(
            one,
            references[0].name,
            tuple(moves),
            tuple(blob for blob in one.all_blobs if blob not in there),
            tuple(blob for blob in one.all_blobs if blob in there),
        )

    def _there(self, repository: str, blobs: set[Blob]) -> set[Blob]:
        """Return those that a repository has, asking for several at a time."""
        there: set[Blob] = set()

        def ask(blob: Blob) -> Callable[[], None]:
            return lambda: there.add(blob) if self._has(repository, blob) else None

        run_all([ask(blob) for blob in sorted(blobs)], stop=self.registries.stop)
        return there

    def _has(self, repository: str, blob: Blob) -> bool:
        size = self._registry.has_blob(repository, blob.digest)
        if size and size != blob.size:
            raise RegistryError(
                f"{self.place.host}/{repository} has blob {blob.digest} with {size} bytes instead "
                f"of {blob.size}",
                hint="its storage is damaged: delete the blob there",
            )
        return size is not None

    def find(self, place: str, digest: str) -> Held | None:
        """As `Far.find`: in the repository itself, then in those of the run and `mount_from`."""
        own = place.removeprefix(f"{self.place.host}/")
        for repository in dict.fromkeys((own, *self._known)):
            size = self._registry.has_blob(repository, digest)
            if size is not None:
                opener = partial(self._registry.open_blob, repository, digest)
                return Held(opener, size, repository if repository != own else "")
        return None

    def carry(self, parcel: Parcel, supply: Supply, progress: Progress) -> Sent:
        """As `Far.carry`. Raises RegistryError; then the registry has some blobs more."""
        one = parcel.shipment
        repository = parcel.place.removeprefix(f"{self.place.host}/")
        registry = self._registry
        count = Count(present=sum(blob.size for blob in parcel.there))
        waiting = [self._waiting(blob, supply) for blob in parcel.lacking]
        with progress.task(f"push {parcel.place}", total=sum(x.size for x in waiting)) as task:
            to = Sending(registry, repository, self._others)
            to.send(waiting, count, task, self.registries.stop)
        self._where.update({blob.digest: repository for blob in one.all_blobs})
        for manifest in one.manifests:
            registry.put_manifest(repository, manifest.digest, manifest.data, manifest.media_type)
        for told in one.documents:
            attached = told.attached
            put_artifact(
                registry, repository, told.manifest.data, attached.descriptor, attached.tag
            )
        top = one.manifests[-1]
        for move in parcel.moves:
            tag = Reference.parse(move.name).tag
            registry.put_manifest(repository, tag, top.data, top.media_type)
        return Sent(count.sent, count.mounted, count.present)

    def _waiting(self, blob: Blob, supply: Supply) -> Waiting:
        source = supply.source(blob) or self._where.get(blob.digest, "")
        return Waiting(blob.digest, blob.size, lambda: supply.open(blob), source)

    def stock(self, parcels: Sequence[Parcel], progress: Progress) -> Inventory:
        """As `Far.stock`: all tags of the repositories where the parcels went."""
        places = dict.fromkeys(parcel.place for parcel in parcels)
        references = [Reference(*place.split("/", 1)) for place in places]
        return registry_inventory(references, self.registries, progress)


_Places = dict[str, list[tuple[Shipment, list[Reference]]]]


def _places(place: Place, shipments: Sequence[Shipment]) -> _Places:
    """Return for each repository what goes there. Raises InputError for names that clash."""
    found: _Places = {}
    given: dict[Reference, Shipment] = {}
    for one in shipments:
        if not one.names:
            raise InputError(
                f"the image {one.target.digest} has no name in the bundle",
                hint=f"give it one: --rename {one.target.digest}=NAME:TAG",
            )
        references: dict[str, list[Reference]] = {}
        for reference in dict.fromkeys(map(place.of, one.names)):
            if given.setdefault(reference, one) is not one:
                raise InputError(
                    f"two images would be {reference}: {given[reference].title} and {one.title}",
                    hint="give one of them another name: --rename OLD=NEW",
                )
            references.setdefault(reference.repository, []).append(reference)
        for repository, listed in references.items():
            found.setdefault(repository, []).append((one, listed))
    return found
