"""TinyEMU and JSLinux (`block_net.c`): numbered blocks of a power of two of KiB, and groups of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.views.pieces import (
    MAX_BLOCK_SIZE,
    Document,
    Piece,
    blocks_in,
    count_blocks,
    json_document,
    merge_adjacent,
    padded_segment,
    parse_block_size,
    parse_number,
)

KIB = 1024
DEFAULT_KIB = 256
INDEX = "blk.txt"
MAX_GROUP = 32
_NAME = re.compile(r"(blk|grp)([0-9]{9,10})\.bin", re.ASCII)


def find(size: int, kib: str, name: str, prefetch: Sequence[ByteRange] = ()) -> Document | Piece | None:
    """Return `blk.txt`, a block or a group; None when TinyEMU cannot ask for it.

    Args:
        size: The size of the image in bytes.
        kib: The block size in KiB, a power of two.
        name: The file name.
        prefetch: Byte ranges that the client is to read first, in this order.
    """
    number = parse_number(kib)
    block_size = parse_block_size(str(number * KIB)) if number else None
    if block_size is None or block_size & (block_size - 1):
        return None
    blocks = blocks_in(prefetch, size, block_size)
    group = _group_length(len(blocks), block_size)
    if name == INDEX:
        return json_document(
            {
                "block_size": block_size // KIB,
                "n_block": count_blocks(size, block_size),
                "prefetch": blocks,
                "prefetch_group_len": group,
            }
        )
    match = _NAME.fullmatch(name)
    if match is None or match[2] != f"{int(match[2]):09d}":
        return None
    index = int(match[2])
    if match[1] == "grp":
        return _find_group(size, block_size, blocks[index * group : (index + 1) * group])
    if index >= count_blocks(size, block_size):
        return None
    return Piece((padded_segment(size, index * block_size, block_size),), f"tinyemu-{block_size}-{index}")


def needs_prefetch(name: str) -> bool:
    """Return whether a file depends on what is read first: the index and the groups do."""
    return name == INDEX or name.startswith("grp")


def _group_length(count: int, block_size: int) -> int:
    """Return how many blocks a group has; 1 means that there are no groups."""
    return min(MAX_GROUP, MAX_BLOCK_SIZE // block_size) if count > 1 else 1


def _find_group(size: int, block_size: int, blocks: list[int]) -> Piece | None:
    # The client asks for the block itself where a group has one.
    if len(blocks) < 2:
        return None
    segments = merge_adjacent(padded_segment(size, index * block_size, block_size) for index in blocks)
    digest = hashlib.sha256(repr(blocks).encode()).hexdigest()[:16]
    return Piece(segments, f"tinyemu-{block_size}-group-{digest}", is_lasting=False)
