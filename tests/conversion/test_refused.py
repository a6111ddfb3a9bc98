"""Images that need other files, lie about their size or are damaged are refused without QEMU."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from image_gateway.conversion import disk_reader
from image_gateway.conversion.disk_reader import open_disk
from image_gateway.errors import ConversionError, InvalidImage, UnsupportedImage
from image_gateway.protocol.formats import DiskFormat
from tests.support.disk_images import FOOTER_KIND, DiskImage, MemoryObject, make_iso, run_qemu_img

Change = Callable[[bytearray], None]


def put(at: int, layout: str, value: int) -> Change:
    """A change of one number of a file."""
    return lambda data: struct.pack_into(layout, data, at, value)


def replace(old: bytes, new: bytes) -> Change:
    def change(data: bytearray) -> None:
        assert len(old) == len(new)
        assert old in data
        data[:] = data.replace(old, new, 1)

    return change


def vhd(at: int, layout: str, value: int) -> Change:
    """A change of a VHD's footers, with valid checksums."""

    def change(data: bytearray) -> None:
        for start in {0, len(data) - 512} if data.startswith(b"conectix") else {len(data) - 512}:
            footer = data[start : start + 512]
            struct.pack_into(layout, footer, at, value)
            struct.pack_into(">I", footer, 64, 0)
            struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
            data[start : start + 512] = footer

    return change


def cut(length: int) -> Change:
    def change(data: bytearray) -> None:
        del data[length:]

    return change


def vhdx_item(identity: str, layout: str, value: int) -> Change:
    """A change of the value of a metadata item of a VHDX made by QEMU, or of its flags."""

    def change(data: bytearray) -> None:
        entry = data.index(bytes.fromhex(identity), 1024 * 1024)
        (offset,) = struct.unpack_from("<I", data, entry + 16)
        table = data.rindex(b"metadata", 0, entry)
        struct.pack_into(layout, data, table + offset, value)

    return change


PARAMETERS = "3767a1ca36fa434db3b633f0aa44e76b"
SIZE = "2442a52f1bcd7648b2115dbed83bf4b8"
LOGICAL_SECTOR = "1dbf41816fa90947ba47f233a8faab5f"
PARENT_LOCATOR = "2d5fd3a80bb34d45abf7d3d84834ab0c"

