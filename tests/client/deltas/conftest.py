from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.disk import DeltaDisk
from image_gateway.client.retry import Retrier
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.deltas.fake_server import running_deltas

DATA = bytes(number * 7 % 251 for number in range(200_000))
Open = Callable[..., DeltaDisk]


@pytest.fixture
def fake() -> Iterator[FakeDeltas]:
    with running_deltas() as running:
        yield running


@pytest.fixture
def delta(fake: FakeDeltas) -> FakeDelta:
    """49 blocks of 4 KiB, the last one short."""
    return fake.add(DATA)


@pytest.fixture
def open_disk(fake: FakeDeltas) -> Open:
    def open_disk(delta: FakeDelta, *, patience: float = 60, **options: int) -> DeltaDisk:
        retrier = Retrier(patience, sleep=lambda _: None)
        return DeltaDisk(GatewayClient(fake.url, "me"), delta.delta_id, retrier=retrier, **options)

    return open_disk


@pytest.fixture
def disk(open_disk: Open, delta: FakeDelta) -> DeltaDisk:
    return open_disk(delta)
