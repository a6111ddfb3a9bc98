"""What fails around QEMU reaches the reader as what it is: the store's own error, or QEMU's end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from image_gateway.conversion import qemu
from image_gateway.conversion.disk_reader import DiskReader, QemuLimits, open_disk
from image_gateway.errors import (
    ConversionError,
    ConverterUnavailable,
    GatewayError,
    InvalidImage,
    StoreUnavailable,
)
from image_gateway.protocol.formats import DiskFormat
from tests.conversion.conftest import running_children
from tests.support.disk_images import DISK_SIZE, MIB, DiskImage, MemoryObject, read_disk

pytestmark = pytest.mark.thorough

QEMU_KINDS = [
    "qcow2",
    "qcow2 zstd",
    "VHD dynamic",
    "VHDX dynamic",
    "VMDK sparse",
    "VMDK stream",
    "VDI dynamic",
]


def fail_from(number: int, error: BaseException) -> Callable[[int], None]:
    def before_read(read: int) -> None:
        if read >= number:
            raise error

    return before_read


@pytest.mark.parametrize("kind", QEMU_KINDS)
@pytest.mark.parametrize("number", [1, 3, 4, 5, 7])
def test_the_stores_error_is_raised_as_it_is(kind: str, number: int, images: dict[str, DiskImage]) -> None:
    error = StoreUnavailable("the store does not answer")
    source = MemoryObject(images[kind].data, fail_from(number, error))
    with pytest.raises(GatewayError) as raised, open_disk(source, images[kind].format) as reader:
        read_disk(reader)
    assert raised.value is error


@pytest.mark.parametrize("kind", QEMU_KINDS)
def test_a_read_can_be_tried_again(kind: str, images: dict[str, DiskImage], disk: Path) -> None:
    source = MemoryObject(images[kind].data)
    with open_disk(source, images[kind].format) as reader:
        source.before_read = fail_from(0, StoreUnavailable("the store does not answer"))
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                reader.read(10 * MIB, 13 * MIB)
        source.before_read = lambda _: None
        assert read_disk(reader)[:DISK_SIZE] == disk.read_bytes()


def test_any_other_error_of_the_source(images: dict[str, DiskImage]) -> None:
    source = MemoryObject(images["qcow2"].data)
    with open_disk(source, DiskFormat.QCOW2) as reader:
        source.before_read = fail_from(0, KeyError("a bug"))
        with pytest.raises(KeyError, match="a bug"):
            reader.read(10 * MIB, 11 * MIB)


class ShortObject(MemoryObject):
    def read(self, start: int, end: int) -> bytes:
        return super().read(start, end)[:-1]


@pytest.mark.parametrize("kind", list(DiskFormat))
def test_a_source_that_returns_too_little(kind: DiskFormat) -> None:
    with (
        pytest.raises(ConversionError, match="the store returned"),
        open_disk(ShortObject(bytes(40_000)), kind) as reader,
    ):
        reader.read(0, 100)


def qemu_of(reader: DiskReader) -> int:
    """The process that exports the disk."""
    assert reader.size
    (pid,) = (pid for pid in running_children() if "qemu-nbd" in Path(f"/proc/{pid}/comm").read_text())
    return pid


def test_qemu_is_killed_from_outside(images: dict[str, DiskImage]) -> None:
    with open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2) as reader:
        os.kill(qemu_of(reader), signal.SIGKILL)
        with pytest.raises(ConversionError, match="signal 9"):
            read_disk(reader)


def test_qemu_that_does_nothing(images: dict[str, DiskImage]) -> None:
    limits = QemuLimits(stall_seconds=0.5)
    with open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2, limits) as reader:
        os.kill(qemu_of(reader), signal.SIGSTOP)
        with pytest.raises(ConversionError, match="sent nothing for"):
            read_disk(reader)


@pytest.mark.parametrize("number", [4, 7], ids=["while opening", "while reading"])
def test_a_store_that_does_nothing(number: int, images: dict[str, DiskImage]) -> None:
    answered = threading.Event()

    def before_read(read: int) -> None:
        if read >= number:
            answered.wait(30)

    source = MemoryObject(images["qcow2"].data, before_read)
    try:
        with (
            pytest.raises(ConversionError, match=r"did not open|sent nothing"),
            open_disk(source, DiskFormat.QCOW2, QemuLimits(stall_seconds=0.5)) as reader,
        ):
            read_disk(reader)
    finally:
        answered.set()


def test_qemu_with_too_little_memory(images: dict[str, DiskImage]) -> None:
    limits = QemuLimits(address_space_bytes=8 * MIB)
    with (
        pytest.raises(ConversionError),
        open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2, limits),
    ):
        pass


@pytest.mark.parametrize("program", ["qemu-nbd", "setpriv"])
def test_a_program_is_missing(
    program: str, images: dict[str, DiskImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    which = qemu.shutil.which
    monkeypatch.setattr(
        qemu.shutil, "which", lambda name, path: None if name == program else which(name, path=path)
    )
    package = {"qemu-nbd": "qemu-utils", "setpriv": "util-linux"}[program]
    with (
        pytest.raises(ConverterUnavailable, match=f"install the package {package}"),
        open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2),
    ):
        pass


def test_raw_disks_need_no_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu.shutil, "which", lambda name, path: None)
    with open_disk(MemoryObject(b"raw"), DiskFormat.RAW) as reader:
        assert reader.read(0, 3) == b"raw"


def test_a_temporary_folder_with_a_long_path(
    images: dict[str, DiskImage], nothing_is_left_behind: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = nothing_is_left_behind / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(qemu.tempfile, "tempdir", str(folder))
    with (
        pytest.raises(ConverterUnavailable, match="too long"),
        open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2),
    ):
        pass
    folder.rmdir()


def test_a_temporary_folder_that_others_may_not_enter(
    images: dict[str, DiskImage], nothing_is_left_behind: Path
) -> None:
    """QEMU is another user if this process is root's, and otherwise enters it like this process."""
    nothing_is_left_behind.chmod(0o700)
    with ExitStack() as stack:
        if os.geteuid() == 0:
            stack.enter_context(pytest.raises(ConverterUnavailable, match="temporary folder"))
        reader = stack.enter_context(open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2))
        assert reader.size == DISK_SIZE


def test_qemus_message_is_passed_on(images: dict[str, DiskImage]) -> None:
    data = bytearray(images["VHDX dynamic"].data)
    for header in (64 * 1024, 128 * 1024):
        data[header : header + 4] = b"none"
    with (
        pytest.raises(InvalidImage, match="QEMU does not open the image") as raised,
        open_disk(MemoryObject(bytes(data)), DiskFormat.VHDX),
    ):
        pass
    assert "json" not in raised.value.message
    assert "sock" not in raised.value.message
