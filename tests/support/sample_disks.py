"""Disk images of every kind that people upload, made when they are first asked for."""

from __future__ import annotations

import random
import struct
import uuid
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tests.support.boot_disk import SECTOR, Read, make_boot_disk
from tests.support.disk_images import make_iso, run_qemu_img
from tests.support.programs import require_qemu
from tests.support.writing_disk import make_writing_disk

MIB = 1024 * 1024
LINUX_TYPE, FAT_TYPE = 0x83, 0x0C
LINUX_GUID = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
EFI_GUID = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_GPT_ENTRIES, _GPT_ENTRY_SIZE = 128, 128
# Start and length in sectors.
PARTITIONS = ((2048, 4096), (8192, 12_288))
SIZE = 12 * MIB


class SampleDisks:
    """Files in a folder. All but `iso`, `boot` and `writing` have SIZE, or more, and the two PARTITIONS.

    `of_size` makes a file of any size, each MiB with other content, that a store gets in several parts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def mbr(self) -> Path:
        """A raw disk with an MBR: a FAT and a Linux partition, mostly holes."""
        return self._write("mbr.img", with_mbr(_content(SIZE)))

    @cached_property
    def gpt(self) -> Path:
        """A raw disk with a GPT: an EFI system partition and a Linux partition."""
        return self._write("gpt.img", with_gpt(_content(SIZE)))

    @cached_property
    def iso(self) -> Path:
        """An ISO 9660 image of 200 KiB."""
        return self._write("system.iso", make_iso(100))

    @cached_property
    def boot(self) -> Path:
        """A raw disk that boots: it writes to the serial port (see `boot_disk.py`)."""
        return self._write("boot.img", make_boot_disk(_content(4 * MIB), [Read(MIB // SECTOR, 8)], []))

    @cached_property
    def writing(self) -> Path:
        """A raw disk that boots, and holds the text `as it was`: see `writing_disk.py`."""
        return self._write("writing.img", make_writing_disk(4 * MIB, "as it was"))

    @cached_property
    def qcow2(self) -> Path:
        """The disk `mbr` as qcow2; the test is skipped where QEMU is missing."""
        require_qemu()
        path = self._folder / "disk.qcow2"
        run_qemu_img("convert", "-f", "raw", "-O", "qcow2", self.mbr, path)
        return path

    def of_size(self, mebibytes: int) -> Path:
        """A raw file of this size; the same file for the same size."""
        path = self._folder / f"{mebibytes}-mib.img"
        if not path.exists():
            source = random.Random(mebibytes)
            with path.open("wb") as file:
                for _ in range(mebibytes):
                    file.write(source.randbytes(MIB // 16) * 16)
        return path

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


def _content(size: int) -> bytearray:
    """Random data at the beginning of each partition and at the end, zeros elsewhere."""
    source, content = random.Random(size), bytearray(size)
    for start, length in (*((first * SECTOR, MIB) for first, _ in PARTITIONS), (size - MIB // 2, MIB // 4)):
        if start + length <= size:
            content[start : start + length] = source.randbytes(length)
    return content


def with_mbr(disk: bytearray) -> bytes:
    """Return the disk with a partition table of PARTITIONS, the first one active."""
    for number, (kind, (start, length)) in enumerate(zip((FAT_TYPE, LINUX_TYPE), PARTITIONS, strict=True)):
        active = 0 if number else 0x80
        entry = struct.pack("<8BII", active, 0, 0, 0, kind, 0, 0, 0, start, length)
        disk[446 + 16 * number : 462 + 16 * number] = entry
    disk[510:512] = b"\x55\xaa"
    return bytes(disk)


def with_gpt(disk: bytearray, partitions: Sequence[tuple[int, int]] = PARTITIONS) -> bytes:
    """Return the disk with a GPT at both ends, and a protective MBR (UEFI, section 5.3).

    Args:
        partitions: Start and length in sectors of the EFI system partition and the root partition.
    """
    sectors = len(disk) // SECTOR
    entries = bytearray(_GPT_ENTRIES * _GPT_ENTRY_SIZE)
    named = zip((EFI_GUID, LINUX_GUID), ("EFI system", "root"), partitions, strict=True)
    for number, (kind, name, (start, length)) in enumerate(named):
        entry = kind.bytes_le + uuid.UUID(int=number + 1).bytes_le
        entry += struct.pack("<QQQ", start, start + length - 1, 0) + name.encode("utf-16-le").ljust(72, b"\0")
        entries[number * _GPT_ENTRY_SIZE : (number + 1) * _GPT_ENTRY_SIZE] = entry
    held = len(entries) // SECTOR
    first_usable, last_usable = 2 + held, sectors - 2 - held

    def header(own: int, other: int, table: int) -> bytes:
        fields = (own, other, first_usable, last_usable, uuid.UUID(int=99).bytes_le, table)
        rest = struct.pack("<QQQQ16sQ", *fields)
        rest += struct.pack("<III", _GPT_ENTRIES, _GPT_ENTRY_SIZE, zlib.crc32(entries))
        start = b"EFI PART" + struct.pack("<II", 0x00010000, 92)
        checksum = zlib.crc32(start + bytes(8) + rest)
        return (start + struct.pack("<II", checksum, 0) + rest).ljust(SECTOR, b"\0")

    disk[446:462] = struct.pack("<8BII", 0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, sectors - 1)
    disk[510:512] = b"\x55\xaa"
    disk[SECTOR : 2 * SECTOR] = header(1, sectors - 1, 2)
    disk[2 * SECTOR : first_usable * SECTOR] = entries
    disk[-SECTOR:] = header(sectors - 1, 1, last_usable + 1)
    disk[(last_usable + 1) * SECTOR : -SECTOR] = entries
    return bytes(disk)
