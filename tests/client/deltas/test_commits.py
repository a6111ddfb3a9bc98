"""Commits under faults: each is applied once, none is forgotten, and a fenced writer stops."""

from __future__ import annotations

import pytest

from image_gateway.client.deltas.disk import DeltaDisk
from image_gateway.client.deltas.session import Fenced
from image_gateway.client.errors import ApiError, PatienceOver
from tests.client.deltas.conftest import DATA, Open
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.fake import RESET, Fault

BUSY = Fault(503, {"Retry-After": "2"})


def newest(delta: FakeDelta) -> bytes:
    return delta.contents[delta.generation]


@pytest.mark.parametrize("faults", [[Fault(RESET)], [BUSY, Fault(500)], [BUSY, Fault(RESET), BUSY]])
@pytest.mark.parametrize("route", ["commit", "commit.lost"])
def test_a_commit_is_applied_once(
    disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas, route: str, faults: list[Fault]
) -> None:
    fake.fail(route, *faults)
    disk.write(0, b"once")
    disk.flush()
    assert (delta.generation, disk.generation, len(set(fake.keys))) == (1, 1, 1)
    assert newest(delta) == b"once" + DATA[4:]


def test_every_commit_has_a_key_of_its_own(disk: DeltaDisk, fake: FakeDeltas) -> None:
    for text in (b"1", b"1", b"2"):
        disk.write(0, text)
        disk.flush()
    assert len(set(fake.keys)) == 3


@pytest.mark.parametrize("route", ["commit", "commit.lost"])
def test_when_the_time_is_over_the_same_commit_is_kept_for_the_next_flush(
    open_disk: Open, delta: FakeDelta, fake: FakeDeltas, route: str
) -> None:
    disk = open_disk(delta, patience=0)
    fake.fail(route, *[BUSY] * 3)
    disk.write(0, b"kept")
    for _ in range(3):
        with pytest.raises(PatienceOver, match="given up after 0 s"):
            disk.flush()
        assert disk.unsafe_bytes == 4096
    disk.write(4, b" and")
    disk.write(4096, b"more")
    assert disk.read(0, 8) == b"kept and"
    disk.flush()
    assert newest(delta) == b"kept and" + DATA[8:4096] + b"more" + DATA[4100:]
    assert (delta.generation, len(set(fake.keys)), disk.unsafe_bytes) == (2, 2, 0)


def test_a_full_memory_takes_no_more_while_the_gateway_is_away(
    open_disk: Open, delta: FakeDelta, fake: FakeDeltas
) -> None:
    disk = open_disk(delta, patience=0, dirty_limit=65_536)
    disk.write(0, b"a" * 65_536)
    fake.fail("commit", *[BUSY] * 8)
    with pytest.raises(PatienceOver):
        disk.write(65_536, b"b" * 65_536)
    assert disk.unsafe_bytes == 65_536
    # Beside what is being committed there is room once more.
    disk.write(65_536, b"c" * 65_536)
    for _ in range(2):
        with pytest.raises(PatienceOver):
            disk.write(131_072, b"d" * 4096)
    assert disk.unsafe_bytes == 2 * 65_536
    with pytest.raises(PatienceOver):
        disk.close()
    fake.forgive("commit")
    disk.close()
    assert newest(delta) == b"a" * 65_536 + b"c" * 65_536 + DATA[131_072:]


def test_a_rejected_commit_is_told_and_kept(disk: DeltaDisk, fake: FakeDeltas, delta: FakeDelta) -> None:
    body = b'{"error": {"code": "QUOTA_EXCEEDED", "message": "deltas may hold 1 GiB"}}'
    fake.fail("commit", Fault(403, body=body))
    disk.write(0, b"x")
    with pytest.raises(ApiError, match="deltas may hold 1 GiB") as raised:
        disk.flush()
    assert raised.value.code == "QUOTA_EXCEEDED"
    assert disk.unsafe_bytes == 4096
    disk.flush()
    assert newest(delta)[:1] == b"x"


def test_a_read_settles_a_commit_whose_answer_was_lost(
    open_disk: Open, delta: FakeDelta, fake: FakeDeltas
) -> None:
    disk = open_disk(delta, patience=0)
    disk.write(0, b"x" * 4096)
    fake.fail("commit.lost", Fault(RESET))
    with pytest.raises(PatienceOver):
        disk.flush()
    assert (disk.generation, delta.generation) == (0, 1)
    assert disk.read(0, 8192) == b"x" * 4096 + DATA[4096:8192]
    assert (disk.generation, disk.unsafe_bytes) == (1, 0)


def assert_fenced_for_good(disk: DeltaDisk, delta: FakeDelta) -> None:
    before = dict(delta.contents)
    for act in (disk.flush, lambda: disk.write(0, b"y"), lambda: disk.zero(0, 1), lambda: disk.read(0, 1)):
        with pytest.raises(Fenced, match="this writer must stop"):
            act()
    assert delta.contents == before


def test_a_newer_session_fences(disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas) -> None:
    disk.write(0, b"x")
    fake.before_commit = lambda: fake.steal(delta)
    with pytest.raises(Fenced, match="has a newer session") as raised:
        disk.flush()
    assert (raised.value.code, raised.value.retryable) == ("FENCED", False)
    assert_fenced_for_good(disk, delta)
    assert disk.unsafe_bytes == 4096
    with pytest.raises(Fenced):
        disk.close()


def test_a_second_writer_fences_the_first(open_disk: Open, delta: FakeDelta) -> None:
    first = open_disk(delta)
    first.write(0, b"first")
    second = open_disk(delta)
    second.write(0, b"second")
    second.flush()
    with pytest.raises(Fenced):
        first.flush()
    assert_fenced_for_good(first, delta)
    assert newest(delta)[:6] == b"second"


def test_a_commit_that_was_applied_before_the_fence_counts(
    disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas
) -> None:
    disk.write(0, b"applied")
    fake.fail("commit.lost", Fault(RESET))
    fake.before_commit = lambda: len(fake.keys) == 2 and fake.steal(delta)
    disk.flush()
    assert newest(delta)[:7] == b"applied"
    disk.write(0, b"lost")
    with pytest.raises(Fenced):
        disk.flush()


def test_another_generation_fences(disk: DeltaDisk, delta: FakeDelta) -> None:
    delta.append(b"z" * len(DATA))
    disk.write(0, b"x" * 4096)
    with pytest.raises(Fenced, match="no longer at generation 0"):
        disk.flush()
    assert_fenced_for_good(disk, delta)


def test_bytes_of_another_generation_are_never_mixed_in(disk: DeltaDisk, delta: FakeDelta) -> None:
    assert disk.read(0, 10) == DATA[:10]
    delta.append(b"z" * len(DATA))
    with pytest.raises(Fenced, match="changed by somebody else"):
        disk.read(100_000, 10)
    assert_fenced_for_good(disk, delta)
