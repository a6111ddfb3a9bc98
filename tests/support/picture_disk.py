"""A disk that looks like a small installed system."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.boot_disk import SECTOR
from tests.support.sample_disks import MIB, with_gpt

SIZE = 96 * MIB
PARTITIONS = ((MIB // SECTOR, 20 * MIB // SECTOR), (21 * MIB // SECTOR, 74 * MIB // SECTOR))


def make_picture_disk(path: Path) -> Path:
    """Write a disk of SIZE with a GPT, and as much of FAT16 and ext4 as shows that they are there."""
    disk = bytearray(SIZE)
    (efi, length), (root, _) = PARTITIONS
    _put(disk, efi, _fat16(length, b"EFI"))
    _put(disk, root, _ext4(b"alpine-root"))
    path.write_bytes(with_gpt(disk, PARTITIONS))
    return path


def _put(disk: bytearray, sector: int, data: bytes) -> None:
    disk[sector * SECTOR : sector * SECTOR + len(data)] = data


def _fat16(sectors: int, label: bytes) -> bytes:
    """The boot sector, with clusters of four sectors."""
    parameters = struct.pack("<HBHBHHBHHHII", SECTOR, 4, 4, 2, 512, sectors, 0xF8, 40, 32, 8, 0, 0)
    return b"\xeb\x3c\x90MSDOS5.0" + parameters + b"\x80\0\x29abcd" + label.ljust(11) + b"FAT16   "


def _ext4(label: bytes) -> bytes:
    """The superblock, after 1024 bytes that are not used."""
    superblock = bytearray(1024)
    superblock[56:58] = struct.pack("<H", 0xEF53)
    # A journal; extents and flexible block groups.
    superblock[92:100] = struct.pack("<II", 0x4, 0x40 | 0x200)
    superblock[120:136] = label.ljust(16, b"\0")
    return bytes(1024) + superblock
