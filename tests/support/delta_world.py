"""Services of deltas over a world's store and catalog, and an image to write over."""

from __future__ import annotations

import time
from dataclasses import dataclass

from image_gateway.domain.images import Quota
from image_gateway.identity.lease_tokens import LeaseKey, LeaseTokens
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.delta_services import DeltaServices, make_delta_services
from image_gateway.services.leases import LeaseRules, Leases
from image_gateway.services.reading.access import Access
from tests.support.delta_writing import OWNER, Guest
from tests.support.world import World


@dataclass(frozen=True)
class DeltaWorld:
    """The services of deltas, and an image of 300 blocks of 512 bytes and a part of one more."""

    world: World
    services: DeltaServices
    image_id: str
    base: bytes

    def guest(self, block_size: int = 512) -> Guest:
        """Return a writer of a new delta."""
        delta = self.services.deltas.create(self.image_id, OWNER, block_size=block_size, name="disk")
        return Guest(self.world, self.services, delta.delta_id, self.base)


def make_services(world: World, quota: Quota | None = None) -> DeltaServices:
    """Return services of deltas as the gateway has them."""
    access = Access(world.catalog, world.catalog.shares, hide_foreign=True, remember=0, clock=time.time)
    trail = AuditTrail(world.catalog.audit_entries, time.time)
    tokens = LeaseTokens([LeaseKey("k", "s" * 64)])
    rules = LeaseRules(ttl=600, max_ttl=3600, session=36_000, grace=60)
    leases = Leases(world.catalog.leases, access, tokens, rules, trail, time.time)
    return make_delta_services(
        world.catalog, world.store, access, leases, trail, quota or Quota(), time.time, hide_foreign=True
    )
