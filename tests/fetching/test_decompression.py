"""gzip, xz and Zstandard: whole, concatenated, truncated, corrupt, and made to burst."""

from __future__ import annotations

import gzip
import lzma
import random
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.errors import SourceDamaged, TooLarge
from image_gateway.fetching.decompression import MAX_BLOCK_BYTES, decompress, is_compressed

Compress = Callable[[bytes], bytes]
COMPRESSORS: dict[str, Compress] = {
    "disk.img.gz": gzip.compress,
    "disk.img.xz": lzma.compress,
    "disk.img.zst": zstandard.ZstdCompressor().compress,
}
ROOT = Path(__file__).parents[2]
ENOUGH = 1 << 40
GIB = 1 << 30
SAMPLE = random.Random(1).randbytes(3000) * 3 + bytes(5_000_000) + random.Random(2).randbytes(200_000)

each_format = pytest.mark.parametrize("name", COMPRESSORS)


def expand(name: str, *blocks: bytes, limit: int = ENOUGH) -> bytes:
    return b"".join(decompress(name, iter(blocks), limit))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@each_format
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 30])
def test_each_format_in_any_blocks(name: str, size: int) -> None:
    data = COMPRESSORS[name](SAMPLE)
    pieces = list(decompress(name.upper(), iter(cut(data, size)), len(SAMPLE)))
    assert b"".join(pieces) == SAMPLE
    assert all(0 < len(piece) <= MAX_BLOCK_BYTES for piece in pieces)


@each_format
def test_concatenated_members(name: str) -> None:
    compress = COMPRESSORS[name]
    data = compress(b"one") + compress(b"") + compress(b"two") + compress(SAMPLE)
    assert expand(name, data) == b"onetwo" + SAMPLE
    assert expand(name, *cut(data, 3)) == b"onetwo" + SAMPLE


@each_format
def test_padding_with_zeros(name: str) -> None:
    compress = COMPRESSORS[name]
    assert expand(name, compress(b"one") + bytes(512), bytes(99_999), compress(b"two"), bytes(4)) == b"onetwo"


def test_skippable_frames_of_zstandard() -> None:
    frame = b"\x53\x2a\x4d\x18\x04\x00\x00\x00abcd"
    data = COMPRESSORS["disk.img.zst"](b"one")
    assert expand("a.zst", frame + data + frame + data + frame) == b"oneone"
    assert expand("a.zst", *cut(frame + data, 1)) == b"one"


@each_format
def test_an_empty_result(name: str) -> None:
    assert expand(name, COMPRESSORS[name](b""), limit=0) == b""


@each_format
def test_every_truncation(name: str) -> None:
    data = COMPRESSORS[name](b"some data, " * 20)
    for size in range(len(data)):
        with pytest.raises(SourceDamaged):
            expand(name, data[:size])
        with pytest.raises(SourceDamaged):
            expand(name, data, data[: max(size, 1)])


