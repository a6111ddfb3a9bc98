"""Sources of a chunked image that are not HTTP: a prefix in a store, and a folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.protocol.layout import chunk_name
from image_gateway.protocol.manifest import MAX_MANIFEST_BYTES
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.verification import (
    ContentHeaders,
    Missing,
    Received,
    Unreadable,
    WrongAnswer,
)
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.objects import ObjectStore


class StoreSource:
    """A chunked image under a key prefix, which ends in a slash or is empty."""

    manifest_optional = False

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def read_manifest(self) -> Received:
        return self._read("manifest.json", MAX_MANIFEST_BYTES)

    def read_chunk(self, index: int, width: int, size: int) -> Received:
        return self._read(f"chunks/{chunk_name(index, width)}", size)

    def read_disk_range(self, start: int, stop: int) -> Received | None:
        try:
            return self._read("disk.img", stop - start, ByteRange(start, stop))
        except Missing:
            return None

    def _read(self, name: str, limit: int, byte_range: ByteRange | None = None) -> Received:
        """Return an object of at most `limit` bytes, or a range of one."""
        try:
            opened = self._store.open(f"{self._prefix}{name}", byte_range=byte_range, any_encoding=True)
            if byte_range is None and opened.info.size > limit:
                opened.body.close()
                raise WrongAnswer("size", f"has {opened.info.size} bytes, not {limit}")
            info = opened.info
            headers = ContentHeaders(info.content_type, info.content_encoding, info.cache_control)
            return Received(opened.body.read_all(), headers, info.size)
        except ObjectMissing:
            raise Missing from None
        except ObjectChanged:
            raise WrongAnswer("size", "is shorter than the range that was asked for") from None
        except BodyBroken:
            raise Unreadable("the store broke off in mid-body") from None
        except (StoreError, StoreUnavailable) as error:
            raise Unreadable(error.message) from None


class FolderSource:
    """A chunked image in a folder; files have no headers to check."""

    manifest_optional = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_manifest(self) -> Received:
        return self._read("manifest.json", 0, MAX_MANIFEST_BYTES + 1)

    def read_chunk(self, index: int, width: int, size: int) -> Received:
        return self._read(f"chunks/{chunk_name(index, width)}", 0, size + 1)

    def read_disk_range(self, start: int, stop: int) -> Received | None:
        try:
            return self._read("disk.img", start, stop - start)
        except Missing:
            return None

    def _read(self, name: str, start: int, length: int) -> Received:
        try:
            # Opening a FIFO or a device may otherwise wait for ever.
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise Unreadable("is not a regular file")
                file.seek(start)
                return Received(file.read(length), None, status.st_size)
        except FileNotFoundError:
            raise Missing from None
        except OSError as error:
            raise Unreadable(error.strerror or type(error).__name__) from None
