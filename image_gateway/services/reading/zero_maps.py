"""Zero regions of disks, which are answered without the store: loads, caches and writes their maps.

That is safe although the store is not asked: a map belongs to one version of an image. It was made of the
bytes whose ETag the catalog has, lies under a key with that version, and no disk that is complete is ever
written again. If somebody replaces the object in the store all the same, zero ranges are still those of the
catalog's version and carry its validators, as blocks of the block cache do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cachetools import LRUCache, TTLCache

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageRecord
from image_gateway.errors import GatewayError, StoreFact
from image_gateway.observability.metrics import ZERO_BYTES, ZERO_READS
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.zero_map import MAX_OBJECT_BYTES, ZeroMap, ZeroMapError, make_zero_map
from image_gateway.storage.body import BLOCK_SIZE, BodyBroken
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
# Of bitmaps, in each process: eighty of 100 GB.
CACHE_BYTES = 16 * 1024 * 1024
RETRY_SECONDS = 60.0
_MAX_FAILURES = 4096
_ZEROS = bytes(BLOCK_SIZE)


@dataclass(frozen=True)
class ZeroMapRef:
    """The map object of a disk, and the offset of a representation within that disk; sizes in bytes."""

    key: str
    object_size: int
    disk_size: int
    offset: int = 0


class ZeroMaps:
    """Caches maps of the store; thread-safe.

    A map is loaded by the first reader that needs it, by one store call with the store's timeouts and
    retries. Readers that come meanwhile do not wait for it, but read from the store. A map that cannot be
    loaded is logged and tried again after a minute; until then nothing is known to be zero.
    """

    def __init__(self, store: ObjectStore, timer: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._maps: LRUCache[tuple[str, int], ZeroMap] = LRUCache(CACHE_BYTES, getsizeof=len)
        self._loading: set[tuple[str, int]] = set()
        self._failed: TTLCache[tuple[str, int], bool] = TTLCache(_MAX_FAILURES, RETRY_SECONDS, timer=timer)

    def is_zero(self, ref: ZeroMapRef, wanted: ByteRange) -> bool:
        """Return whether the range of a representation is known to hold only zeros; never raises."""
        zero_map = self._find(ref)
        return zero_map is not None and zero_map.is_zero(ref.offset + wanted.start, ref.offset + wanted.stop)

    def _find(self, ref: ZeroMapRef) -> ZeroMap | None:
        name = (ref.key, ref.object_size)
        with self._lock:
            found = self._maps.get(name)
            if found is not None or name in self._loading or name in self._failed:
                return found
            self._loading.add(name)
        try:
            found = self._load(ref)
        finally:
            with self._lock:
                self._loading.discard(name)
                if found is None:
                    self._failed[name] = True
                else:
                    self._maps[name] = found
        return found

    def _load(self, ref: ZeroMapRef) -> ZeroMap | None:
        try:
            zero_map = ZeroMap.from_bytes(self._read(ref))
            if zero_map.size != ref.disk_size:
                raise ZeroMapError("it is of a disk of another size")
        except (GatewayError, StoreFact, BodyBroken, ZeroMapError) as error:
            _log.warning(
                "the zero map %s cannot be used, trying again in %d seconds: %s: %s",
                ref.key,
                RETRY_SECONDS,
                type(error).__name__,
                error,
            )
            return None
        return zero_map

    def _read(self, ref: ZeroMapRef) -> bytes:
        if ref.object_size > MAX_OBJECT_BYTES:
            raise ZeroMapError("it is too large")
        opened = self._store.open(ref.key)
        if opened.info.size != ref.object_size:
            opened.body.close()
            raise ZeroMapError("its object does not have the size that the catalog has")
        return opened.body.read_all()


class ZeroBody:
    """Iterates over `length` zeros in blocks of at most 256 KiB."""

    # The zeros are in memory: there is no file that the server could send by itself.
    file: BinaryIO | None = None

    def __init__(self, length: int) -> None:
        self._left = length
        ZERO_READS.inc()

    def begin(self) -> None:
        """Do nothing: the first block is at hand."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        block = _ZEROS[: self._left]
        self._left -= len(block)
        ZERO_BYTES.inc(len(block))
        return block

    def close(self) -> None:
        """End the body; may be called again."""
        self._left = 0


def write_zero_map(
    store: ObjectStore,
    catalog: Catalog,
    record: ImageRecord,
    size: int,
    zero_ranges: Iterable[tuple[int, int]],
) -> bool:
    """Write the map of a disk of `size` bytes and record it in the catalog.

    To be called while a writer of the image is registered, so that the object goes with a deleted image.

    Args:
        store: Where the disk is.
        catalog: Where the image is recorded.
        record: The image.
        size: Of the disk, at least 1.
        zero_ranges: (start, stop), stop excluded, that hold only zeros, in any order.

    Returns:
        False if the image was deleted meanwhile.

    Raises:
        ValueError: A range is not within the disk.
        StoreError: As `ObjectStore.put`, and StoreUnavailable.
    """
    return put_zero_map(store, catalog, record, make_zero_map(size, zero_ranges))


def put_zero_map(store: ObjectStore, catalog: Catalog, record: ImageRecord, zero_map: ZeroMap) -> bool:
    """As `write_zero_map`, for a map that exists. A disk without zero blocks needs no object."""
    if not zero_map.has_zeros:
        return record.zero_map_bytes is None or catalog.set_zero_map(record.image_id, record.version, None)
    data = zero_map.to_bytes()
    store.put(
        record.location.zero_map_key, data, content_type="application/octet-stream", cache_control="no-store"
    )
    return catalog.set_zero_map(record.image_id, record.version, len(data))
