"""infinite-mac: a manifest with the names of all chunks, and the chunks; the last one may be short."""

from __future__ import annotations

import re
from collections.abc import Sequence

from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.views.pieces import (
    Document,
    Piece,
    blocks_in,
    count_blocks,
    json_document,
    parse_block_size,
    short_segment,
)

DEFAULT_BLOCK_SIZE = 256 * 1024
MANIFEST = "manifest.json"
# A manifest names all chunks, so their number is bounded.
MAX_CHUNKS = 500_000
_NAME = re.compile(r"(0|[1-9a-f][0-9a-f]{0,7})\.chunk", re.ASCII)


def find(
    size: int, block_size: str, name: str, image_name: str, prefetch: Sequence[ByteRange] = ()
) -> Document | Piece | None:
    """Return the manifest or a chunk; None when infinite-mac cannot ask for it.

    The signature that names a chunk is its index in hex: the client takes any hex digits, and derives from
    the order of the manifest which chunk is next.

    Args:
        size: The size of the image in bytes.
        block_size: `chunkSize`.
        name: The file name.
        image_name: `name` in the manifest.
        prefetch: Byte ranges that the client is to read first, in this order.
    """
    length = parse_block_size(block_size)
    if length is None:
        return None
    count = count_blocks(size, length)
    if count > MAX_CHUNKS:
        return None
    if name == MANIFEST:
        return json_document(
            {
                "name": image_name,
                "totalSize": size,
                "chunkSize": length,
                "chunks": [f"{index:x}" for index in range(count)],
                "prefetchChunks": blocks_in(prefetch, size, length),
            }
        )
    match = _NAME.fullmatch(name)
    if match is None or int(match[1], 16) >= count:
        return None
    index = int(match[1], 16)
    return Piece((short_segment(size, index * length, length),), f"infinite-mac-{length}-{index}")
