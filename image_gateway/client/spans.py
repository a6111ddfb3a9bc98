"""Sets of byte spans: what of a file is there, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Span = tuple[int, int]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes in the fewest (start, stop), in order."""
    result: list[Span] = []
    for start, stop in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


def gaps(spans: Iterable[Span], size: int, step: int) -> Iterator[Span]:
    """What of 0 … `size` no span covers, in pieces of at most `step` bytes."""
    position = 0
    for start, stop in [*merged(spans), (size, size)]:
        for piece in range(position, start, step):
            yield piece, min(piece + step, start)
        position = max(position, stop)