UNSUPPORTED = {
    "qcow2 version 1": ("qcow2", put(4, ">I", 1), "version 1"),
    "qcow2 version 4": ("qcow2", put(4, ">I", 4), "version 4"),
    "qcow2 with the place of a backing file": ("qcow2", put(8, ">Q", 112), "backing file"),
    "qcow2 with the length of a backing file": ("qcow2", put(16, ">I", 11), "backing file"),
    "encrypted qcow2": ("qcow2", put(32, ">I", 2), "encrypted"),
    "qcow2 with external data": ("qcow2", put(72, ">Q", 4), "another file"),
    "qcow2 with an unknown feature": ("qcow2", put(72, ">Q", 1 << 40), "0x10000000000"),
    "qcow2 of 8 EiB": ("qcow2", put(24, ">Q", 1 << 63), "9223372036854775808 bytes"),
    "qcow2 of 8 EiB in 1 KB": (
        "qcow2",
        lambda data: (put(24, ">Q", 1 << 63)(data), cut(1024)(data)),
        "are allowed",
    ),
    "qcow2 of half a sector": ("qcow2", put(24, ">Q", 1000), "multiple"),
    "differencing VHD": ("VHD dynamic", vhd(60, ">I", 4), "differencing"),
    "VHD of an unknown type": ("VHD dynamic", vhd(60, ">I", 5), "type 5"),
    "VHD of 8 EiB": ("VHD dynamic", vhd(48, ">Q", 1 << 63), "are allowed"),
    "VHDX with a parent": (
        "VHDX dynamic",
        vhdx_item(PARAMETERS, "<Q", (2 << 32) | (8 << 20)),
        "differencing",
    ),
    "VHDX with a parent locator": (
        "VHDX dynamic",
        replace(bytes.fromhex(LOGICAL_SECTOR), bytes.fromhex(PARENT_LOCATOR)),
        "differencing",
    ),
    "VHDX of 8 EiB": ("VHDX dynamic", vhdx_item(SIZE, "<Q", 1 << 63), "are allowed"),
    "differencing VDI": ("VDI dynamic", put(0x4C, "<I", 4), "differencing"),
    "VDI with the UUID of a parent": ("VDI dynamic", put(0x1B8, "<I", 7), "differencing"),
    "VDI version 2": ("VDI dynamic", put(0x44, "<I", 0x20000), "version 2.0"),
    "VDI of 8 EiB": ("VDI dynamic", put(0x170, "<Q", 1 << 63), "are allowed"),
    "VDI of large blocks": ("VDI dynamic", put(0x178, "<I", 2 << 20), "1 MiB"),
    "VMDK version 9": ("VMDK sparse", put(4, "<I", 9), "version 9"),
    "VMDK of 8 EiB": ("VMDK sparse", put(12, "<Q", 1 << 54), "are allowed"),
    "VMDK without a descriptor": ("VMDK sparse", put(28, "<Q", 0), "one of several files"),
    "VMDK with a parent": ("VMDK sparse", replace(b"parentCID=ffffffff", b"parentCID=12345678"), "parent"),
    "VMDK with a parent's name": (
        "VMDK sparse",
        replace(b"# The Disk Data Base", b"parentFileNameHint=/"),
        "parent",
    ),
    "VMDK of another kind": (
        "VMDK sparse",
        replace(b'"monolithicSparse"', b'"monolithicFlat"  '),
        "createType",
    ),
    "VMDK with a flat extent": ("VMDK sparse", replace(b' SPARSE "', b' FLAT  "/'), "names other files"),
    "VMDK with two extents": (
        "VMDK sparse",
        replace(b"# The Disk Data Base", b'RW 1 FLAT "/etc/a" 0'),
        "names other files",
    ),
}
INVALID = {
    "not a qcow2": ("qcow2", put(0, ">I", 0), "does not begin"),
    "qcow2 of nothing": ("qcow2", put(24, ">Q", 0), "0 bytes"),
    "qcow2 of tiny clusters": ("qcow2", put(20, ">I", 8), "2\\^8"),
    "qcow2 of huge clusters": ("qcow2", put(20, ">I", 63), "2\\^63"),
    "qcow2 with a huge L1 table": ("qcow2", put(36, ">I", 0x7FFFFFFF), "L1 table"),
    "qcow2 with no L1 table": ("qcow2", put(36, ">I", 0), "L1 table"),
    "qcow2 whose L1 table is its header": ("qcow2", put(40, ">Q", 0), "L1 table"),
    "qcow2 whose L1 table is unaligned": ("qcow2", put(40, ">Q", 0x30008), "L1 table"),
    "qcow2 whose L1 table is far": ("qcow2", put(40, ">Q", 1 << 40), "truncated"),
    "qcow2 with a short header": ("qcow2", put(100, ">I", 96), "length"),
    "qcow2 with a long header": ("qcow2", put(100, ">I", 1 << 31), "length"),
    "corrupt qcow2": ("qcow2", put(72, ">Q", 2), "corrupt"),
    "VHD with a wrong checksum": (
        "VHD dynamic",
        lambda data: put(len(data) - 400, ">I", 7)(data),
        "checksum",
    ),
    "VHD of nothing": ("VHD fixed", vhd(48, ">Q", 0), "0 bytes"),
    "fixed VHD with more than it has": ("VHD fixed", vhd(48, ">Q", 1 << 30), "truncated"),
    "VHD whose header is far": ("VHD dynamic", vhd(16, ">Q", 1 << 40), "truncated"),
    "VHD whose header is elsewhere": ("VHD dynamic", vhd(16, ">Q", 4096), "damaged"),
    "VHD with too few blocks": ("VHD dynamic", vhd(48, ">Q", 1 << 40), "too small"),
    "VHD whose footers differ": ("VHD dynamic", put(100, ">I", 7), "differ"),
    "VHDX without its signature": ("VHDX dynamic", put(0, ">I", 0), "does not begin"),
    "VHDX without regions": ("VHDX dynamic", put(192 * 1024, ">I", 0), "region table"),
    "VHDX with many regions": ("VHDX dynamic", put(192 * 1024 + 8, "<I", 1 << 31), "region table"),
    "VHDX with too few regions": ("VHDX dynamic", put(192 * 1024 + 8, "<I", 1), "lacks a region"),
    "VHDX whose regions are far": ("VHDX dynamic", put(192 * 1024 + 32, "<Q", 1 << 40), "truncated"),
    "VHDX of nothing": ("VHDX dynamic", vhdx_item(SIZE, "<Q", 0), "0 bytes"),
    "VHDX with too few blocks": ("VHDX dynamic", vhdx_item(SIZE, "<Q", 1 << 42), "too small"),
    "VHDX of odd blocks": ("VHDX dynamic", vhdx_item(PARAMETERS, "<I", 3 << 20), "blocks"),
    "not a VDI": ("VDI dynamic", put(0x40, "<I", 0), "signature"),
    "VDI of an unknown type": ("VDI dynamic", put(0x4C, "<I", 9), "type 9"),
    "VDI of nothing": ("VDI dynamic", put(0x170, "<Q", 0), "0 bytes"),
    "VDI with too few blocks": ("VDI dynamic", put(0x170, "<Q", 1 << 40), "too small"),
    "VDI whose map is far": ("VDI dynamic", put(0x154, "<I", 0xFFFFFFFF), "truncated"),
    "not a VMDK": ("VMDK sparse", put(0, ">I", 0), "does not begin"),
    "VMDK of nothing": ("VMDK sparse", put(12, "<Q", 0), "0 bytes"),
    "VMDK of odd grains": ("VMDK sparse", put(20, "<Q", 5), "grains"),
    "VMDK with huge tables": ("VMDK sparse", put(44, "<I", 1 << 30), "entries"),
    "VMDK with a huge descriptor": ("VMDK sparse", put(36, "<Q", 1 << 40), "descriptor"),
    "VMDK whose descriptor is far": ("VMDK sparse", put(28, "<Q", 1 << 40), "truncated"),
    "VMDK whose directory is far": ("VMDK sparse", put(48, "<Q", 1 << 40), "truncated"),
    "VMDK of another size than its footer": (FOOTER_KIND, put(12, "<Q", 1 << 20), "footer differs"),
    "VMDK without its footer": (FOOTER_KIND, lambda data: data.extend(bytes(512)), "footer"),
}


