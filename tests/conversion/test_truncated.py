"""Of a truncated or damaged file no wrong byte is ever read, and it fails soon and clearly."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from image_gateway.conversion.disk_reader import open_disk
from image_gateway.errors import InvalidImage, UnsupportedImage
from image_gateway.protocol.formats import DiskFormat
from tests.support.disk_images import ALL_KINDS, DISK_SIZE, DiskImage, MemoryObject, read_disk

# QEMU preallocates these, and their last bytes need not be read.
WITH_UNUSED_END = ["VHDX dynamic", "VHDX fixed"]


def read_or_refused(data: bytes, kind: DiskFormat) -> bytes | InvalidImage | UnsupportedImage:
    try:
        with open_disk(MemoryObject(data), kind) as reader:
            return read_disk(reader)
    except (InvalidImage, UnsupportedImage) as error:
        return error


def lose_end(kind: str, images: dict[str, DiskImage], length: int) -> InvalidImage:
    found = read_or_refused(images[kind].data[:length], images[kind].format)
    assert isinstance(found, InvalidImage), f"{kind} of {length} bytes"
    return found


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_file_that_lost_its_second_half(kind: str, images: dict[str, DiskImage]) -> None:
    length = 9 * 1024 * 1024 if kind in WITH_UNUSED_END else len(images[kind].data) // 2
    assert lose_end(kind, images, length).message


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind not in WITH_UNUSED_END])
def test_a_file_that_lost_its_last_bytes(kind: str, images: dict[str, DiskImage]) -> None:
    """Two, since old VHDs have a footer of 511 bytes."""
    assert "truncated" in lose_end(kind, images, len(images[kind].data) - 2).message


def test_a_stream_that_lost_the_end_of_its_last_grain(images: dict[str, DiskImage]) -> None:
    for lost in (512, 600, 1024, 4096):
        lose_end("VMDK stream", images, len(images["VMDK stream"].data) - lost)


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_any_truncation(kind: str, images: dict[str, DiskImage], disk: Path) -> None:
    data, expected = images[kind].data, disk.read_bytes()
    source = random.Random(kind)
    lengths = [
        1,
        511,
        512,
        513,
        1023,
        65_536,
        65_537,
        131_072,
        *(source.randrange(len(data)) for _ in range(6)),
    ]
    for length in lengths:
        found = read_or_refused(data[:length], images[kind].format)
        assert isinstance(found, InvalidImage) or found[:DISK_SIZE] == expected, length


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_any_damage_of_the_metadata_ends_soon(kind: str, images: dict[str, DiskImage]) -> None:
    """Random numbers where headers and tables are: the disk is read, wrongly perhaps, or refused."""
    source = random.Random(kind)
    for _ in range(8):
        data = bytearray(images[kind].data)
        # VHDX has its metadata after the first MiB.
        area = 3 * 1024 * 1024 if kind.startswith("VHDX") else 4096
        for _ in range(source.randint(1, 4)):
            struct.pack_into(">I", data, source.randrange(area), source.getrandbits(32))
        read_or_refused(bytes(data), images[kind].format)


@pytest.mark.parametrize("entry", [0x0050_0000_0000_0000, 0x8000_0000_0000_0200])
def test_qcow2_tables_that_point_beyond_the_end(entry: int, images: dict[str, DiskImage]) -> None:
    data = bytearray(images["qcow2"].data)
    (l1_offset,) = struct.unpack_from(">Q", data, 40)
    struct.pack_into(">Q", data, l1_offset, entry)
    assert isinstance(read_or_refused(bytes(data), DiskFormat.QCOW2), InvalidImage)


def test_compressed_data_that_are_damaged(images: dict[str, DiskImage]) -> None:
    image = images["VMDK stream"]
    data = bytearray(image.data)
    data[200_000:200_100] = bytes(100)
    found = read_or_refused(bytes(data), image.format)
    assert isinstance(found, InvalidImage)
    assert "damaged" in found.message


def test_the_declared_format_is_another(images: dict[str, DiskImage]) -> None:
    for kind, image in images.items():
        for declared in set(DiskFormat) - {image.format, DiskFormat.RAW}:
            assert isinstance(read_or_refused(image.data, declared), InvalidImage), (kind, declared)
