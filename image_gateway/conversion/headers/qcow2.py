"""The qcow2 header (QEMU's specification of qcow2)."""

from __future__ import annotations

import struct

from image_gateway.conversion.headers.virtual_size import check_virtual_size
from image_gateway.conversion.object_source import CountedObject
from image_gateway.errors import InvalidImage, UnsupportedImage

_MAGIC = b"QFI\xfb"
_VERSION_2_LENGTH = 72
_VERSION_3_LENGTH = 104
# From the magic number to the L1 table's offset; version 3 has the features and the header's length.
_HEADER = struct.Struct(">4sIQIIQIIQ")
_FEATURES_AT, _LENGTH_AT = 72, 100
_CLUSTER_BITS = range(9, 22)
_MAX_L1_BYTES = 32 * 1024 * 1024
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION | _EXTENDED_L2


def check_qcow2(source: CountedObject, max_size: int) -> int:
    """Return the virtual size in bytes of a qcow2 image that needs no other file and no key.

    Raises:
        InvalidImage, UnsupportedImage: The message names what is wrong.
    """
    head = source.read_header(0, _VERSION_2_LENGTH, "qcow2 header")
    magic, version, backing_offset, backing_size, cluster_bits, size, encryption, l1_size, l1_offset = (
        _HEADER.unpack_from(head)
    )
    if magic != _MAGIC:
        raise InvalidImage("the file is not a qcow2 image: it does not begin with QFI")
    if version not in (2, 3):
        raise UnsupportedImage(f"qcow2 version {version} is not supported, only 2 and 3")
    if backing_offset or backing_size:
        raise UnsupportedImage("the qcow2 image has a backing file: flatten it first (qemu-img convert)")
    if encryption:
        raise UnsupportedImage("the qcow2 image is encrypted")
    if cluster_bits not in _CLUSTER_BITS:
        raise InvalidImage(f"the qcow2 header has clusters of 2^{cluster_bits} bytes; 2^9 to 2^21 are valid")
    features = _check_version_3(source, cluster_bits) if version == 3 else 0
    check_virtual_size(size, max_size)
    entry_size = 16 if features & _EXTENDED_L2 else 8
    bytes_per_l1_entry = (1 << cluster_bits) * ((1 << cluster_bits) // entry_size)
    needed = -(-size // bytes_per_l1_entry)
    if l1_size < needed or l1_size * 8 > _MAX_L1_BYTES:
        raise InvalidImage(f"the qcow2 header has an L1 table of {l1_size} entries; {needed} are needed")
    if l1_offset == 0 or l1_offset % (1 << cluster_bits):
        raise InvalidImage("the qcow2 header has an L1 table outside the clusters")
    if l1_offset + l1_size * 8 > source.size:
        raise InvalidImage("the file is truncated: its L1 table is beyond the end")
    return int(size)


def _check_version_3(source: CountedObject, cluster_bits: int) -> int:
    """Return the incompatible features."""
    head = source.read_header(0, _VERSION_3_LENGTH, "qcow2 header")
    (features,) = struct.unpack_from(">Q", head, _FEATURES_AT)
    (length,) = struct.unpack_from(">I", head, _LENGTH_AT)
    if length < _VERSION_3_LENGTH or length % 8 or length > 1 << cluster_bits:
        raise InvalidImage(f"the qcow2 header has an invalid length of {length} bytes")
    if features & _EXTERNAL_DATA:
        raise UnsupportedImage("the qcow2 image has its data in another file")
    if features & _CORRUPT:
        raise InvalidImage("the qcow2 image is marked corrupt: repair it first (qemu-img check -r all)")
    if features & ~_KNOWN:
        raise UnsupportedImage(f"the qcow2 image has unknown incompatible features ({features & ~_KNOWN:#x})")
    return int(features)
