"""Disk images of every format, made by qemu-img out of one disk, and objects to read them from."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from image_gateway.conversion.disk_reader import DiskReader
from image_gateway.protocol.formats import DiskFormat

MIB = 1024 * 1024
DISK_SIZE = 64 * MIB
# Where the disk has data; the rest are holes.
DATA = ((0, MIB), (10 * MIB, 3 * MIB), (13 * MIB, MIB // 2), (DISK_SIZE - 100_352, 100_352))

# Name: format, qemu-img's name of it, options.
KINDS: Mapping[str, tuple[DiskFormat, str, str]] = {
    "qcow2": (DiskFormat.QCOW2, "qcow2", ""),
    "qcow2 version 2": (DiskFormat.QCOW2, "qcow2", "compat=0.10"),
    "qcow2 zlib": (DiskFormat.QCOW2, "qcow2", "compression_type=zlib -c"),
    "qcow2 zstd": (DiskFormat.QCOW2, "qcow2", "compression_type=zstd -c"),
    "qcow2 extended L2": (DiskFormat.QCOW2, "qcow2", "extended_l2=on,cluster_size=128k"),
    "qcow2 512": (DiskFormat.QCOW2, "qcow2", "cluster_size=512"),
    "qcow2 2M": (DiskFormat.QCOW2, "qcow2", "cluster_size=2M"),
    "VHD dynamic": (DiskFormat.VHD, "vpc", "subformat=dynamic"),
    "VHD fixed": (DiskFormat.VHD, "vpc", "subformat=fixed,force_size=on"),
    "VHDX dynamic": (DiskFormat.VHDX, "vhdx", "subformat=dynamic"),
    "VHDX fixed": (DiskFormat.VHDX, "vhdx", "subformat=fixed"),
    "VMDK sparse": (DiskFormat.VMDK, "vmdk", "subformat=monolithicSparse"),
    "VMDK stream": (DiskFormat.VMDK, "vmdk", "subformat=streamOptimized"),
    "VDI dynamic": (DiskFormat.VDI, "vdi", "static=off"),
    "VDI static": (DiskFormat.VDI, "vdi", "static=on"),
}
FOOTER_KIND = "VMDK stream with footer"
ALL_KINDS = [*KINDS, FOOTER_KIND]


@dataclass(frozen=True)
class DiskImage:
    """An image file of the disk."""

    path: Path
    format: DiskFormat

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


class MemoryObject:
    """An object in memory that counts its reads; `before_read` may raise or wait."""

    def __init__(self, data: bytes, before_read: Callable[[int], None] = lambda _: None) -> None:
        self._data, self.before_read = data, before_read
        self._lock = threading.Lock()
        self.size = len(data)
        self.reads = 0

    def read(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= self.size
        with self._lock:
            self.reads += 1
            number = self.reads
        self.before_read(number)
        return self._data[start:end]


def make_disk(path: Path) -> None:
    """Write a disk with a partition table, random and repetitive data, and holes."""
    source = random.Random(20)
    with path.open("wb") as disk:
        disk.truncate(DISK_SIZE)
        for start, length in DATA:
            disk.seek(start)
            disk.write(b"text" * (length // 4) if start == 13 * MIB else source.randbytes(length))
        disk.seek(446)
        disk.write(
            struct.pack("<8BII", 0x80, 0, 0, 0, 0x83, 0, 0, 0, 2048, 100_000).ljust(64, b"\0") + b"\x55\xaa"
        )


def run_qemu_img(*arguments: str | os.PathLike[str]) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, timeout=120)


def make_images(folder: Path, disk: Path) -> dict[str, DiskImage]:
    """Convert the disk to every kind."""
    images = {}
    for name, (kind, driver, options) in KINDS.items():
        path = folder / f"{name}.image"
        values, *switches = options.split() or [""]
        chosen = ["-o", values] if values else []
        run_qemu_img("convert", "-f", "raw", "-O", driver, *chosen, *switches, disk, path)
        images[name] = DiskImage(path, kind)
    stream = folder / f"{FOOTER_KIND}.image"
    stream.write_bytes(with_footer(images["VMDK stream"].data))
    images[FOOTER_KIND] = DiskImage(stream, DiskFormat.VMDK)
    return images


def with_footer(stream: bytes) -> bytes:
    """Return a streamOptimized VMDK as VMware writes it: the grain directory is found by a footer."""
    header = bytearray(stream[:512])
    # The directory's sector is -1, and the redundant directory is none.
    header[8:12] = struct.pack("<I", struct.unpack_from("<I", header, 8)[0] & ~2)
    footer = bytes(header)
    header[56:64] = b"\xff" * 8
    marker = struct.pack("<QII", 1, 0, 3).ljust(512, b"\0")
    return bytes(header) + stream[512:].ljust(-len(stream[512:]) % 512, b"\0") + marker + footer + bytes(512)


def read_disk(reader: DiskReader) -> bytes:
    """Read a disk as a converter does: its data, and zeros for its holes."""
    disk = bytearray(reader.size)
    for extent in reader.extents(0, reader.size):
        for start in range(extent.start, extent.end, 8 * MIB):
            end = min(start + 8 * MIB, extent.end)
            if not extent.is_zero:
                disk[start:end] = reader.read(start, end)
    return bytes(disk)


def make_iso(blocks: int = 40, *, declared: int | None = None) -> bytes:
    """Return an ISO 9660 image of blocks of 2 KiB, with a primary volume descriptor and random blocks."""
    declared = blocks if declared is None else declared
    descriptor = bytearray(2048)
    descriptor[:7] = b"\x01CD001\x01"
    descriptor[80:88] = struct.pack("<I", declared) + struct.pack(">I", declared)
    descriptor[128:132] = struct.pack("<H", 2048) + struct.pack(">H", 2048)
    return bytes(16 * 2048) + bytes(descriptor) + random.Random(21).randbytes((blocks - 17) * 2048)
