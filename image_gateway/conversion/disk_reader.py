"""Opens a disk image of any format out of one stored object, and reads the disk that a guest would see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from image_gateway.conversion.headers.iso9660 import check_iso
from image_gateway.conversion.headers.qcow2 import check_qcow2
from image_gateway.conversion.headers.vdi import check_vdi
from image_gateway.conversion.headers.vhd import check_vhd
from image_gateway.conversion.headers.vhdx import check_vhdx
from image_gateway.conversion.headers.vmdk import check_vmdk
from image_gateway.conversion.object_source import CountedObject, Extent, ObjectBytes
from image_gateway.conversion.qemu import QemuLimits
from image_gateway.conversion.qemu_reader import open_with_qemu
from image_gateway.conversion.raw_reader import RawReader
from image_gateway.errors import InvalidImage, UnsupportedImage
from image_gateway.protocol.formats import DiskFormat

__all__ = ["DiskReader", "Extent", "ObjectBytes", "QemuLimits", "open_disk"]

DEFAULT_LIMITS = QemuLimits()
DEFAULT_MAX_SIZE = 5 * 1024**4
# No object is as large: what QEMU reads between its end and this is missing in a truncated file.
_BEYOND_ANY_END = 1 << 60


class DiskReader(Protocol):
    """The virtual disk of an image. Several threads may read; what QEMU reads, they read in turn."""

    @property
    def size(self) -> int:
        """Size in bytes of the disk, as a guest sees it."""
        ...

    @property
    def stored_bytes_read(self) -> int:
        """Bytes of the object that have been read so far."""
        ...

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """Yield extents that cover the range in order; adjacent ones differ in kind."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of the disk from `start` up to, not including, `end`.

        Raises:
            GatewayError: What the source raised; the same read may be tried again.
            InvalidImage: The image is truncated or damaged there.
            ConversionError: QEMU ended or stalled; the disk must be opened again.
            ValueError: The range is not within the disk.
        """
        ...


@contextmanager
def open_disk(
    source: ObjectBytes,
    format: DiskFormat,
    limits: QemuLimits = DEFAULT_LIMITS,
    *,
    max_size: int = DEFAULT_MAX_SIZE,
) -> Iterator[DiskReader]:
    """Open the disk in a stored object; with the context everything that reads it ends.

    Enter the context in a thread that lives as long as the disk is read: QEMU dies with that thread.

    Args:
        max_size: The largest virtual size in bytes that is accepted.

    Raises:
        UnsupportedImage: The image needs another file or a key, or is too large.
        InvalidImage: It is damaged, truncated or of another format.
        ConverterUnavailable: QEMU is not installed.
        ConversionError: QEMU failed otherwise.
        GatewayError: What the source raised.
    """
    counted = CountedObject(source)
    disk = _inspect(counted, format, max_size)
    if disk.driver is None:
        yield RawReader(counted, disk.size)
        return
    with open_with_qemu(
        counted,
        disk.driver,
        disk.options,
        limits,
        virtual_size=disk.size,
        served_size=counted.size if disk.needs_end else _BEYOND_ANY_END,
    ) as reader:
        yield reader


@dataclass(frozen=True)
class _Disk:
    """What a header says: the virtual size, and QEMU's driver, or None where the bytes are the disk."""

    size: int
    driver: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    needs_end: bool = False


def _inspect(source: CountedObject, format: DiskFormat, max_size: int) -> _Disk:
    if source.size == 0:
        raise InvalidImage("the file is empty")
    match format:
        case DiskFormat.RAW:
            return _Disk(_check_raw(source, max_size))
        case DiskFormat.ISO:
            return _Disk(check_iso(source, max_size))
        case DiskFormat.QCOW2:
            return _Disk(check_qcow2(source, max_size), "qcow2")
        case DiskFormat.VHDX:
            return _Disk(check_vhdx(source, max_size), "vhdx")
        case DiskFormat.VDI:
            return _Disk(check_vdi(source, max_size), "vdi")
        case DiskFormat.VMDK:
            vmdk = check_vmdk(source, max_size)
            return _Disk(vmdk.size, "vmdk", needs_end=vmdk.needs_end)
        case DiskFormat.VHD:
            vhd = check_vhd(source, max_size)
            # Otherwise the creator's name decides whether QEMU takes the size or the geometry.
            options = {"force_size_calc": "current_size"}
            return _Disk(vhd.size) if vhd.is_fixed else _Disk(vhd.size, "vpc", options)


def _check_raw(source: CountedObject, max_size: int) -> int:
    if source.size > max_size:
        raise UnsupportedImage(f"the disk has {source.size} bytes, and {max_size} are allowed")
    return source.size
