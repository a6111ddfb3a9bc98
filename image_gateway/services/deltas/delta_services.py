"""The services of deltas, wired together for the gateway, the worker and the sweeper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import Quota
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.checkpoints import Checkpoints
from image_gateway.services.deltas.commits import Commits
from image_gateway.services.deltas.compaction import Compaction
from image_gateway.services.deltas.delta_access import DeltaAccess
from image_gateway.services.deltas.deltas import Deltas
from image_gateway.services.deltas.history import DeltaHistory
from image_gateway.services.deltas.maps import DeltaMaps
from image_gateway.services.leases import Leases
from image_gateway.services.reading.access import Access
from image_gateway.storage.objects import ObjectStore


@dataclass(frozen=True)
class DeltaServices:
    """All services of deltas, which share their maps."""

    access: DeltaAccess
    maps: DeltaMaps
    deltas: Deltas
    commits: Commits
    history: DeltaHistory
    compaction: Compaction


def make_delta_services(
    catalog: Catalog,
    store: ObjectStore,
    images: Access,
    leases: Leases,
    trail: AuditTrail,
    quota: Quota,
    clock: Callable[[], float],
    *,
    hide_foreign: bool,
) -> DeltaServices:
    """Return the services of deltas over one catalog and store."""
    access = DeltaAccess(catalog, images, hide_foreign=hide_foreign)
    maps = DeltaMaps(catalog, store)
    checkpoints = Checkpoints(catalog, store, maps, clock)
    return DeltaServices(
        access,
        maps,
        Deltas(catalog, images, access, maps, checkpoints, leases, quota, trail, clock),
        Commits(catalog, store, access, maps, checkpoints, quota, clock),
        DeltaHistory(catalog, access, maps, checkpoints, quota, trail, clock),
        Compaction(catalog, store, maps, checkpoints),
    )
