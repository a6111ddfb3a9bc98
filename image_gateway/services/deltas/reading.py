"""Finds the disks of deltas for readers: base and delta, at one generation."""

from __future__ import annotations

from image_gateway.domain.callers import Caller
from image_gateway.domain.deltas import Delta
from image_gateway.domain.images import DiskFacts, ImageRecord
from image_gateway.domain.permissions import DeltaAction
from image_gateway.errors import Forbidden
from image_gateway.protocol.deltas.delta_map import DeltaMap
from image_gateway.services.deltas.delta_access import DeltaAccess, FoundDelta
from image_gateway.services.deltas.maps import DeltaMaps
from image_gateway.services.reading.reader import represent_disk
from image_gateway.services.reading.representations import OCTETS, Overlay, Representation


class DeltaReads:
    """Finds what a reader of a delta gets."""

    def __init__(self, access: DeltaAccess, maps: DeltaMaps) -> None:
        self._access = access
        self._maps = maps

    def find(
        self, delta_id: str, caller: Caller, generation: int | None
    ) -> tuple[FoundDelta, Representation]:
        """Return a delta and its disk: at a generation, that of the caller's lease, or the newest.

        Raises:
            NotFound: There is no such delta, or the generation is no longer kept.
            Unauthenticated, Forbidden: The caller may not read it, or the lease is for another generation.
            StoreError, StoreUnavailable: The map cannot be read.
        """
        found = self._access.find(delta_id, caller, DeltaAction.READ)
        fixed = _fixed_generation(found, generation)
        at = found.delta.generation if fixed is None else fixed
        contents = self._maps.at(found.delta, found.record, at)
        target = represent_delta(
            found.record, found.disk, found.delta.delta_id, contents, is_fixed=fixed is not None
        )
        return found, target

    def image_of(self, delta_id: str) -> str | None:
        """Return the id of the image below a delta, also of a deleted one; None if there was none."""
        delta = self._access.look_up(delta_id)
        return delta.image_id if delta is not None else None

    def may_still_read(self, delta: Delta, record: ImageRecord, caller: Caller) -> bool:
        """Return whether a body that the caller began to read may be continued; asks the catalog."""
        return self._access.may_still_read(delta, record, caller)


def _fixed_generation(found: FoundDelta, wanted: int | None) -> int | None:
    """Return the generation that a request or its lease names. A writer's session may read any."""
    leased = found.leased
    if leased is None or leased.epoch is not None:
        return wanted
    if wanted not in (None, leased.generation):
        raise Forbidden("the lease is for another generation of the delta")
    return leased.generation


def represent_delta(
    record: ImageRecord, disk: DiskFacts, delta_id: str, contents: DeltaMap, *, is_fixed: bool
) -> Representation:
    """Return the disk of a complete image with a delta over it, at the generation of its map.

    It has no date: there may be several generations within a second (RFC 9110 §8.8.2.1).
    """
    base = represent_disk(record, disk)
    version = f"{record.version}.{delta_id}.{contents.generation}"
    return Representation(
        image_id=base.image_id,
        key=base.key,
        size=base.size,
        etag=f'"{version}"',
        last_modified=None,
        cache_control=base.cache_control,
        content_type=OCTETS,
        pin=base.pin,
        disk_version=version,
        overlay=Overlay(base, contents, record.location),
        is_fixed=is_fixed,
    )
