"""Services of deltas over a world's store and catalog, and an image to write over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from image_gateway.domain.images import Quota
from image_gateway.services.deltas.delta_services import DeltaServices
from tests.support.delta_ground import make_gateway
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


def make_services(
    world: World, quota: Quota | None = None, clock: Callable[[], float] = time.time
) -> DeltaServices:
    """Return services of deltas as the gateway has them."""
    return make_gateway(world.catalog, world.store, clock, quota)
