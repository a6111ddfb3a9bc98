"""Runs `compact` jobs: rewrites segments of an image's deltas of which little is live."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import Delta, DeltaState
from image_gateway.domain.images import ImageRecord, ImageState
from image_gateway.errors import GatewayError
from image_gateway.protocol.deltas.compaction_plan import is_worthwhile
from image_gateway.services.deltas.checkpoints import Checkpoints
from image_gateway.services.deltas.compaction import Compaction
from image_gateway.services.deltas.maps import DeltaMaps
from image_gateway.services.deltas.reachability import ObjectName, Reachability, Root
from image_gateway.services.jobs.job_run import ClaimLost, JobRun
from image_gateway.services.purging import Purger, Writer
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Plan:
    """The segments of a delta that are rewritten, and their bytes."""

    delta_id: str
    names: Collection[ObjectName]
    size: int


class Compacting:
    """Compacts the deltas of an image for which that is worthwhile.

    Each round is recorded at once, so that a run that was interrupted leaves less to the next.
    """

    def __init__(self, catalog: Catalog, store: ObjectStore, clock: Callable[[], float]) -> None:
        maps = DeltaMaps(catalog, store)
        self._catalog = catalog
        self._clock = clock
        self._purger = Purger(catalog, store, clock)
        self._reachability = Reachability(catalog, store)
        self._compaction = Compaction(catalog, store, maps, Checkpoints(catalog, store, maps, clock))

    def run(self, run: JobRun) -> bool:
        """Compact, and end the job. Return False when the claim was lost.

        A delta that cannot be read fails the job, after the others were compacted.
        """
        record = self._catalog.find(run.job.image_id)
        if record is None or record.state is not ImageState.COMPLETE:
            raise ClaimLost
        with self._purger.writing(record) as writer:
            if writer is None:
                raise ClaimLost
            rewritten = self._compact(record, run, writer)
        return self._catalog.jobs.finish(run.job, now_of(self._clock), {"rewrittenBytes": rewritten})

    def _compact(self, record: ImageRecord, run: JobRun, writer: Writer) -> int:
        """Return the bytes of segments that were replaced, by earlier runs as well."""
        failures: list[GatewayError] = []
        plans = self._make_plans(record, run, failures)
        done = int(run.checkpoint.get("done", 0))
        run.start(done + sum(plan.size for plan in plans), done)

        def check() -> None:
            if not writer.may_go_on():
                raise ClaimLost
            run.check()

        def on_round(size: int) -> None:
            nonlocal done
            done += size
            run.save(done=done)
            run.advance(size)

        for plan in plans:
            try:
                self._compaction.run(plan.delta_id, record, plan.names, on_round, check)
            except GatewayError as error:
                _log.error("compacting delta %s failed: %s", plan.delta_id, error.message)
                failures.append(error)
        if failures:
            raise failures[0]
        return done

    def _make_plans(self, record: ImageRecord, run: JobRun, failures: list[GatewayError]) -> list[_Plan]:
        deltas = self._catalog.delta_objects.deltas_of(record.image_id)
        roots = self._reachability.roots(deltas, now_of(self._clock))
        plans: list[_Plan] = []
        needed: dict[Root, set[ObjectName]] = {}

        def find_needed(root: Root) -> set[ObjectName]:
            if root not in needed:
                needed[root] = self._reachability.needed(record, root)
            return needed[root]

        for delta in deltas:
            run.check()
            if delta.state is DeltaState.DELETED:
                continue
            try:
                plan = self._plan(delta, record, roots, find_needed)
            except GatewayError as error:
                _log.error("compacting delta %s failed: %s", delta.delta_id, error.message)
                failures.append(error)
            else:
                plans += [plan] if plan is not None else []
        return plans

    def _plan(
        self,
        delta: Delta,
        record: ImageRecord,
        roots: Collection[Root],
        find_needed: Callable[[Root], set[ObjectName]],
    ) -> _Plan | None:
        victims, live_bytes = self._compaction.plan(delta, record)
        if not is_worthwhile(victims, live_bytes):
            return None
        others: set[ObjectName] = set()
        for root in roots:
            if root.delta_id != delta.delta_id or root.snapshot is not None:
                others |= find_needed(root)
        # Rewriting what another root needs as well would free nothing.
        names = {ObjectName(item.segment.delta_id, item.segment.name): item for item in victims}
        free = {name: victim for name, victim in names.items() if name not in others}
        if not is_worthwhile(list(free.values()), live_bytes):
            return None
        return _Plan(delta.delta_id, free.keys(), sum(item.segment.size for item in free.values()))
