"""Any sequence of what writers, owners, workers and sudden deaths do keeps every promise about deltas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from image_gateway.domain.callers import Caller
from image_gateway.domain.deltas import Commit, DeltaState
from image_gateway.errors import Fenced, IdempotencyKeyReused, NotFound, PreconditionFailed
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.services.deltas import commits
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.deltas.reachability import ObjectName
from image_gateway.services.leases import LeaseRequest
from tests.support.databases import Databases
from tests.support.delta_equation import check_equation, sweep_later
from tests.support.delta_ground import POINTS, DatedStore, Killed, dying, make_ground
from tests.support.delta_model import Model, Pieces, extents_of, pieces, request_of
from tests.support.delta_writing import OWNER
from tests.support.depth import depths
from tests.support.records import NOW

# 20 blocks of 1,024 bytes and a part of one more.
BASE = bytes(range(256)) * 80 + b"the rest"
# So that few steps make several checkpoints.
COMMITS_PER_CHECKPOINT = 3
points, passes = st.sampled_from(POINTS), st.integers(0, 1)


class DeltaMachine(RuleBasedStateMachine):
    """One user and one image; a death ends the gateway, and a fresh one goes on."""

    databases: Databases
    deltas = Bundle("deltas")

    def __init__(self) -> None:
        super().__init__()
        self.url = self.databases.make_migrated()
        self.now = NOW.timestamp()
        self.store = DatedStore(lambda: self.now)
        self.ground = make_ground(self.url, self.store, BASE, lambda: self.now)
        self.services = self.ground.services()
        self.keys = count()
        self.models: dict[str, Model] = {}
        self.lost: dict[str, set[str]] = {}  # By delta: objects that no row names.

    def teardown(self) -> None:
        self.restart()
        for _ in range(2):
            # The second sweep finds what ended in the first an hour ago.
            self.wait(7200)
            self.sweep()
        self.ground.engine.dispose()
        self.databases.drop(self.url)

    @rule(target=deltas, block_size=st.sampled_from([512, 1024, 4096]))
    def create(self, block_size: int) -> Model:
        delta = self.services.deltas.create(
            self.ground.image.image_id, OWNER, block_size=block_size, name="disk"
        )
        return self.add(Model(delta.delta_id, block_size, is_fork=False, history={0: BASE}))

    @rule(target=deltas, model=deltas, which=st.integers(0, 99), point=st.none() | points)
    def fork(self, model: Model, which: int, point: str | None) -> Any:
        if model.is_deleted:
            return multiple()
        at = self.kept(model, which)
        with self.perhaps_dying(point):
            self.services.deltas.fork(model.delta_id, OWNER, generation=at, name="fork")
        listed = self.ground.catalog.deltas.list("alice", limit=999)
        new = [delta for delta in listed if delta.delta_id not in self.models]
        assert len(new) == (point in (None, "before the answer"))
        if not new:
            return multiple()
        fork = Model(new[0].delta_id, model.block_size, is_fork=True, history={0: model.history[at]})
        return self.add(fork)

    @rule(model=deltas)
    def open_session(self, model: Model) -> None:
        if model.is_deleted:
            with pytest.raises(NotFound):
                self.services.deltas.open_session(model.delta_id, OWNER, LeaseRequest(WRITING))
            return
        session = self.services.deltas.open_session(model.delta_id.upper(), OWNER, LeaseRequest(WRITING))
        assert session.delta.generation == model.generation
        if model.writer is not None:
            model.fenced.append(model.writer)
        model.epoch += 1
        model.writer = Caller(lease=session.issued.lease)

    @rule(model=deltas, what=pieces, point=st.none() | points, after=passes, again=st.booleans())
    def commit(self, model: Model, what: Pieces, point: str | None, after: int, again: bool) -> None:
        """Commit, perhaps die while that runs, and ask again with the same key or as a new writer."""
        if model.is_deleted:
            return
        if model.writer is None:
            self.open_session(model)
        extents = extents_of(len(BASE), model.block_size, what)
        request = request_of(model.block_size, model.generation, extents, f"key {next(self.keys)}")
        with self.perhaps_dying(point, after) as died:
            model.committed(request, extents, self.send(model, request))
        if not died:
            return
        generation = model.row(self.ground).generation
        assert generation == model.generation or (point, generation) == (POINTS[2], model.generation + 1)
        if again:
            model.committed(request, extents, self.send(model, request))
            return
        if generation > model.generation:
            made = self.ground.catalog.deltas.find_commit(model.delta_id, request.idempotency_key)
            assert made is not None
            model.committed(request, extents, made)
        self.open_session(model)

    @rule(model=deltas, which=st.integers(0, 99), other=st.booleans())
    def repeat(self, model: Model, which: int, other: bool) -> None:
        """Repeat a commit: its key gives the same answer, to fenced sessions as well, or refuses others."""
        if model.is_deleted or not model.commits:
            return
        request, generation = model.commits[which % len(model.commits)]
        writers = [*model.fenced, *([model.writer] if model.writer else [])]
        writer = writers[which % len(writers)]
        if self.ground.catalog.deltas.find_commit(model.delta_id, request.idempotency_key) is None:
            # Forgotten after a day, and not made again.
            with pytest.raises((Fenced, PreconditionFailed)):
                self.send(model, request, writer)
            return
        if not other:
            assert self.send(model, request, writer).generation == generation
            return
        changed = request_of(model.block_size, model.generation, [Extent(0, 1)], request.idempotency_key)
        if changed.sha256 != request.sha256:
            with pytest.raises(IdempotencyKeyReused):
                self.send(model, changed, writer)

    @rule(model=deltas, which=st.integers(0, 99), distance=st.sampled_from([-1, 0, 1]))
    def write_wrongly(self, model: Model, which: int, distance: int) -> None:
        """A fenced session, or one that has another generation, is told."""
        if model.is_deleted or model.writer is None:
            return
        request = request_of(
            model.block_size, model.generation + distance, [Extent(0, 1)], f"key {next(self.keys)}"
        )
        if model.fenced:
            with pytest.raises(Fenced):
                self.send(model, request, model.fenced[which % len(model.fenced)])
        if distance:
            with pytest.raises(PreconditionFailed):
                self.send(model, request)

    @rule(model=deltas, which=st.integers(0, 99), point=st.none() | points)
    def snapshot(self, model: Model, which: int, point: str | None) -> None:
        if model.is_deleted:
            return
        at = self.kept(model, which)
        with self.perhaps_dying(point):
            self.services.history.snapshot(model.delta_id, OWNER, "kept", at)
        found = self.ground.catalog.delta_objects.snapshots(model.delta_id)
        new = {item.snapshot_id: item.generation for item in found if item.snapshot_id not in model.snapshots}
        assert list(new.values()) == ([at] if point in (None, "before the answer") else [])
        model.snapshots |= new

    @rule(model=deltas, which=st.integers(0, 99))
    def delete_snapshot(self, model: Model, which: int) -> None:
        if model.is_deleted or not model.snapshots:
            return
        snapshot_id = list(model.snapshots)[which % len(model.snapshots)]
        self.services.history.delete_snapshot(model.delta_id, OWNER, snapshot_id.upper())
        del model.snapshots[snapshot_id]

    @rule(model=deltas, which=st.integers(0, 99), point=st.none() | points)
    def reset(self, model: Model, which: int, point: str | None) -> None:
        if model.is_deleted:
            return
        at = self.kept(model, which)
        with self.perhaps_dying(point):
            self.services.history.reset(model.delta_id, OWNER, at)
        if point not in (None, "before the answer"):
            return
        model.history[model.generation + 1] = model.history[at]
        model.generation += 1
        model.epoch += 1
        if model.writer is not None:
            model.fenced.append(model.writer)
            model.writer = None

    @rule(model=deltas)
    def delete(self, model: Model) -> None:
        self.services.deltas.delete(model.delta_id, OWNER, generation=None)
        model.is_deleted = True

    @rule(model=deltas, point=st.none() | points, after=passes)
    def compact(self, model: Model, point: str | None, after: int) -> None:
        """Rewrite what is little used; contents, generations and snapshots stay."""
        if model.is_deleted:
            return
        image, compaction = self.ground.image, self.services.compaction
        plan, _ = compaction.plan(model.row(self.ground), image)
        names = {ObjectName(victim.segment.delta_id, victim.segment.name) for victim in plan}
        with self.perhaps_dying(point, after):
            compaction.run(model.delta_id, image, names, lambda _: None, lambda: None)

    @rule(seconds=st.sampled_from([60, 1800, 3700, 90_000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        """Nothing but what is needed, or was until less than an hour ago, is left."""
        ground, now = self.ground, datetime.fromtimestamp(self.now, UTC)
        ground.catalog.delta_objects.forget_commits(now - timedelta(days=1), limit=1000)
        assert sweep_later(ground.catalog, self.store, ground.clock).left_for_later == 0
        assert list(check_equation(ground.catalog, self.store, ground.image, now)) == []

    @rule()
    def restart(self) -> None:
        """A gateway that remembers nothing finds everything."""
        self.services = self.ground.services()
        for model in self.models.values():
            if not model.is_deleted:
                model.check_all(self.ground, self.services)

    @invariant()
    def all_is_as_it_was_written(self) -> None:
        for model in self.models.values():
            if not model.is_deleted:
                model.check_newest(self.ground, self.services)

    @invariant()
    def bytes_are_counted(self) -> None:
        total = len(BASE)
        for model in self.models.values():
            row = model.row(self.ground)
            if row.state is DeltaState.ACTIVE:
                objects, lost = self.ground.objects(model.delta_id), self.lost.get(model.delta_id, set())
                assert row.stored_bytes == sum(size for name, size in objects.items() if name not in lost)
            # What forks may need of a deleted delta is still counted.
            total += row.stored_bytes
        assert self.ground.catalog.usage("alice").bytes == total

    def add(self, model: Model) -> Model:
        self.models[model.delta_id] = model
        return model

    def kept(self, model: Model, which: int) -> int:
        kept = sorted(model.kept(self.ground))
        return kept[which % len(kept)]

    def send(self, model: Model, request: CommitRequest, writer: Caller | None = None) -> Commit:
        return self.services.commits.commit(model.delta_id, writer or model.writer or OWNER, request)

    @contextmanager
    def perhaps_dying(self, point: str | None, after: int = 0) -> Iterator[list[str]]:
        """Let the gateway die at a point, and start a fresh one; what it left is lost if no row names it."""
        died: list[str] = []
        before = self.ground.keys()
        try:
            with dying(self.ground.catalog, self.store, point or "", after=after):
                yield died
        except Killed:
            died.append(point or "")
            for delta_id, name in self.ground.keys() - before:
                if name not in self.ground.named(delta_id):
                    self.lost.setdefault(delta_id, set()).add(name)
            self.services = self.ground.services()


@pytest.mark.parametrize("examples", depths(12, 50))
def test_any_sequence_keeps_every_promise(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    monkeypatch.setattr(commits, "COMMITS_PER_CHECKPOINT", COMMITS_PER_CHECKPOINT)
    machine: Any = type("Machine", (DeltaMachine,), {"databases": databases})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
