"""A disk is read out of every format as it went in, with few reads of the object."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest

from image_gateway.conversion.disk_reader import Extent, open_disk
from image_gateway.protocol.formats import HEAD_LENGTH, SNIFF_LENGTH, DiskFormat, detect_format
from tests.support.disk_images import ALL_KINDS, DISK_SIZE, MIB, DiskImage, MemoryObject, make_iso, read_disk

# One window of reading ahead, headers, and tables.
METADATA = 2 * MIB
# QEMU does not say of these which ranges are zeros.
WITHOUT_HOLES = ["VHD fixed", "VHDX dynamic", "VHDX fixed", "VDI static"]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_disk_comes_out_as_it_went_in(kind: str, images: dict[str, DiskImage], disk: Path) -> None:
    image = images[kind]
    source = MemoryObject(image.data)
    expected = disk.read_bytes()
    assert detect_format(image.data[:HEAD_LENGTH], image.data[-SNIFF_LENGTH:]) is image.format
    with open_disk(source, image.format) as reader:
        found = read_disk(reader)
        # A dynamic VHD has whole cylinders.
        assert not any(found[DISK_SIZE:])
        assert kind == "VHD dynamic" or reader.size == DISK_SIZE
        assert hashlib.sha256(found[:DISK_SIZE]).digest() == hashlib.sha256(expected).digest()
        assert reader.stored_bytes_read <= 1.1 * source.size + METADATA
        assert source.reads <= 200


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind not in WITHOUT_HOLES])
def test_holes_are_told_and_not_read(kind: str, images: dict[str, DiskImage]) -> None:
    with open_disk(MemoryObject(images[kind].data), images[kind].format) as reader:
        extents = list(reader.extents(0, reader.size))
        assert [extent.start for extent in extents[1:]] == [extent.end for extent in extents[:-1]]
        assert (extents[0].start, extents[-1].end) == (0, reader.size)
        assert all(one.is_zero != other.is_zero for one, other in pairwise(extents))
        assert sum(extent.end - extent.start for extent in extents if extent.is_zero) >= 40 * MIB
        before = reader.stored_bytes_read
        assert reader.read(20 * MIB, 40 * MIB) == bytes(20 * MIB)
        assert reader.stored_bytes_read - before <= METADATA


def test_ranges_need_not_be_of_whole_sectors(images: dict[str, DiskImage], disk: Path) -> None:
    expected = disk.read_bytes()
    with open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2) as reader:
        for start, end in [(0, 0), (7, 8), (511, 513), (MIB - 1, MIB + 1), (DISK_SIZE - 3, DISK_SIZE)]:
            assert reader.read(start, end) == expected[start:end]
        assert list(reader.extents(5, 1000)) == [Extent(5, 1000, is_zero=False)]
        assert list(reader.extents(5, 5)) == []
        for start, end in [(-1, 5), (6, 5), (0, DISK_SIZE + 1)]:
            with pytest.raises(ValueError, match="not a range"):
                reader.read(start, end)
            with pytest.raises(ValueError, match="not a range"):
                list(reader.extents(start, end))


def test_reads_between_extents(images: dict[str, DiskImage], disk: Path) -> None:
    expected = disk.read_bytes()
    with open_disk(MemoryObject(images["qcow2 512"].data), DiskFormat.QCOW2) as reader:
        for extent in reader.extents(0, reader.size):
            end = min(extent.end, extent.start + 1000)
            assert reader.read(extent.start, end) == expected[extent.start : end]


@pytest.mark.parametrize("size", [1, 511, 70_001])
def test_a_raw_disk_is_read_as_it_is(size: int) -> None:
    data = bytes(range(256)) * 300
    with open_disk(MemoryObject(data[:size]), DiskFormat.RAW) as reader:
        assert reader.size == size
        assert list(reader.extents(0, size)) == [Extent(0, size, is_zero=False)]
        assert reader.read(0, size) == data[:size]
        assert reader.stored_bytes_read == size


def test_an_iso_is_read_as_it_is() -> None:
    data = make_iso()
    assert detect_format(data[:HEAD_LENGTH], data[-SNIFF_LENGTH:]) is DiskFormat.ISO
    # Files are often padded after the volume.
    with open_disk(MemoryObject(data + bytes(3000)), DiskFormat.ISO) as reader:
        assert reader.read(0, reader.size) == data + bytes(3000)
