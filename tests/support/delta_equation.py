"""Checks after a test that the sweeper leaves exactly the objects of deltas that are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import GARBAGE_AGE, DeltaState
from image_gateway.domain.images import ImageRecord, ImageState
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.garbage import DeltaGarbage
from image_gateway.services.deltas.reachability import ObjectName, Reachability
from image_gateway.services.sweep_report import SweepReport
from image_gateway.storage.objects import ObjectStore

HOUR = 3600


def later() -> float:
    """The time two hours from now: nothing runs any more, and all garbage is old."""
    return time.time() + 2 * HOUR


def much_later() -> float:
    """The time four hours from now: what a sweep of `later` has ended is old as well."""
    return time.time() + 4 * HOUR


def at_last() -> float:
    """The time six hours from now: what a sweep of `much_later` has ended is old as well."""
    return time.time() + 6 * HOUR


def sweep_later(
    catalog: Catalog, store: ObjectStore, clock: Callable[[], float] = later, *, dry_run: bool = False
) -> SweepReport:
    """Sweep the deltas as of two hours from now, or of another time."""
    report = SweepReport()
    trail = AuditTrail(catalog.audit_entries, clock)
    DeltaGarbage(catalog, store, trail, clock).sweep(report, dry_run=dry_run)
    return report


def require_equation(catalog: Catalog, store: ObjectStore) -> None:
    """Fail unless the equation holds, and sweeps hours later leave exactly what is needed."""
    problems = _problems(catalog, store, time.time())
    assert not problems, problems
    for clock in (much_later, at_last):
        report = sweep_later(catalog, store, clock)
        assert report.left_for_later == 0
        problems = _problems(catalog, store, clock())
        assert not problems, problems
    now, reachability = now_of(at_last), Reachability(catalog, store)
    for image_id in catalog.delta_objects.images_with_deltas(after="", limit=1000):
        record = catalog.find(image_id)
        assert record is not None
        if record.state is ImageState.DELETED:
            continue
        roots = reachability.roots(catalog.delta_objects.deltas_of(image_id), now)
        needed = {name for root in roots for name in reachability.needed(record, root)}
        assert {item.name for item in reachability.listed(record)} == needed


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


def _problems(catalog: Catalog, store: ObjectStore, moment: float) -> list[str]:
    found: list[str] = []
    for image_id in catalog.delta_objects.images_with_deltas(after="", limit=1000):
        record = catalog.find(image_id)
        if record is not None and record.state is not ImageState.DELETED:
            found += check_equation(catalog, store, record, now_of(lambda: moment))
    return found