@each_format
def test_truncation_of_a_long_stream(name: str) -> None:
    data = COMPRESSORS[name](SAMPLE)
    with pytest.raises(SourceDamaged, match="is truncated") as caught:
        expand(name, data[: len(data) // 2])
    assert caught.value.code == "SOURCE_DAMAGED"
    assert not caught.value.retryable


@pytest.mark.parametrize("name", ["a.gz", "a.xz"])
def test_corruption(name: str) -> None:
    data = bytearray(COMPRESSORS[f"disk.img.{name[2:]}"](SAMPLE))
    data[len(data) // 2] ^= 1
    with pytest.raises(SourceDamaged, match="cannot be decompressed"):
        expand(name, bytes(data))


def test_corruption_of_zstandard_with_a_checksum() -> None:
    data = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(SAMPLE))
    data[len(data) // 2] ^= 1
    with pytest.raises(SourceDamaged, match="cannot be decompressed"):
        expand("a.zst", bytes(data))


@each_format
def test_garbage_after_the_end(name: str) -> None:
    with pytest.raises(SourceDamaged):
        expand(name, COMPRESSORS[name](b"one") + b"garbage")


@each_format
@pytest.mark.parametrize("data", [b"", b"x", b"<html>Please log in</html>", bytes(100), b"QFI\xfb\0\0\0\3"])
def test_data_of_another_format(name: str, data: bytes) -> None:
    with pytest.raises(SourceDamaged, match=r"is not in \w+ format, as its name says"):
        expand(name, data)


@pytest.mark.parametrize("name", ["disk.img", "disk", "gz", "disk.zip", ".gz.img"])
def test_other_names_are_passed_on(name: str) -> None:
    data = gzip.compress(SAMPLE)
    assert not is_compressed(name)
    pieces = list(decompress(name, iter([data, bytes(3_000_000), b""]), len(data) + 3_000_000))
    assert b"".join(pieces) == data + bytes(3_000_000)
    assert max(map(len, pieces)) == MAX_BLOCK_BYTES
    with pytest.raises(TooLarge):
        expand(name, b"abc", limit=2)


@each_format
def test_the_limit_is_exact(name: str) -> None:
    assert is_compressed(name)
    data = COMPRESSORS[name](SAMPLE)
    assert expand(name, data, limit=len(SAMPLE)) == SAMPLE
    pieces: list[bytes] = []
    with pytest.raises(TooLarge, match=f"larger than {len(SAMPLE) - 1} bytes") as caught:
        pieces.extend(decompress(name, iter([data]), len(SAMPLE) - 1))
    assert SAMPLE.startswith(b"".join(pieces))
    assert caught.value.code == "TOO_LARGE"


# Makes a file that expands to 10 GiB, decompresses it, and tells what that took.
BURST = """
import gzip, io, itertools, lzma, resource, sys, time
from image_gateway.errors import TooLarge
from image_gateway.fetching.decompression import decompress

name, limit, target = sys.argv[1], int(sys.argv[2]), io.BytesIO()
if name == "a.zst":
    # The highest ratio: a window of 1 MiB, and blocks of 128 KiB of one byte (RFC 8878 3.1.1.2).
    blocks = itertools.chain([bytes.fromhex("28b52ffd0050")], [bytes.fromhex("02001000") * 16384] * 5)
else:
    with gzip.open(target, "wb") if name == "a.gz" else lzma.open(target, "wb", preset=0) as writer:
        for _ in range(64):
            writer.write(bytes(1 << 20))
    blocks = itertools.repeat(target.getvalue(), 160)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started, got = time.monotonic(), 0
try:
    for piece in decompress(name, blocks, limit):
        got += len(piece)
except TooLarge:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(got, grown, time.monotonic() - started)
"""


@pytest.mark.parametrize("name", ["a.gz", "a.xz", "a.zst"])
def test_a_bomb_is_stopped_at_the_limit_with_bounded_memory(name: str) -> None:
    command = [sys.executable, "-c", BURST, name, str(GIB // 2)]
    told = subprocess.run(command, capture_output=True, check=True, timeout=60, cwd=ROOT, text=True).stdout
    got, grown_kib, seconds = map(float, told.split())
    assert GIB // 2 - MAX_BLOCK_BYTES <= got <= GIB // 2
    assert grown_kib < 48 << 10
    assert seconds < 20


def test_tiny_members_are_no_bomb_of_time() -> None:
    started = time.monotonic()
    assert expand("a.gz", gzip.compress(b"") * 20_000) == b""
    assert time.monotonic() - started < 10


def test_xz_that_needs_much_memory() -> None:
    assert expand("a.xz", _with_dictionary(64 << 20)) == b"data"
    with pytest.raises(SourceDamaged, match="Memory usage limit exceeded"):
        expand("a.xz", _with_dictionary(GIB))


def _with_dictionary(size: int) -> bytes:
    """An xz stream whose block header asks for a dictionary of a power of two; made without that memory."""
    data = bytearray(lzma.compress(b"data", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]))
    # https://tukaani.org/xz/xz-file-format.txt, 3.1 and 5.3.1: a block header ends with its CRC32.
    header = data[12 : 12 + (data[12] + 1) * 4]
    at = header.index(b"\x21\x01") + 2
    header[at] = (size.bit_length() - 1 - 12) * 2
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    data[12 : 12 + len(header)] = header
    return bytes(data)


def test_zstandard_that_needs_a_large_window() -> None:
    def with_window(log: int) -> bytes:
        # RFC 8878 §3.1.1: no content size, no checksum, a window, and one last raw block of 4 bytes.
        return b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + b"\x21\x00\x00data"

    assert expand("a.zst", with_window(27)) == b"data"
    with pytest.raises(SourceDamaged, match="memory"):
        expand("a.zst", with_window(28))


def test_zstandard_with_a_dictionary() -> None:
    dictionary = zstandard.ZstdCompressionDict(
        random.Random(3).randbytes(2000), zstandard.DICT_TYPE_RAWCONTENT
    )
    data = zstandard.ZstdCompressor(dict_data=dictionary).compress(random.Random(3).randbytes(2000))
    with pytest.raises(SourceDamaged):
        expand("a.zst", data)


@given(
    st.sampled_from(sorted(COMPRESSORS)),
    st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    st.integers(1, 400),
    st.integers(0, 1300),
)
def test_any_members_in_any_blocks(name: str, members: list[bytes], size: int, limit: int) -> None:
    data = b"".join(COMPRESSORS[name](member) for member in members)
    whole = b"".join(members)
    if len(whole) <= limit:
        assert expand(name, *cut(data, size), limit=limit) == whole
    else:
        with pytest.raises(TooLarge):
            expand(name, *cut(data, size), limit=limit)


@given(
    st.sampled_from(sorted(COMPRESSORS)), st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=40)
)
def test_any_damage_is_an_error_or_harmless(name: str, member: bytes, at: int, patch: bytes) -> None:
    data = bytearray(COMPRESSORS[name](member))
    data[at : at + len(patch)] = patch
    try:
        expand(name, bytes(data), limit=10_000)
    except (SourceDamaged, TooLarge):
        return
    assert data[:2] == COMPRESSORS[name](member)[:2]
