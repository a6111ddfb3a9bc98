"""sql.js-httpvfs: a configuration, and in the mode `chunked` numbered pieces that are read by ranges."""

from __future__ import annotations

import re

from image_gateway.protocol.views.pieces import (
    Document,
    Piece,
    count_blocks,
    json_document,
    parse_block_size,
    short_segment,
)

DEFAULT_BLOCK_SIZE = 10 * 1024 * 1024
# In place of a block size: the whole database by ranges.
FULL = "full"
CONFIG = "config.json"
REQUEST_SIZE = 4096
SUFFIX_LENGTH = 3
# Every page size of SQLite is a multiple of it.
_SMALLEST_PAGE = 512
_NAME = re.compile(r"db\.([0-9]{3,12})", re.ASCII)


def find(size: int, block_size: str, name: str, root: str) -> Document | Piece | None:
    """Return the configuration or a piece; None when sql.js-httpvfs cannot ask for it.

    The client reads ahead beyond the end of a piece, and fails where the range is clipped there. So a piece
    has all bytes from its start up to the end of the database.

    Args:
        size: The size of the database in bytes.
        block_size: `serverChunkSize`, or `full`.
        name: The file name.
        root: The URL of all views of the image.
    """
    if block_size == FULL:
        return _full_config(root) if name == CONFIG else None
    length = parse_block_size(block_size)
    if length is None or length % _SMALLEST_PAGE:
        return None
    if name == CONFIG:
        return _chunked_config(size, length, root)
    match = _NAME.fullmatch(name)
    if match is None or match[1] != f"{int(match[1]):0{SUFFIX_LENGTH}d}":
        return None
    index = int(match[1])
    if index >= count_blocks(size, length):
        return None
    segment = short_segment(size, index * length, size)
    return Piece((segment,), f"sqlite-{length}-{index}", takes_ranges=True)


def _full_config(root: str) -> Document:
    return json_document(
        {
            "serverMode": "full",
            "requestChunkSize": REQUEST_SIZE,
            "url": f"{root}/raw/database.sqlite3",
        }
    )


def _chunked_config(size: int, block_size: int, root: str) -> Document:
    return json_document(
        {
            "serverMode": "chunked",
            "requestChunkSize": REQUEST_SIZE,
            "databaseLengthBytes": size,
            "serverChunkSize": block_size,
            "urlPrefix": f"{root}/sqlite/{block_size}/db.",
            "suffixLength": SUFFIX_LENGTH,
        }
    )
