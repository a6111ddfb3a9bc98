"""A delta's disk does what a bytearray does; what was not flushed may be lost, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.disk import DeltaDisk
from image_gateway.client.retry import Retrier
from tests.client.deltas.fake import FakeDeltas
from tests.client.deltas.fake_server import running_deltas
from tests.client.fake import RESET, Fault

BASE = bytes(number * 7 % 251 for number in range(200_000))
SIZES = [512, 200_000, 65_536 * 3, 131_073]
LIMIT = 64 * 1024
SERVER: list[FakeDeltas] = []


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with running_deltas() as fake:
        SERVER.append(fake)
        yield
        SERVER.clear()


class DiskMachine(RuleBasedStateMachine):
    """The disk beside a bytearray, and the state that was flushed last."""

    @initialize(size=st.sampled_from(SIZES), block_size=st.sampled_from([512, 4096, 65_536]))
    def open(self, size: int, block_size: int) -> None:
        self.delta = SERVER[0].add((BASE * 2)[:size], block_size)
        self.model = bytearray((BASE * 2)[:size])
        self.size = size
        self.reopen()

    def reopen(self) -> None:
        self.disk = DeltaDisk(
            GatewayClient(SERVER[0].url, "me"),
            self.delta.delta_id,
            retrier=Retrier(60, sleep=lambda _: None),
            dirty_limit=LIMIT,
            cache_bytes=LIMIT,
        )

    def place(self, data: st.DataObject) -> tuple[int, int]:
        offset = data.draw(st.integers(0, self.size))
        length = data.draw(st.one_of(st.integers(0, 2_000), st.integers(0, self.size), st.just(self.size)))
        return offset, min(length, self.size - offset)

    @rule(data=st.data(), fill=st.integers(0, 255))
    def write(self, data: st.DataObject, fill: int) -> None:
        offset, length = self.place(data)
        content = bytes((fill + number) % 256 for number in range(min(length, 512))) * (length // 512 + 1)
        generation, before = self.delta.generation, bytes(self.model)
        self.disk.write(offset, content[:length])
        if self.delta.generation != generation and length <= LIMIT - 2 * self.delta.block_size:
            assert self.delta.contents[self.delta.generation] == before
        self.model[offset : offset + length] = content[:length]

    @rule(data=st.data())
    def zero(self, data: st.DataObject) -> None:
        offset, length = self.place(data)
        self.disk.zero(offset, length)
        self.model[offset : offset + length] = bytes(length)

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        offset, length = self.place(data)
        assert self.disk.read(offset, length) == self.model[offset : offset + length]

    @rule(lost=st.booleans())
    def flush(self, lost: bool) -> None:
        if lost and self.disk.unsafe_bytes:
            SERVER[0].fail("commit.lost", Fault(RESET))
        self.disk.flush()
        assert self.disk.unsafe_bytes == 0
        assert self.delta.contents[self.delta.generation] == self.model

    @rule()
    def restart(self) -> None:
        """The process ends without a flush."""
        self.reopen()
        self.model = bytearray(self.delta.contents[self.delta.generation])

    @rule()
    def close(self) -> None:
        self.disk.close()
        assert self.delta.contents[self.delta.generation] == self.model
        self.reopen()

    @rule()
    def expire(self) -> None:
        """The session ends."""
        for session in SERVER[0].sessions.values():
            session.expired = True

    @invariant()
    def no_generation_is_unknown(self) -> None:
        assert self.disk.generation == self.delta.generation


class TestDisk(DiskMachine.TestCase):
    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
