"""Compresses bodies with zstd."""

from __future__ import annotations

import zstandard

from image_gateway.storage.body import Body

LEVEL = 3
# Two versions of the library may compress the same bytes to other frames, which need another ETag.
ENCODING = f"zstd{'.'.join(map(str, zstandard.ZSTD_VERSION))}-{LEVEL}"


def compress(body: Body, size: int) -> bytes:
    """Return a body of `size` bytes as exactly one zstd frame with its content size, and close the body.

    The body is read block by block, so only the compressed bytes are in memory.
    """
    try:
        compressor = zstandard.ZstdCompressor(level=LEVEL).compressobj(size=size)
        blocks = [compressor.compress(block) for block in body]
        blocks.append(compressor.flush())
        return b"".join(blocks)
    finally:
        body.close()