@pytest.fixture
def without_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("QEMU was started")

    monkeypatch.setattr(disk_reader, "open_with_qemu", refuse)


def refusal(data: bytes, kind: DiskFormat) -> ConversionError:
    with pytest.raises(ConversionError) as raised, open_disk(MemoryObject(data), kind):
        pass
    return raised.value


def changed(image: DiskImage, change: Change) -> bytes:
    data = bytearray(image.data)
    change(data)
    return bytes(data)


@pytest.mark.usefixtures("without_qemu")
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name: str, images: dict[str, DiskImage]) -> None:
    kind, change, message = UNSUPPORTED[name]
    error = refusal(changed(images[kind], change), images[kind].format)
    assert (type(error), error.code) == (UnsupportedImage, "UNSUPPORTED_IMAGE")
    assert message in error.message


@pytest.mark.usefixtures("without_qemu")
@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str, images: dict[str, DiskImage]) -> None:
    kind, change, message = INVALID[name]
    error = refusal(changed(images[kind], change), images[kind].format)
    assert (type(error), error.code) == (InvalidImage, "INVALID_IMAGE")
    assert message.replace("\\", "") in error.message


@pytest.mark.usefixtures("without_qemu", "qemu")
@pytest.mark.parametrize(
    "options",
    [
        ["-u", "-b", "/etc/passwd", "-F", "raw"],
        ["-u", "-b", "http://127.0.0.1/", "-F", "raw"],
        ["-u", "-b", 'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}', "-F", "raw"],
        ["-o", "data_file=data.raw"],
        ["--object", "secret,id=key,data=k", "-o", "encrypt.format=aes,encrypt.key-secret=key"],
    ],
    ids=["a file", "a URL", "json", "external data", "encrypted"],
)
def test_qcow2_that_needs_more_than_itself(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_qemu_img("create", "-f", "qcow2", *options, "image.qcow2", "1M")
    assert isinstance(refusal(Path("image.qcow2").read_bytes(), DiskFormat.QCOW2), UnsupportedImage)


@pytest.mark.usefixtures("without_qemu")
@pytest.mark.parametrize("head", [b'# Disk DescriptorFile\nRW 8 FLAT "/etc/passwd" 0\n', b"COWD"])
def test_vmdk_that_is_no_single_file(head: bytes) -> None:
    assert isinstance(refusal(head.ljust(2000, b"\n"), DiskFormat.VMDK), UnsupportedImage)


@pytest.mark.usefixtures("without_qemu")
@pytest.mark.parametrize("kind", [kind for kind in DiskFormat if kind is not DiskFormat.RAW])
@pytest.mark.parametrize("length", [1, 7, 511, 512, 4096, 100_000])
def test_zeros_are_of_no_format(kind: DiskFormat, length: int) -> None:
    assert isinstance(refusal(bytes(length), kind), InvalidImage)


@pytest.mark.usefixtures("without_qemu")
@pytest.mark.parametrize("kind", list(DiskFormat))
def test_an_empty_object(kind: DiskFormat) -> None:
    assert isinstance(refusal(b"", kind), InvalidImage)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_iso(declared=41), "truncated"),
        (make_iso(declared=0), "0 blocks"),
        (make_iso()[:33_000], "truncated"),
        (make_iso().replace(b"\x01CD001\x01", b"\x02CD001\x01"), "no primary"),
        (make_iso().replace(b"\x01CD001\x01", b"\x01CD001\x02"), "no primary"),
        (
            make_iso().replace(struct.pack("<H", 2048) + struct.pack(">H", 2048), b"\x01\x00\x00\x01"),
            "1 bytes",
        ),
    ],
)
def test_iso(data: bytes, message: str) -> None:
    error = refusal(data, DiskFormat.ISO)
    assert isinstance(error, InvalidImage)
    assert message in error.message


@pytest.mark.usefixtures("without_qemu")
@pytest.mark.parametrize(
    "kind", ["qcow2", "VHD fixed", "VHD dynamic", "VHDX dynamic", "VMDK sparse", "VDI dynamic"]
)
def test_a_disk_above_the_limit(kind: str, images: dict[str, DiskImage]) -> None:
    source = MemoryObject(images[kind].data)
    limit = 64 * 1024 * 1024 - 1
    with (
        pytest.raises(UnsupportedImage, match=f"{limit} are allowed"),
        open_disk(source, images[kind].format, max_size=limit),
    ):
        pass


@pytest.mark.parametrize("kind", [DiskFormat.RAW, DiskFormat.ISO])
def test_a_file_above_the_limit(kind: DiskFormat) -> None:
    with (
        pytest.raises(UnsupportedImage, match="1000 are allowed"),
        open_disk(MemoryObject(make_iso()), kind, max_size=1000),
    ):
        pass
