"""Tests of sweeps in whose midst others fork, delete, and sweep."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from image_gateway.services.deltas.reachability import Reachability
from image_gateway.services.sweep_report import SweepReport
from tests.support.delta_equation import HOUR, sweep_later
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import OWNER, Guest, read_disk

BLOCK = 512
STEPS = ["list", "deltas", "roots", "retired", "checkpoints", "delete"]


def clock() -> float:
    """Long after everything was retired."""
    return time.time() + 3 * HOUR


def sweep(delta_world: DeltaWorld) -> SweepReport:
    return sweep_later(delta_world.world.catalog, delta_world.world.store, clock)


def prepare(delta_world: DeltaWorld) -> tuple[Guest, str, bytes]:
    """Make a snapshot that alone needs some objects, which were retired long ago."""
    guest, services = delta_world.guest(), delta_world.services
    guest.write(7, b"k" * BLOCK)
    kept = services.history.snapshot(guest.delta_id, OWNER, "kept", None)
    disk = bytes(guest.disk)
    guest.write(7, b"n" * BLOCK)
    record = delta_world.world.catalog.find(delta_world.image_id)
    assert record is not None
    services.commits._checkpoints.renew(guest.row, record)
    return guest, kept.snapshot_id, disk


def before_step(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], None]
) -> list[str]:
    """Let something happen once, just before a step of the sweep; return a list that then has the step."""
    world, done = delta_world.world, list[str]()
    owner, name = {
        "list": (world.store, "list_objects"),
        "deltas": (world.catalog.delta_objects, "deltas_of"),
        "roots": (Reachability, "roots"),
        "retired": (world.catalog.delta_objects, "retired_objects"),
        "checkpoints": (Reachability, "needed"),
        "delete": (world.store, "delete_many"),
    }[step]
    original = getattr(owner, name)

    def act_first(*arguments: object, **named: object) -> object:
        if not done:
            done.append(step)
            act()
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, act_first)
    return done


@pytest.mark.parametrize("step", STEPS[:-1])
def test_a_fork_of_a_snapshot_that_goes_meanwhile(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    guest, snapshot_id, disk = prepare(delta_world)
    later, forks = make_services(delta_world.world, clock=clock), list[str]()

    def fork_and_delete() -> None:
        fork = later.deltas.fork(guest.delta_id, OWNER, generation=1, name="fork")
        forks.append(fork.delta_id)
        later.history.delete_snapshot(guest.delta_id, OWNER, snapshot_id)

    done = before_step(delta_world, monkeypatch, step, fork_and_delete)
    sweep(delta_world)
    assert done
    fresh = make_services(delta_world.world)
    assert read_disk(delta_world.world, fresh, forks[0], delta_world.base) == disk
    assert read_disk(delta_world.world, fresh, guest.delta_id, delta_world.base) == guest.disk


@pytest.mark.parametrize("step", STEPS[:-1])
def test_a_reset_to_a_snapshot_that_goes_meanwhile(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    guest, snapshot_id, disk = prepare(delta_world)
    later = make_services(delta_world.world, clock=clock)

    def reset_and_delete() -> None:
        later.history.reset(guest.delta_id, OWNER, 1)
        later.history.delete_snapshot(guest.delta_id, OWNER, snapshot_id)

    before_step(delta_world, monkeypatch, step, reset_and_delete)
    sweep(delta_world)
    fresh = make_services(delta_world.world)
    assert read_disk(delta_world.world, fresh, guest.delta_id, delta_world.base) == disk


@pytest.mark.parametrize("step", STEPS)
def test_two_sweepers_subtract_once(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    guest, snapshot_id, _ = prepare(delta_world)
    delta_world.services.history.delete_snapshot(guest.delta_id, OWNER, snapshot_id)
    before_step(delta_world, monkeypatch, step, lambda: sweep_again(delta_world))
    assert sweep(delta_world).left_for_later == 0
    fresh = make_services(delta_world.world)
    assert read_disk(delta_world.world, fresh, guest.delta_id, delta_world.base) == guest.disk


def sweep_again(delta_world: DeltaWorld) -> None:
    assert sweep(delta_world).left_for_later == 0


@pytest.mark.parametrize("step", STEPS[:-1])
def test_a_delta_that_is_deleted_meanwhile_and_its_fork(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    guest, _, disk = prepare(delta_world)
    later, forks = make_services(delta_world.world, clock=clock), list[str]()

    def fork_and_delete() -> None:
        fork = later.deltas.fork(guest.delta_id, OWNER, generation=1, name="fork")
        forks.append(fork.delta_id)
        later.deltas.delete(guest.delta_id, OWNER, generation=None)

    before_step(delta_world, monkeypatch, step, fork_and_delete)
    sweep(delta_world)
    fresh = make_services(delta_world.world)
    assert read_disk(delta_world.world, fresh, forks[0], delta_world.base) == disk
