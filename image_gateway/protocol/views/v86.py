"""v86 with `use_parts`: files named by the offsets of their first byte and of the byte after their last."""

from __future__ import annotations

import re

from image_gateway.protocol.views.pieces import (
    MAX_BLOCK_SIZE,
    Piece,
    padded_segment,
    parse_block_size,
    parse_number,
)

DEFAULT_BLOCK_SIZE = 256 * 1024
# In place of a block size: parts of any length.
ANY = "any"
_UNIT, _SECTOR = 256, 512
# With the URL `disk.img` names begin with `disk-`, with `.img` they do not.
_NAME = re.compile(r"(?:disk-)?([0-9]+)-([0-9]+)\.img(\.zst)?", re.ASCII)


def find(size: int, block_size: str, name: str) -> Piece | None:
    """Return the part with this name, padded with zeros; None when v86 cannot ask for it.

    Args:
        size: The size of the image in bytes.
        block_size: v86's `fixed_chunk_size`, or `any` when it is not set: then v86 asks for multiples of 256
            bytes, up to the end of the last sector, and for no compressed parts.
        name: `{start}-{end}.img` or `disk-{start}-{end}.img`, with `.zst` for one zstd frame.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    start, stop = parse_number(match[1]), parse_number(match[2])
    if start is None or stop is None or start >= size:
        return None
    compressed = match[3] is not None
    is_part = _is_any_part(size, start, stop) and not compressed
    if block_size != ANY:
        length = parse_block_size(block_size)
        is_part = length is not None and start % length == 0 and stop == start + length
    if not is_part:
        return None
    segment = padded_segment(size, start, stop - start)
    return Piece((segment,), f"v86-{block_size}-{start}-{stop}", compressed=compressed)


def _is_any_part(size: int, start: int, stop: int) -> bool:
    end = -(-size // _SECTOR) * _SECTOR
    return start % _UNIT == 0 and stop % _UNIT == 0 and start < stop <= end and stop - start <= MAX_BLOCK_SIZE
