"""Who follows a trace, and what to fill for them."""

from __future__ import annotations

import pytest

from image_gateway.protocol.boot_trace import BlockOrder
from image_gateway.services.reading.trace_position import MAX_FOLLOWERS, MAX_SKIPPED, FollowedTrace

# Position n is block 1000 - n.
LENGTH = 500
ORDER = BlockOrder([1000 - position for position in range(LENGTH)])


@pytest.fixture
def trace() -> FollowedTrace:
    return FollowedTrace(ORDER)


def read(trace: FollowedTrace, *positions: int) -> list[bool]:
    """Whether the reader of each position is one that follows."""
    return [trace.advance(1000 - position) is not None for position in positions]


def test_two_reads_in_order_follow(trace: FollowedTrace) -> None:
    assert read(trace, 3, 4, 5, 9) == [False, True, True, True]


def test_the_same_block_again_is_no_step(trace: FollowedTrace) -> None:
    assert read(trace, 3, 3, 3, 4, 4, 5) == [False, False, False, True, False, True]


def test_blocks_outside_of_the_trace_do_not_matter(trace: FollowedTrace) -> None:
    assert trace.advance(7) is None
    assert trace.advance(1000) is None
    assert trace.advance(8) is None
    assert trace.advance(999) is not None


def test_reads_that_overtake_each_other_are_one_reader(trace: FollowedTrace) -> None:
    assert read(trace, 0, 2, 1, 4, 3, 5) == [False, True, False, True, False, True]


def test_a_reader_that_begins_again_follows(trace: FollowedTrace) -> None:
    assert read(trace, 5, 0, 1, 2) == [False, False, True, True]
    # What lies behind the follower was filled for it.
    assert read(trace, 0, 1, 2, 3) == [False, False, False, True]


@pytest.mark.parametrize("step", [MAX_SKIPPED + 1, -MAX_SKIPPED - 1, -1])
def test_far_or_backward_reads_do_not_follow(trace: FollowedTrace, step: int) -> None:
    assert not any(read(trace, *range(LENGTH)[::step]))


def test_several_boots_are_followed_at_once(trace: FollowedTrace) -> None:
    read(trace, 0, 100, 200)
    for step in range(1, 20):
        assert read(trace, step, 100 + step, 200 + step) == [True, True, True]


def test_the_oldest_of_many_is_given_up(trace: FollowedTrace) -> None:
    wide = BlockOrder(range(10_000))
    many = FollowedTrace(wide)
    many.advance(0)
    for number in range(1, MAX_FOLLOWERS):
        many.advance(100 * number)
    assert many.advance(1) is not None
    many.advance(9_000)
    # The one at 100 had to go, the one at 1 has just moved.
    assert many.advance(101) is None
    assert many.advance(2) is not None


def test_positions_ahead_are_queued_once(trace: FollowedTrace) -> None:
    trace.advance(1000)
    follower = trace.advance(999)
    assert follower is not None
    assert trace.positions_ahead(follower, 4) == range(2, 6)
    follower.queued = 3
    assert trace.positions_ahead(follower, 4) == range(4, 6)
    follower.position = 10
    assert trace.positions_ahead(follower, 4) == range(11, 15)
    follower.position = LENGTH - 2
    assert trace.positions_ahead(follower, 4) == range(LENGTH - 1, LENGTH)
    follower.position = LENGTH - 1
    assert len(trace.positions_ahead(follower, 4)) == 0


def test_a_block_is_used_once(trace: FollowedTrace) -> None:
    trace.filled.add(7)
    assert [trace.use(7), trace.use(7), trace.use(8)] == [True, False, False]
