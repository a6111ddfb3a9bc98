"""A delta as a disk that is read and written, with what was not committed in memory."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import NamedTuple

from cachetools import LRUCache

from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.calls import Commit, StaleGeneration
from image_gateway.client.deltas.dirty import DirtyBlocks, blocks_within
from image_gateway.client.deltas.session import WriteSession
from image_gateway.client.retry import Retrier
from image_gateway.protocol.deltas.segment import MAX_BLOCK_SIZE, count_blocks, encode_segment

# Of a segment's 8 MiB; the rest is for its table.
MAX_DIRTY_BYTES = 4 * 1024 * 1024
# Together with MAX_DIRTY_BYTES of 512-byte blocks, each of which may split a run: below 65,536 extents.
MAX_ZERO_RUNS = 16_384
CACHE_BYTES = 32 * 1024 * 1024
# Reads from the gateway begin and end at multiples of it: a guest's neighbouring reads need one request.
READ_ALIGNMENT = MAX_BLOCK_SIZE
PATIENCE_SECONDS = 60.0


class _Pending(NamedTuple):
    """Blocks that are being committed; the commit is repeated as it is until it is answered."""

    blocks: DirtyBlocks
    commit: Commit


class DeltaDisk:
    """A delta that is read and written like a disk, by its only writer; thread-safe.

    Opening it makes this process the writer: the writer before it is fenced. Writes stay in memory until
    `flush` commits them, or until a write finds no room below `dirty_limit`. A commit holds all that was
    written before it, so every generation is a state that the disk once had. A write is stored wholly or not
    at all, unless it is larger than `dirty_limit`: then it takes several commits.

    Args:
        client: Client of a user who may write the delta.
        delta_id: The delta.
        retrier: Bounds the retries of each request; by default it tries for a minute.
        dirty_limit: Bytes of data that are committed at once, from 64 KiB to 4 MiB. While a commit waits for
            its answer, so much again may be written.
        cache_bytes: Memory for blocks that were read.

    Raises:
        ApiError: The delta cannot be written by this user, or the gateway does not answer.
    """

    def __init__(
        self,
        client: GatewayClient,
        delta_id: str,
        *,
        retrier: Retrier | None = None,
        dirty_limit: int = MAX_DIRTY_BYTES,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if not MAX_BLOCK_SIZE <= dirty_limit <= MAX_DIRTY_BYTES:
            raise ValueError(f"dirty_limit must be {MAX_BLOCK_SIZE} to {MAX_DIRTY_BYTES}, not {dirty_limit}")
        self._session = WriteSession(client, delta_id, retrier or Retrier(PATIENCE_SECONDS))
        self.size, self.block_size = self._session.size, self._session.block_size
        self._room_blocks = dirty_limit // self.block_size
        self._blocks = count_blocks(self.size, self.block_size)
        # They are taken in this order. The state is what follows them.
        self._write_lock, self._commit_lock, self._state_lock = (threading.Lock() for _ in range(3))
        self._generation = self._session.generation
        self._dirty = DirtyBlocks(self.block_size)
        self._pending: _Pending | None = None
        self._clean: LRUCache[int, bytes] = LRUCache(max(cache_bytes, MAX_BLOCK_SIZE), len)

    def __enter__(self) -> DeltaDisk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def generation(self) -> int:
        """The generation of the last commit."""
        return self._generation

    @property
    def unsafe_bytes(self) -> int:
        """At most so many bytes were written and not committed; they are lost if this process ends."""
        with self._state_lock:
            pending = self._pending.blocks.written_bytes if self._pending else 0
            return self._dirty.written_bytes + pending

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, as they were written last.

        Raises:
            ValueError: The range is not within the disk.
            Fenced: Another writer has taken over.
            ApiError: The bytes could not be read.
        """
        self._check_range(offset, length)
        self._session.check()
        if not length:
            return b""
        first, stop = offset // self.block_size, count_blocks(offset + length, self.block_size)
        start = offset - first * self.block_size
        return b"".join(self._read_blocks(first, stop))[start : start + length]

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` at `offset`. It is stored for good only when `flush` has returned.

        Raises:
            ValueError: The range is not within the disk.
            Fenced: Another writer has taken over.
            ApiError: A block could not be read to change a part of it, or the memory for writes is full and
                committing it failed. Parts of `data` may have been written.
        """
        self._check_range(offset, len(data))
        with self._write_lock:
            self._session.check()
            self._write(offset, memoryview(data))

    def zero(self, offset: int, length: int) -> None:
        """Write zeros, which are stored without data; raises the errors of `write`."""
        self._check_range(offset, length)
        end = offset + length
        first, stop = count_blocks(offset, self.block_size), end // self.block_size
        if end == self.size:
            stop = self._blocks
        with self._write_lock:
            self._session.check()
            if first >= stop:
                self._write(offset, memoryview(bytes(length)))
                return
            self._write(offset, memoryview(bytes(first * self.block_size - offset)))
            self._zero_blocks(first, stop)
            self._write(stop * self.block_size, memoryview(bytes(max(0, end - stop * self.block_size))))

    def flush(self) -> None:
        """Return when all that was written before the call is committed.

        After an error the writes stay in memory, and the next call sends the same commit again.

        Raises:
            Fenced: Another writer has taken over; what was not committed is not stored.
            ApiError: The commit was rejected, or the time for retries is over.
        """
        with self._commit_lock:
            self._session.check()
            self._settle()
            with self._state_lock:
                if self._dirty:
                    segment = encode_segment(self.block_size, self._dirty.extents())
                    self._pending = _Pending(self._dirty, Commit(segment, self._generation))
                    self._dirty = DirtyBlocks(self.block_size)
            self._settle()

    def close(self) -> None:
        """Commit what was written and end the session; after an error it can be called again."""
        if self.unsafe_bytes:
            self.flush()
        self._session.end()

    def _check_range(self, offset: int, length: int) -> None:
        if not (0 <= offset <= offset + length <= self.size):
            raise ValueError(f"{length} bytes from {offset} on are not within the disk of {self.size} bytes")

    def _settle(self) -> None:
        """Send the pending commit until it is answered; the caller holds the commit lock."""
        if self._pending is None:
            return
        blocks, commit = self._pending
        generation = self._session.commit(commit)
        with self._state_lock:
            self._generation, self._pending = generation, None
            for block, data in blocks.data.items():
                if self._dirty.get(block) is None:
                    self._clean[block] = data

    def _write(self, offset: int, data: memoryview) -> None:
        while data:
            first, stop = offset // self.block_size, count_blocks(offset + len(data), self.block_size)
            stop = min(stop, first + self._room_blocks)
            self._make_room(stop - first)
            length = min(len(data), stop * self.block_size - offset)
            self._put(offset, data[:length])
            offset, data = offset + length, data[length:]

    def _make_room(self, blocks: int) -> None:
        """Commit if so many blocks more may not be kept; the caller holds the write lock."""
        if len(self._dirty.data) + blocks > self._room_blocks or self._dirty.zero_runs >= MAX_ZERO_RUNS:
            self.flush()

    def _put(self, offset: int, data: memoryview) -> None:
        first, stop = offset // self.block_size, count_blocks(offset + len(data), self.block_size)
        start, end = first * self.block_size, stop * self.block_size
        missing = end - offset - len(data)
        head = self._read_blocks(first, first + 1)[0][: offset - start] if offset > start else b""
        if offset + len(data) == self.size:
            tail = bytes(missing)
        else:
            tail = self._read_blocks(stop - 1, stop)[0][self.block_size - missing :] if missing else b""
        whole = memoryview(b"".join((head, data, tail)))
        with self._state_lock:
            for block in range(first, stop):
                at = (block - first) * self.block_size
                self._dirty.put(block, bytes(whole[at : at + self.block_size]))

    def _zero_blocks(self, first: int, stop: int) -> None:
        self._make_room(0)
        with self._state_lock:
            self._dirty.zero(first, stop)
            for block in blocks_within(self._clean.keys(), first, stop):
                del self._clean[block]

    def _read_blocks(self, first: int, stop: int) -> list[bytes]:
        try:
            return self._read_pinned(first, stop)
        except StaleGeneration:
            # Either a commit of this writer came between, or somebody else wrote.
            with self._commit_lock:
                self._settle()
                try:
                    return self._read_pinned(first, stop)
                except StaleGeneration:
                    raise self._session.fence("the delta was changed by somebody else") from None

    def _read_pinned(self, first: int, stop: int) -> list[bytes]:
        """Return blocks of one generation with what was written since; may raise StaleGeneration."""
        with self._state_lock:
            generation = self._generation
            found = {block: self._held(block) for block in range(first, stop)}
        missing = [block for block, data in found.items() if data is None]
        if missing:
            fetched = self._fetch(missing[0], missing[-1] + 1, generation)
            found |= {block: fetched[block] for block in missing}
        return [data for data in found.values() if data is not None]

    def _held(self, block: int) -> bytes | None:
        written = self._written(block)
        return self._clean.get(block) if written is None else written

    def _written(self, block: int) -> bytes | None:
        data = self._dirty.get(block)
        return self._pending.blocks.get(block) if data is None and self._pending else data

    def _fetch(self, first: int, stop: int, generation: int) -> dict[int, bytes]:
        """Return blocks as the gateway has them at a generation, and keep them in memory."""
        start = first * self.block_size // READ_ALIGNMENT * READ_ALIGNMENT
        end = min(self.size, count_blocks(stop * self.block_size, READ_ALIGNMENT) * READ_ALIGNMENT)
        data = self._session.read(start, end, generation).ljust(
            count_blocks(end, self.block_size) * self.block_size - start, b"\0"
        )
        fetched = {
            (start + at) // self.block_size: data[at : at + self.block_size]
            for at in range(0, len(data), self.block_size)
        }
        with self._state_lock:
            # Blocks that were committed meanwhile may have been dropped from memory again.
            if self._generation == generation:
                for block, content in fetched.items():
                    if self._written(block) is None:
                        self._clean[block] = content
        return fetched
