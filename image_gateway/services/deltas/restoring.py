"""After the catalog was restored from a backup: compares deltas with their objects (ADR 30, ADR 32)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import Delta, DeltaState
from image_gateway.domain.images import ImageRecord, ImageState, Quota
from image_gateway.errors import StoreError
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.checkpoints import Checkpoints, begin_recording
from image_gateway.services.deltas.maps import DeltaMaps
from image_gateway.services.deltas.reachability import ObjectName, Reachability, Root, StoredObject
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
PAGE = 500
# The generation in the name of a segment or of a checkpoint.
_GENERATION = re.compile(r"(?:[0-9a-f]{8,16}-)?([0-9a-f]{12,16})-[0-9a-f]{16}\.(?:seg|map)", re.ASCII)


@dataclass
class DeltaFindings:
    """What was found: ids of deltas.

    `damaged` ones cannot be read, or a snapshot of theirs cannot: objects are missing. `advanced` ones had
    newer generations, which are lost, and got one above these. `unknown` ones have objects and no row.
    """

    damaged: list[str] = field(default_factory=list)
    advanced: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class DeltaRestoring:
    """Run once after a restore, before gateways and workers start. Repeating it is safe."""

    def __init__(self, catalog: Catalog, store: ObjectStore, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._clock = clock
        self._reachability = Reachability(catalog, store)
        self._maps = DeltaMaps(catalog, store)
        self._checkpoints = Checkpoints(catalog, store, self._maps, clock)
        self._trail = AuditTrail(catalog.audit_entries, clock)

    def run(self, *, dry_run: bool) -> DeltaFindings:
        """Compare all deltas with the bucket, and advance those whose newer generations are lost.

        A generation would otherwise get other bytes than it had, under the same ETag.
        """
        found, after = DeltaFindings(), ""
        while page := self._catalog.delta_objects.images_with_deltas(after=after, limit=PAGE):
            for image_id in page:
                record = self._catalog.find(image_id)
                if record is not None and record.state is ImageState.COMPLETE:
                    self._compare(record, found, dry_run)
            after = page[-1]
        return found

    def _compare(self, record: ImageRecord, found: DeltaFindings, dry_run: bool) -> None:
        listed = self._reachability.listed(record)
        names = {item.name for item in listed}
        deltas = {delta.delta_id: delta for delta in self._catalog.delta_objects.deltas_of(record.image_id)}
        found.unknown += sorted({name.delta_id for name in names} - deltas.keys())
        for delta in deltas.values():
            if delta.state is DeltaState.DELETED:
                continue
            roots = self._reachability.roots([delta], now_of(self._clock))
            damaged = [root for root in roots if not self._is_whole(record, root, names)]
            if damaged:
                found.damaged.append(delta.delta_id)
            newest = max(_generations(listed, delta.delta_id), default=0)
            if newest > delta.generation and not any(root.snapshot is None for root in damaged):
                found.advanced.append(delta.delta_id)
                if not dry_run:
                    self._advance(delta, record, newest + 1)

    def _is_whole(self, record: ImageRecord, root: Root, names: set[ObjectName]) -> bool:
        try:
            return self._reachability.needed(record, root) <= names
        except StoreError as error:
            _log.warning("delta %s cannot be read: %s", root.delta_id, error.message)
            return False

    def _advance(self, delta: Delta, record: ImageRecord, generation: int) -> None:
        """Make the contents of the delta a newer generation than any that was lost."""
        until = begin_recording()
        newest = self._maps.newest(delta, record)
        contents = newest.merged().at_generation(generation)
        # Its owner did not ask for it, so no quota counts.
        if self._checkpoints.reset(delta, record, newest, contents, Quota(), until):
            self._trail.note(
                AuditEvent.DELTA_RESET, delta.image_id, delta=delta.delta_id, reason="catalog restored"
            )


def _generations(listed: Sequence[StoredObject], delta_id: str) -> Iterator[int]:
    for item in listed:
        match = _GENERATION.fullmatch(item.name.name) if item.name.delta_id == delta_id else None
        if match is not None:
            yield int(match[1], 16)
