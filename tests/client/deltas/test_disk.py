"""Reads, writes and zeros of a delta's disk, and what they ask of the gateway."""

from __future__ import annotations

import pytest

from image_gateway.client.deltas.disk import MAX_DIRTY_BYTES, DeltaDisk
from image_gateway.client.errors import ApiError
from image_gateway.protocol.deltas.segment import MAX_SEGMENT_BYTES, parse_segment
from tests.client.deltas.conftest import DATA, Open
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.fake import RESET, Fault

MIB = 1024 * 1024


def newest(delta: FakeDelta) -> bytes:
    return delta.contents[delta.generation]


def test_the_base_is_read_through(disk: DeltaDisk) -> None:
    assert (disk.size, disk.block_size, disk.generation) == (len(DATA), 4096, 0)
    assert disk.read(0, len(DATA)) == DATA
    assert disk.read(199_990, 10) == DATA[-10:]
    assert disk.read(5, 0) == b""


def test_what_was_written_is_read_before_and_after_a_flush(disk: DeltaDisk, delta: FakeDelta) -> None:
    disk.write(4096, b"x" * 4096)
    disk.zero(8192, 4096)
    expected = DATA[:4096] + b"x" * 4096 + bytes(4096) + DATA[12_288:]
    assert disk.read(0, len(DATA)) == expected
    assert (disk.unsafe_bytes, delta.generation) == (8192, 0)
    disk.flush()
    assert (disk.unsafe_bytes, delta.generation, disk.generation) == (0, 1, 1)
    assert newest(delta) == expected
    assert disk.read(0, len(DATA)) == expected


def test_a_flush_of_nothing_asks_nothing(disk: DeltaDisk, fake: FakeDeltas) -> None:
    disk.flush()
    assert "commit" not in fake.asked


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 199_000, 199_999])
def test_parts_of_blocks_keep_the_rest(disk: DeltaDisk, delta: FakeDelta, offset: int) -> None:
    data = b"part"[: len(DATA) - offset]
    disk.write(offset, data)
    disk.flush()
    assert newest(delta) == DATA[:offset] + data + DATA[offset + len(data) :]


def test_whole_blocks_are_written_without_a_read(disk: DeltaDisk, fake: FakeDeltas) -> None:
    disk.write(4096, bytes(range(256)) * 32)
    disk.write(196_608, b"\1" * (len(DATA) - 196_608))
    disk.zero(0, len(DATA))
    disk.flush()
    assert fake.reads == []


def test_zeros_are_stored_without_data(disk: DeltaDisk, delta: FakeDelta) -> None:
    disk.zero(100, len(DATA) - 200)
    disk.write(8192, bytes(4096))
    disk.flush()
    assert newest(delta) == DATA[:100] + bytes(len(DATA) - 200) + DATA[-100:]
    table = parse_segment(delta.segments[0], block_size=4096, blocks=49)
    assert [(entry.block, entry.count, entry.data_start is None) for entry in table.entries] == [
        (0, 1, False),
        (1, 47, True),
        (48, 1, False),
    ]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (len(DATA), 1), (1, len(DATA))])
def test_nothing_beyond_the_disk(disk: DeltaDisk, offset: int, length: int) -> None:
    for act in (disk.read, disk.zero):
        with pytest.raises(ValueError, match="not within the disk of 200000 bytes"):
            act(offset, length)
    if length >= 0:
        with pytest.raises(ValueError, match="not within the disk"):
            disk.write(offset, bytes(length))


def test_a_large_write_is_committed_in_batches(open_disk: Open, fake: FakeDeltas) -> None:
    delta = fake.add(bytes(11 * MIB))
    disk = open_disk(delta)
    data = bytes(range(1, 252)) * 45_000
    disk.write(513, data[: 10 * MIB])
    assert 0 < disk.unsafe_bytes <= MAX_DIRTY_BYTES
    disk.flush()
    assert newest(delta) == bytes(513) + data[: 10 * MIB] + bytes(MIB - 513)
    assert len(delta.segments) == 3
    assert max(map(len, delta.segments)) <= MAX_SEGMENT_BYTES


def test_memory_for_writes_is_bounded(open_disk: Open, delta: FakeDelta) -> None:
    disk = open_disk(delta, dirty_limit=65_536)
    for block in range(20):
        disk.write(block * 4096, b"x" * 4096)
        assert disk.unsafe_bytes <= 65_536
    assert (delta.generation, newest(delta)[:65_536], disk.unsafe_bytes) == (1, b"x" * 65_536, 4 * 4096)


def test_many_runs_of_zeros_are_committed(open_disk: Open, fake: FakeDeltas) -> None:
    delta = fake.add(b"\1" * (20 * MIB), 512)
    disk = open_disk(delta)
    for block in range(0, 2 * 17_000, 2):
        disk.zero(block * 512, 512)
    disk.flush()
    assert delta.generation == 2
    assert newest(delta) == (bytes(512) + b"\1" * 512) * 17_000 + b"\1" * (20 * MIB - 17_000 * 1024)


@pytest.mark.parametrize("limit", [0, 65_535, MAX_DIRTY_BYTES + 1])
def test_a_limit_that_no_segment_holds_is_rejected(open_disk: Open, delta: FakeDelta, limit: int) -> None:
    with pytest.raises(ValueError, match=f"dirty_limit must be 65536 to 4194304, not {limit}"):
        open_disk(delta, dirty_limit=limit)


def test_neighbouring_reads_are_one_request(disk: DeltaDisk, fake: FakeDeltas) -> None:
    for block in range(16):
        disk.read(block * 4096, 4096)
    disk.read(196_608, 5)
    assert fake.reads == [(0, 65_536), (196_608, len(DATA))]


def test_memory_for_reads_is_bounded(open_disk: Open, delta: FakeDelta, fake: FakeDeltas) -> None:
    disk = open_disk(delta, cache_bytes=65_536)
    for offset in (0, 65_536, 0):
        assert disk.read(offset, 100) == DATA[offset : offset + 100]
    assert len(fake.reads) == 3


def test_a_read_that_fails_is_tried_again(disk: DeltaDisk, fake: FakeDeltas) -> None:
    fake.fail("read", Fault(RESET), Fault(503, {"Retry-After": "1"}), Fault(500))
    assert disk.read(0, 10) == DATA[:10]


def test_closing_commits_and_ends_the_session(open_disk: Open, delta: FakeDelta, fake: FakeDeltas) -> None:
    with open_disk(delta) as disk:
        disk.write(0, b"closed")
    assert newest(delta)[:6] == b"closed"
    assert [session.ended for session in fake.sessions.values()] == [True]


def test_a_session_that_cannot_be_ended_expires(disk: DeltaDisk, fake: FakeDeltas) -> None:
    fake.fail("end", Fault(503))
    disk.close()


def test_a_missing_delta_is_told(open_disk: Open, fake: FakeDeltas) -> None:
    delta = fake.add(b"x")
    del fake.deltas[delta.delta_id]
    with pytest.raises(ApiError, match="there is no such delta"):
        open_disk(delta)
