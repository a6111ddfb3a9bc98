"""Container formats are told by their first or last bytes; anything else is a raw disk."""

from __future__ import annotations

import pytest

from image_gateway.protocol.formats import (
    HEAD_LENGTH,
    SNIFF_LENGTH,
    DiskFormat,
    detect_format,
    find_container_format,
)

VDI_TEXT = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(0x40, b"\0")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        pytest.param(b"QFI\xfb\x00\x00\x00\x03", "qcow2", id="qcow2"),
        pytest.param(b"KDMV\x01\x00\x00\x00", "VMDK", id="sparse VMDK"),
        pytest.param(b"# Disk DescriptorFile\nversion=1\n", "VMDK", id="VMDK descriptor"),
        pytest.param(b"vhdxfile", "VHDX", id="VHDX"),
        pytest.param(b"conectix\x00\x00\x00\x02", "dynamic VHD", id="dynamic VHD"),
        pytest.param(VDI_TEXT + b"\x7f\x10\xda\xbe", "VDI", id="VDI"),
        pytest.param(bytes(0x40) + b"\x7f\x10\xda\xbe", "VDI", id="VDI without its text"),
    ],
)
@pytest.mark.parametrize("padded", [True, False], ids=["whole sector", "short"])
def test_containers(head: bytes, name: str, padded: bool) -> None:
    assert find_container_format(head.ljust(SNIFF_LENGTH, b"\0") if padded else head) == name


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Q", id="one byte"),
        pytest.param(b"QFI", id="cut magic"),
        pytest.param(b"qfi\xfb", id="other case"),
        pytest.param(b"\0QFI\xfb", id="magic a byte later"),
        pytest.param(bytes(0x3F) + b"\x7f\x10\xda\xbe", id="VDI magic a byte early"),
        pytest.param(bytes(0x41) + b"\x7f\x10\xda\xbe", id="VDI magic a byte late"),
        pytest.param(VDI_TEXT + b"\x7f\x10\xda", id="cut VDI magic"),
        pytest.param(b"\xeb\x3c\x90MSDOS5.0".ljust(510, b"\0") + b"\x55\xaa", id="boot sector"),
        pytest.param(bytes(SNIFF_LENGTH), id="zeros"),
        pytest.param(b"conectix".rjust(SNIFF_LENGTH, b"\0"), id="footer of a fixed VHD"),
    ],
)
def test_raw_disks(head: bytes) -> None:
    assert find_container_format(head) is None


# As qemu-img writes it: cookie, features, version, no further header, time, creator.
VHD_FOOTER = (b"conectix\0\0\0\2\0\1\0\0" + b"\xff" * 8 + b"2\x98\xa5\x99qemu").ljust(512, b"\0")


@pytest.mark.parametrize(
    "disk", [bytes(4096), b"\xeb\x3c\x90MSDOS5.0".ljust(512, b"\0")], ids=["zeros", "boot"]
)
@pytest.mark.parametrize("footer", [VHD_FOOTER, VHD_FOOTER[:511]], ids=["512 bytes", "511 bytes"])
def test_a_fixed_vhd_is_told_by_its_footer(disk: bytes, footer: bytes) -> None:
    file = disk + footer
    assert find_container_format(file[:SNIFF_LENGTH], file[-SNIFF_LENGTH:]) == "fixed VHD"


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(VHD_FOOTER[:510].rjust(512, b"\0"), id="510 bytes before the end"),
        pytest.param(b"conectiX".ljust(512, b"\0"), id="other case"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_raw_disk_may_end_with_nearly_a_footer(tail: bytes) -> None:
    assert find_container_format(bytes(SNIFF_LENGTH), tail) is None


def test_a_dynamic_vhd_has_both_and_is_told_by_its_head() -> None:
    assert find_container_format(VHD_FOOTER, VHD_FOOTER) == "dynamic VHD"


ISO_HEAD = (bytes(32_768) + b"\x01CD001\x01").ljust(HEAD_LENGTH, b"\0")


@pytest.mark.parametrize(
    ("head", "tail", "expected"),
    [
        pytest.param(b"QFI\xfb", b"", DiskFormat.QCOW2, id="qcow2"),
        pytest.param(b"KDMV", b"", DiskFormat.VMDK, id="VMDK"),
        pytest.param(b"COWD", b"", DiskFormat.VMDK, id="ESX sparse VMDK"),
        pytest.param(b"vhdxfile", b"", DiskFormat.VHDX, id="VHDX"),
        pytest.param(VDI_TEXT + b"\x7f\x10\xda\xbe", b"", DiskFormat.VDI, id="VDI"),
        pytest.param(VHD_FOOTER, VHD_FOOTER, DiskFormat.VHD, id="dynamic VHD"),
        pytest.param(bytes(HEAD_LENGTH), VHD_FOOTER, DiskFormat.VHD, id="fixed VHD"),
        pytest.param(ISO_HEAD, VHD_FOOTER, DiskFormat.VHD, id="fixed VHD that holds an ISO"),
        pytest.param(ISO_HEAD, bytes(512), DiskFormat.ISO, id="ISO"),
        pytest.param(b"\xeb\x3c" + ISO_HEAD[2:], bytes(512), DiskFormat.ISO, id="ISO with boot code"),
        pytest.param(ISO_HEAD[:32_773], b"", DiskFormat.RAW, id="cut ISO"),
        pytest.param(ISO_HEAD[1:], b"", DiskFormat.RAW, id="ISO a byte early"),
        pytest.param(b"", b"", DiskFormat.RAW, id="empty"),
    ],
)
def test_formats(head: bytes, tail: bytes, expected: DiskFormat) -> None:
    assert detect_format(head, tail) is expected
