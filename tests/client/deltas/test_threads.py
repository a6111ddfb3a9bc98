"""One disk in several threads: reads beside commits, and what is kept in memory of both."""

from __future__ import annotations

import threading
from collections.abc import Callable

from image_gateway.client.deltas.disk import DeltaDisk
from tests.client.deltas.conftest import DATA, Open
from tests.client.deltas.fake import FakeDelta, FakeDeltas

WAIT = 30


def elsewhere(act: Callable[[], object]) -> None:
    """Do it in another thread, to its end."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()


def once(act: Callable[[], object]) -> Callable[[], None]:
    """The same act for the first call only."""
    acts = [act]
    return lambda: elsewhere(acts.pop()) if acts else None


def test_a_commit_during_a_read_is_not_mistaken_for_another_writer(
    disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas
) -> None:
    """The read asks for generation 0 and reaches the gateway when there is generation 1."""
    disk.write(0, b"x" * 4096)
    fake.on_read = once(disk.flush)
    assert disk.read(0, 8192) == b"x" * 4096 + DATA[4096:8192]
    assert delta.generation == 1


def test_a_read_waits_for_no_commit(disk: DeltaDisk, fake: FakeDeltas) -> None:
    begun, allowed = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert allowed.wait(WAIT)

    fake.before_commit = hold
    disk.write(0, b"x" * 4096)
    thread = threading.Thread(target=disk.flush)
    thread.start()
    assert begun.wait(WAIT)
    assert disk.read(0, 8192) == b"x" * 4096 + DATA[4096:8192]
    disk.write(4096, b"y" * 4096)
    assert disk.read(0, 8192) == b"x" * 4096 + b"y" * 4096
    assert disk.unsafe_bytes == 8192
    allowed.set()
    thread.join(WAIT)
    assert disk.unsafe_bytes == 4096


def test_zeros_during_a_commit_are_not_forgotten(disk: DeltaDisk, fake: FakeDeltas) -> None:
    disk.write(0, b"x" * 4096)
    fake.before_commit = once(lambda: disk.zero(0, 4096))
    disk.flush()
    assert disk.read(0, 4096) == bytes(4096)
    disk.flush()
    assert disk.read(0, 4096) == bytes(4096)


def test_bytes_that_arrive_after_a_commit_are_not_kept(
    open_disk: Open, delta: FakeDelta, fake: FakeDeltas
) -> None:
    disk = open_disk(delta, cache_bytes=65_536)

    def overwrite_and_drop_from_memory() -> None:
        disk.write(0, b"x" * 4096)
        disk.flush()
        disk.read(65_536, 65_536)

    fake.before_bytes = once(overwrite_and_drop_from_memory)
    assert disk.read(4096, 4096) == DATA[4096:8192]
    assert disk.read(0, 4096) == b"x" * 4096


def test_a_session_that_a_read_has_opened_again_takes_the_commit_over(
    disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas
) -> None:
    """The commit has begun in the session that ended, and is fenced by the new one."""
    disk.write(0, b"x" * 4096)

    def expire_and_read() -> None:
        for session in fake.sessions.values():
            session.expired = True
        assert disk.read(100_000, 1) == DATA[100_000:100_001]

    fake.before_commit = once(expire_and_read)
    disk.flush()
    assert (delta.generation, delta.epoch) == (1, 2)


def test_a_block_that_was_read_before_its_zeros_is_not_read_again(disk: DeltaDisk) -> None:
    disk.write(0, b"x" * 4096)
    disk.flush()
    disk.zero(0, 4096)
    disk.flush()
    assert disk.read(0, 4096) == bytes(4096)


def test_threads_write_parts_of_one_block(open_disk: Open, fake: FakeDeltas) -> None:
    delta = fake.add(bytes(4096))
    disk = open_disk(delta)

    def write(at: int) -> None:
        for round_ in range(8):
            disk.write(at * 64, bytes([round_ + 1]) * 64)
            if round_ % 3 == 0:
                disk.flush()

    threads = [threading.Thread(target=write, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    disk.close()
    assert delta.contents[delta.generation] == b"\x08" * 512 + bytes(4096 - 512)
