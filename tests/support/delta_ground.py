"""A catalog and a store in memory with one image, whose gateways die where a test wants it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import DiskFacts, ImageRecord, Quota
from image_gateway.identity.lease_tokens import LeaseKey, LeaseTokens
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.delta_services import DeltaServices, make_delta_services
from image_gateway.services.leases import LeaseRules, Leases
from image_gateway.services.reading.access import Access
from image_gateway.storage.objects import ObjectStore
from tests.support.memory_store import MemoryStore
from tests.support.records import NOW, make_record

POINTS = ("before the PUT", "before the row", "before the answer")
# What makes objects of the store count.
_ROWS: Mapping[str, tuple[str, ...]] = {
    "deltas": ("add", "commit"),
    "delta_objects": ("set_checkpoint", "reset", "add_snapshot"),
}


class Killed(BaseException):
    """The process ended: nothing after this happened."""


class DatedStore(MemoryStore):
    """A store without pauses that dates objects by the clock of the test."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(seed=1)
        self._clock = clock

    def _pause(self) -> None:
        """Nothing waits."""

    def put(
        self, key: str, data: bytes, *, content_type: str, cache_control: str, sha256: str | None = None
    ) -> str:
        assert sha256 in (None, hashlib.sha256(data).hexdigest())
        etag = super().put(key, data, content_type=content_type, cache_control=cache_control)
        moment = datetime.fromtimestamp(self._clock(), UTC).replace(microsecond=0)
        self._objects[key] = (data, moment)
        return etag

    def sizes(self, prefix: str) -> dict[str, int]:
        """Sizes of all objects by their names below a prefix."""
        return {item.key.removeprefix(prefix): item.size for item in self.list_objects(prefix)}


@dataclass
class Ground:
    """Where the gateways of one test work."""

    engine: Engine
    catalog: Catalog
    store: Any
    image: ImageRecord
    base: bytes
    clock: Callable[[], float]

    def services(self, quota: Quota | None = None) -> DeltaServices:
        """Return the services of a gateway that was just started."""
        return make_gateway(self.catalog, self.store, self.clock, quota)

    def objects(self, delta_id: str) -> dict[str, int]:
        """Sizes of a delta's objects in the store by name."""
        sizes: dict[str, int] = self.store.sizes(self.image.location.delta_key(delta_id, ""))
        return sizes

    def keys(self) -> set[tuple[str, str]]:
        """Delta and name of each object in the store."""
        names = self.store.sizes(self.image.location.deltas_prefix)
        return {(delta_id, name) for delta_id, _, name in (key.partition("/") for key in names)}

    def named(self, delta_id: str) -> set[str]:
        """Names of the objects that the catalog has of a delta."""
        row = self.catalog.deltas.find(delta_id)
        if row is None:
            return set()
        commits = self.catalog.deltas.find_commits(delta_id, after=0, upto=row.generation)
        snapshots = self.catalog.delta_objects.snapshots(delta_id)
        names = [row.checkpoint or "", *self.catalog.delta_objects.retired_objects(delta_id)]
        return {*names, *(item.name for item in commits), *(item.checkpoint for item in snapshots)}


def make_gateway(
    catalog: Catalog, store: ObjectStore, clock: Callable[[], float], quota: Quota | None = None
) -> DeltaServices:
    """Return services of deltas as the gateway has them."""
    access = Access(catalog, catalog.shares, hide_foreign=True, remember=0, clock=clock)
    trail = AuditTrail(catalog.audit_entries, clock)
    rules = LeaseRules(ttl=600, max_ttl=3600, session=36_000, grace=60)
    leases = Leases(catalog.leases, access, LeaseTokens([LeaseKey("k", "s" * 64)]), rules, trail, clock)
    return make_delta_services(
        catalog, store, access, leases, trail, quota or Quota(), clock, hide_foreign=True
    )


def make_ground(url: str, store: Any, base: bytes, clock: Callable[[], float]) -> Ground:
    """Return a catalog at `url` with one complete image of alice's."""
    engine = open_engine(url)
    catalog = Catalog(engine)
    image = make_record()
    catalog.add(image, Quota())
    catalog.complete(image.image_id, image.plan.upload_id, DiskFacts(len(base), '"e"', NOW, None), NOW)
    found = catalog.find(image.image_id)
    assert found is not None
    return Ground(engine, catalog, store, found, base, clock)


def _killed() -> None:
    raise Killed


@contextmanager
def dying(
    catalog: Catalog, store: Any, point: str, strike: Callable[[], None] = _killed, *, after: int = 0
) -> Iterator[None]:
    """Within, what writes objects ends at one of POINTS, after it passed there `after` times."""
    passed = 0

    def reach(here: str) -> None:
        nonlocal passed
        if here == point:
            passed += 1
            if passed > after:
                strike()

    def put(key: str, data: bytes, **headers: str) -> str:
        reach("before the PUT")
        return plain_put(key, data, **headers)

    def recording(plain: Callable[..., Any]) -> Callable[..., Any]:
        def record(*arguments: Any, **named: Any) -> Any:
            reach("before the row")
            answer = plain(*arguments, **named)
            reach("before the answer")
            return answer

        return record

    plain_put = store.put
    store.put = put
    wrapped = [(getattr(catalog, part), name) for part, names in _ROWS.items() for name in names]
    for repository, name in wrapped:
        setattr(repository, name, recording(getattr(repository, name)))
    try:
        yield
    finally:
        del store.put
        for repository, name in wrapped:
            delattr(repository, name)
