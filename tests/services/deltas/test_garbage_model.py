"""Any sequence of writes, deaths, compactions and sweeps loses nothing, and leaves no garbage for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from image_gateway.domain.clock import now_of
from image_gateway.domain.jobs import JobKind, JobState, new_job
from image_gateway.protocol.deltas import compaction_plan
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas import commits
from image_gateway.services.deltas.equation import check_equation
from image_gateway.services.deltas.garbage import DeltaGarbage
from image_gateway.services.jobs.compacting import Compacting
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.sweep_report import SweepReport
from tests.services.deltas.test_delta_model import COMMITS_PER_CHECKPOINT, DeltaMachine
from tests.support.databases import Databases
from tests.support.delta_equation import HOUR
from tests.support.depth import depths


class GarbageMachine(DeltaMachine):
    """The same, with a worker and a sweeper."""

    @rule()
    def compact(self) -> None:
        jobs, image_id = self.ground.catalog.jobs, self.ground.image.image_id
        job = jobs.add(new_job(image_id, JobKind.COMPACT, now_of(lambda: self.now)))
        compacting = Compacting(self.ground.catalog, self.store, lambda: self.now)  # type: ignore[arg-type]
        Worker(jobs, {JobKind.COMPACT: compacting.run}, lambda: self.now).run_one()
        ended = jobs.find(job.job_id)
        assert ended is not None
        assert ended.state is JobState.DONE

    @rule(hours=st.integers(0, 2))
    def sweep(self, hours: int) -> None:
        self.now += hours * HOUR
        catalog, clock, report = self.ground.catalog, lambda: self.now, SweepReport()
        trail = AuditTrail(catalog.audit_entries, clock)
        DeltaGarbage(catalog, self.store, trail, clock).sweep(  # type: ignore[arg-type]
            report, dry_run=False
        )
        assert report.left_for_later == 0

    @invariant()
    def equation_holds(self) -> None:
        record, now = self.ground.image, now_of(lambda: self.now)
        assert list(check_equation(self.ground.catalog, self.store, record, now)) == []  # type: ignore[arg-type]

    def teardown(self) -> None:
        self.sweep(2)
        self.sweep(2)
        self.equation_holds()
        left = set(self.store.sizes(self.ground.image.location.deltas_prefix))
        active = {model.delta_id for model in self.models.values() if not model.is_deleted}
        if not active:
            assert left == set()
        super().teardown()


@pytest.mark.parametrize("examples", depths(8, 300))
def test_nothing_is_lost_and_nothing_is_left(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    monkeypatch.setattr(commits, "COMMITS_PER_CHECKPOINT", COMMITS_PER_CHECKPOINT)
    monkeypatch.setattr(compaction_plan, "MIN_FREED", 1)
    machine: Any = type("Machine", (GarbageMachine,), {"databases": databases})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
