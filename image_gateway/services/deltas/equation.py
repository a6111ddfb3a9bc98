"""The equation of the sweeper: objects in the store are those that are needed, or await deletion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.deltas import GARBAGE_AGE, DeltaState
from image_gateway.domain.images import ImageRecord
from image_gateway.services.deltas.reachability import ObjectName, Reachability
from image_gateway.storage.objects import ObjectStore


def check_equation(catalog: Catalog, store: ObjectStore, record: ImageRecord, now: datetime) -> Iterator[str]:
    """Yield what is wrong with the objects of an image's deltas while nobody writes to them.

    Every object is needed, retired, of a deleted delta, or younger than an hour; every object that is needed
    exists; and an active delta counts the bytes of its recorded objects. Raises StoreError for checkpoints
    that cannot be read.
    """
    reachability = Reachability(catalog, store)
    listed = {item.name: item for item in reachability.listed(record)}
    deltas = {delta.delta_id: delta for delta in catalog.delta_objects.deltas_of(record.image_id)}
    needed: set[ObjectName] = set()
    for root in reachability.roots(list(deltas.values()), now):
        needed |= reachability.needed(record, root)
    retired = {
        ObjectName(delta_id, name)
        for delta_id in deltas
        for name in catalog.delta_objects.retired_objects(delta_id)
    }
    yield from (f"missing: {name.delta_id}/{name.name}" for name in sorted(needed - listed.keys()))
    for name in sorted(listed.keys() - needed - retired):
        delta = deltas.get(name.delta_id)
        is_deleted = delta is not None and delta.state is DeltaState.DELETED
        if not is_deleted and listed[name].last_modified <= now - GARBAGE_AGE:
            yield f"unexplained: {name.delta_id}/{name.name}"
    recorded = needed | retired
    for delta in deltas.values():
        size = sum(
            item.size for name, item in listed.items() if name.delta_id == delta.delta_id and name in recorded
        )
        if delta.state is DeltaState.ACTIVE and delta.stored_bytes != size:
            yield f"stored_bytes of {delta.delta_id}: {delta.stored_bytes} instead of {size}"
