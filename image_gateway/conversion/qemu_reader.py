"""Reads disks whose format QEMU understands, through a qemu-nbd process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import NoReturn, TypeVar

from image_gateway.conversion.cached_object import CachedObject
from image_gateway.conversion.nbd_client import SECTOR, NbdClient, NbdReadError
from image_gateway.conversion.nbd_server import ObjectServer
from image_gateway.conversion.object_source import CountedObject, Extent
from image_gateway.conversion.qemu import QemuLimits, QemuProcess, connect, running_qemu
from image_gateway.conversion.raw_reader import check_range
from image_gateway.errors import ConversionError, ConverterUnavailable, InvalidImage
from image_gateway.nbd.wire import NbdError

_END_SECONDS = 5
T = TypeVar("T")


class ErrorTranslator:
    """Says what a failure of qemu-nbd means: the store's, the image's, or its own."""

    def __init__(self, server: ObjectServer, process: QemuProcess, limits: QemuLimits, size: int) -> None:
        self._server, self._process, self._limits, self._object_size = server, process, limits, size

    def translated(self, act: Callable[[], T]) -> T:
        """Do something with qemu-nbd; raises as `DiskReader.read`."""
        try:
            return act()
        except NbdReadError as error:
            self._raise_cause()
            raise InvalidImage(
                f"the image is damaged: QEMU cannot read bytes {error.start} to {error.end} of the disk"
            ) from error
        except TimeoutError as error:
            raise ConversionError(f"qemu-nbd sent nothing for {self._limits.stall_seconds:.0f} s") from error
        except (NbdError, OSError) as error:
            self.raise_ended(error)

    def raise_ended(self, error: Exception | None = None) -> NoReturn:
        """Raise why qemu-nbd closed its connection or never opened it."""
        self._raise_cause()
        status = self._process.wait_for_end(_END_SECONDS)
        if status is None:
            raise ConversionError("qemu-nbd broke the NBD protocol") from error
        if status < 0:
            raise ConversionError(f"qemu-nbd was ended by signal {-status}") from error
        if status == 0:
            raise ConversionError("qemu-nbd ended") from error
        messages = self._process.messages()
        if "disk.sock" in messages:
            raise ConverterUnavailable(f"qemu-nbd cannot use the temporary folder: {messages}") from error
        if "Unknown driver" in messages:
            raise ConversionError(f"this build of QEMU does not read the format: {messages}") from error
        raise InvalidImage(f"QEMU does not open the image: {messages}") from error

    def _raise_cause(self) -> None:
        """Raise the failure of the object, or that the object is too short, if that is what happened."""
        failure = self._server.take_failure()
        if failure is not None:
            raise failure
        end = self._server.read_beyond_end
        if end is not None:
            raise InvalidImage(
                f"the file is truncated: it ends at {self._object_size}, the image has data at {end}"
            )


class QemuReader:
    """A disk that qemu-nbd exports."""

    def __init__(self, source: CountedObject, client: NbdClient, errors: ErrorTranslator) -> None:
        self._source, self._client, self._errors = source, client, errors
        self._lock = threading.Lock()
        self.size = client.size

    @property
    def stored_bytes_read(self) -> int:
        return self._source.bytes_read

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """Yield data and zeros of the range, adjacent ones of a kind as one."""
        check_range(start, end, self.size)
        current: Extent | None = None
        blocks = self._client.block_status(*_whole_sectors(start, end))
        while (found := self._exclusively(lambda: next(blocks, None))) is not None:
            if current is None:
                current = found
            elif current.is_zero == found.is_zero:
                current = Extent(current.start, found.end, current.is_zero)
            else:
                yield _clipped(current, start, end)
                current = found
        if current is not None:
            yield _clipped(current, start, end)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`; raises as `DiskReader.read`."""
        check_range(start, end, self.size)
        first, last = _whole_sectors(start, end)
        data = self._exclusively(lambda: self._client.read(first, last))
        return data if (first, last) == (start, end) else data[start - first : end - first]

    def _exclusively(self, act: Callable[[], T]) -> T:
        with self._lock:
            return self._errors.translated(act)


@contextmanager
def open_with_qemu(
    source: CountedObject,
    driver: str,
    options: Mapping[str, object],
    limits: QemuLimits,
    *,
    virtual_size: int,
    served_size: int,
) -> Iterator[QemuReader]:
    """Run qemu-nbd over an object, and yield the disk.

    Args:
        virtual_size: The size of the disk in bytes, by its header.
        served_size: The size of the object in bytes that QEMU sees, see ObjectServer.
    """
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        server = stack.enter_context(ObjectServer(CachedObject(source), ours, served_size=served_size))
        process, path = stack.enter_context(running_qemu(driver, options, theirs, limits))
        theirs.close()
        errors = ErrorTranslator(server, process, limits, source.size)
        connection = connect(process, path, limits)
        if connection is None:
            errors.raise_ended()
        stack.enter_context(connection)
        client = stack.enter_context(closing(errors.translated(lambda: NbdClient(connection))))
        if client.size != virtual_size:
            raise InvalidImage(f"the image's header says {virtual_size} bytes, QEMU sees {client.size}")
        yield QemuReader(source, client, errors)


def _whole_sectors(start: int, end: int) -> tuple[int, int]:
    first = start // SECTOR * SECTOR
    return first, -(-end // SECTOR) * SECTOR if start < end else first


def _clipped(extent: Extent, start: int, end: int) -> Extent:
    return Extent(max(extent.start, start), min(extent.end, end), extent.is_zero)
