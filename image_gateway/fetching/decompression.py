"""Decompresses gzip, xz and Zstandard streams with bounded memory and a bounded result."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import zstandard

from image_gateway.errors import SourceDamaged, TooLarge

MAX_BLOCK_BYTES = 1024 * 1024
# What the decoders need for `xz -9` (65 MiB), and for `zstd --ultra -22` or `zstd --long` (128 MiB).
XZ_MEMORY_BYTES = 128 * 1024 * 1024
ZSTD_WINDOW_BYTES = 128 * 1024 * 1024
# The rest of a slice is copied at each end of a member, and members may be tiny.
_SLICE_BYTES = 16 * 1024
# zstandard does not limit its output. A block of 128 KiB takes 4 bytes or more: at most 16 MiB of output.
_ZSTD_SLICE_BYTES = 512
_MAGIC_BYTES = 6


def decompress(name: str, blocks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield the expanded data in blocks of at most 1 MiB; for a name without .gz, .xz, .zst the data.

    Args:
        name: File name; its suffix decides, and the first bytes must agree.
        blocks: The file from its first byte.
        max_bytes: Limit of the expanded size.

    Raises:
        TooLarge: The expanded data is longer than `max_bytes`. No more than that was yielded.
        SourceDamaged: The data is truncated, corrupt, of another format, or needs too much memory.
    """
    stream_format = _format_of(name)
    expanded = blocks if stream_format is None else _expand(stream_format, blocks)
    left = max_bytes
    for piece in _slices(expanded, MAX_BLOCK_BYTES):
        if len(piece) > left:
            raise TooLarge(f"the file is larger than {max_bytes} bytes after decompression")
        left -= len(piece)
        yield piece


def is_compressed(name: str) -> bool:
    """Return whether `decompress` expands a file of this name."""
    return _format_of(name) is not None


class _Decoder(Protocol):
    """One gzip member, xz stream or Zstandard frame."""

    def blocks(self, data: bytes) -> Iterator[bytes]:
        """Yield what the input expands to."""

    def rest(self) -> bytes | None:
        """Return the input after the end, or None before the end."""


class _GzipDecoder:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def blocks(self, data: bytes) -> Iterator[bytes]:
        while data and not self._decoder.eof:
            yield self._decoder.decompress(data, MAX_BLOCK_BYTES)
            data = self._decoder.unconsumed_tail

    def rest(self) -> bytes | None:
        return self._decoder.unused_data if self._decoder.eof else None


class _XzDecoder:
    def __init__(self) -> None:
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)

    def blocks(self, data: bytes) -> Iterator[bytes]:
        yield self._decoder.decompress(data, MAX_BLOCK_BYTES)
        while not self._decoder.eof and not self._decoder.needs_input:
            yield self._decoder.decompress(b"", MAX_BLOCK_BYTES)

    def rest(self) -> bytes | None:
        return self._decoder.unused_data if self._decoder.eof else None


class _ZstdDecoder:
    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()

    def blocks(self, data: bytes) -> Iterator[bytes]:
        yield self._decoder.decompress(data)

    def rest(self) -> bytes | None:
        return self._decoder.unused_data if self._decoder.eof else None


class _Format(NamedTuple):
    title: str
    magics: tuple[bytes, ...]
    make_decoder: Callable[[], _Decoder]
    slice_bytes: int


_FORMATS = {
    ".gz": _Format("gzip", (b"\x1f\x8b",), _GzipDecoder, _SLICE_BYTES),
    ".xz": _Format("xz", (b"\xfd7zXZ\0",), _XzDecoder, _SLICE_BYTES),
    # Also a skippable frame (RFC 8878 §3.1.2), which pzstd begins with.
    ".zst": _Format(
        "Zstandard",
        (b"\x28\xb5\x2f\xfd", *(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))),
        _ZstdDecoder,
        _ZSTD_SLICE_BYTES,
    ),
}


def _format_of(name: str) -> _Format | None:
    return next((found for suffix, found in _FORMATS.items() if name.lower().endswith(suffix)), None)


def _expand(stream_format: _Format, blocks: Iterator[bytes]) -> Iterator[bytes]:
    decoder: _Decoder | None = None
    try:
        for data in _slices(_with_checked_magic(stream_format, blocks), stream_format.slice_bytes):
            rest: bytes | None = data
            while rest:
                if decoder is None:
                    # Tapes and block devices pad with zeros, and so may xz.
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    decoder = stream_format.make_decoder()
                yield from decoder.blocks(rest)
                rest = decoder.rest()
                if rest is not None:
                    decoder = None
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise SourceDamaged(f"the {stream_format.title} data cannot be decompressed: {error}") from None
    if decoder is not None:
        raise SourceDamaged(f"the {stream_format.title} data is truncated")


def _with_checked_magic(stream_format: _Format, blocks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _MAGIC_BYTES:
            break
    if not head.startswith(stream_format.magics):
        raise SourceDamaged(f"the file is not in {stream_format.title} format, as its name says")
    yield head
    yield from blocks


def _slices(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), size):
            yield block[start : start + size]
