"""WebVM (CheerpX `GitHubDevice`): a file with the size, and blocks of 128 KiB named by hex numbers."""

from __future__ import annotations

import re

from image_gateway.protocol.views.pieces import Document, Piece, count_blocks, short_segment

BLOCK_SIZE = 128 * 1024
DISK = "disk.ext2"
_NAME = re.compile(rf"{re.escape(DISK)}\.c([0-9a-f]{{6,12}})\.txt", re.ASCII)


def find(size: int, name: str) -> Document | Piece | None:
    """Return `disk.ext2.meta` or a block, the last one short; None when CheerpX cannot ask for it."""
    if name == f"{DISK}.meta":
        return Document(str(size).encode(), "text/plain; charset=utf-8", is_lasting=True)
    match = _NAME.fullmatch(name)
    if match is None or match[1] != f"{int(match[1], 16):06x}":
        return None
    index = int(match[1], 16)
    if index >= count_blocks(size, BLOCK_SIZE):
        return None
    return Piece((short_segment(size, index * BLOCK_SIZE, BLOCK_SIZE),), f"webvm-{index}")
