"""Which segments of a delta are worth rewriting."""

from __future__ import annotations

from dataclasses import dataclass

from image_gateway.protocol.deltas.delta_map import DeltaMap, SegmentRef

# A segment of whose data less is live is rewritten: what remains of it is written once more.
LIVE_SHARE = 0.4
# Rewriting must free so many bytes, and half of what is live: a checkpoint has to be written for it.
MIN_FREED = 1024 * 1024


@dataclass(frozen=True)
class Victim:
    """A segment to rewrite, by its number in the map, and the bytes of its data that are live."""

    number: int
    segment: SegmentRef
    live_bytes: int

    @property
    def freed_bytes(self) -> int:
        return self.segment.size - self.live_bytes


def find_victims(merged: DeltaMap) -> list[Victim]:
    """Return the segments of a merged map of which less than LIVE_SHARE is live, the least first."""
    found = []
    for number, blocks in merged.live_blocks().items():
        segment, live = merged.segments[number], blocks * merged.block_size
        if 0 < live < LIVE_SHARE * (segment.size - segment.data_start):
            found.append(Victim(number, segment, live))
    return sorted(found, key=lambda victim: (victim.live_bytes, victim.number))


def is_worthwhile(victims: list[Victim], live_bytes: int) -> bool:
    """Return whether rewriting these segments of a delta with so many live bytes frees enough."""
    freed = sum(victim.freed_bytes for victim in victims)
    return freed >= max(MIN_FREED, live_bytes // 2)
