"""Where readers are in a boot trace."""

from __future__ import annotations

from dataclasses import dataclass

from image_gateway.protocol.boot_trace import BlockOrder

# A reader may skip so many blocks of the trace: it has them in a cache of its own, another worker process
# answers them, or this boot is a little different.
MAX_SKIPPED = 32
# Positions of one trace that are remembered: of several boots at once, and of reads outside the order.
MAX_FOLLOWERS = 32
# How many reads in the order of the trace make a reader one that follows it.
ENOUGH_READS = 2


@dataclass
class Follower:
    """A place in a trace up to which there were reads; `queued` is the last position to be filled."""

    position: int
    queued: int = -1
    reads: int = 1


class FollowedTrace:
    """A trace and the followers that it has in this process. Not thread-safe.

    Reads are told apart by their positions alone: one boot may use several connections and leases.
    """

    def __init__(self, order: BlockOrder) -> None:
        self.order = order
        self.filled: set[int] = set()
        # The most recently moved one is the last.
        self._followers: list[Follower] = []

    def use(self, block: int) -> bool:
        """Return whether a block was filled ahead and is now read for the first time."""
        if block not in self.filled:
            return False
        self.filled.remove(block)
        return True

    def advance(self, block: int) -> Follower | None:
        """Move a follower to a block that was read. Return it if it follows the trace and has moved."""
        position = self.order.position_of(block)
        if position is None:
            return None
        follower = self._find_near(position)
        if follower is None:
            self._followers = [*self._followers[-MAX_FOLLOWERS + 1 :], Follower(position)]
            return None
        if position <= follower.position:
            # Of one that follows, this is a read that another one overtook, or a boot that begins again.
            if follower.reads < ENOUGH_READS:
                follower.position = position
            return None
        self._followers.remove(follower)
        self._followers.append(follower)
        follower.position = position
        follower.reads += 1
        return follower if follower.reads >= ENOUGH_READS else None

    def positions_ahead(self, follower: Follower, most: int) -> range:
        """Return the positions to fill: those up to `most` ahead of the follower, without the queued ones."""
        begin = max(follower.position, follower.queued) + 1
        return range(begin, min(len(self.order), follower.position + most + 1))

    def _find_near(self, position: int) -> Follower | None:
        """Return the nearest follower; one a little further on saw reads that overtook this one."""
        near = [each for each in self._followers if abs(each.position - position) <= MAX_SKIPPED]
        return min(near, key=lambda each: abs(each.position - position), default=None)
