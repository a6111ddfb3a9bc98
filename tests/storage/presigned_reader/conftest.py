"""A store that is told what to answer, and what reads from it: by the SDK, and by our own wire."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import (
    ObjectReader,
    PresignedReader,
    SdkReader,
)
from tests.support.fake_store import (
    Asked,
    FakeStore,
    Reply,
    Script,
    object_answer,
    running_store,
)

DATA = bytes(range(256)) * 40
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
NO_LENGTH = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}


def good(asked: Asked) -> Reply:
    return Reply(object_answer(asked, DATA))


def saying(data: bytes, then: Any = "keep") -> Script:
    return lambda _: Reply(data, then)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *(name.upper() for name in PROXIES), "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeStore]:
    with running_store(good) as store:
        yield store


class Lean:
    """The lean way to one store, with the pauses that it made."""

    def __init__(self, clients: StoreClients) -> None:
        self.pauses: list[float] = []
        self.clients = clients
        self.reads = PresignedReader(clients, sleep=self.pauses.append)
        self.store = ObjectStore(clients, self.reads)

    def read(self, key: str = "k", byte_range: ByteRange | None = None) -> bytes:
        return self.store.open(key, byte_range=byte_range).body.read_all()

    def close_kept(self) -> int:
        """Close the connections that are kept, and say how many there were."""
        count = 0
        for pool in self.reads._pools.values():
            while kept := pool.take():
                kept.close()
                count += 1
        return count


@contextmanager
def nothing_dropped_unclosed() -> Iterator[None]:
    """Let Python warn, which is an error, of what is made within the block and dropped without being closed.

    What is older is left out: to look through everything that thousands of tests have imported takes seconds.
    """
    gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()


@pytest.fixture
def lean(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lean]:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    with nothing_dropped_unclosed():
        made = Lean(fake.clients())
        yield made
        made.close_kept()
        made.clients.requests.close()
        made.clients.requests_once.close()


def close_lean(reads: ObjectReader) -> None:
    for pool in reads._pools.values() if isinstance(reads, PresignedReader) else ():
        while kept := pool.take():
            kept.close()


@pytest.fixture(params=["sdk", "lean"])
def either(
    request: pytest.FixtureRequest, fake: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ObjectStore]:
    """An ObjectStore by each way, neither of which waits between its tries."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    with nothing_dropped_unclosed():
        clients = fake.clients()
        reads = (
            SdkReader(clients) if request.param == "sdk" else PresignedReader(clients, sleep=lambda _: None)
        )
        yield ObjectStore(clients, reads)
        close_lean(reads)
        clients.requests.close()


def count_signatures(clients: StoreClients) -> list[str]:
    """The keys that URLs are signed for from now on."""
    signed: list[str] = []
    sign: Callable[..., str] = clients.requests.generate_presigned_url

    def counted(operation: str, arguments: dict[str, str], **options: Any) -> str:
        signed.append(arguments["Key"])
        return sign(operation, arguments, **options)

    clients.requests.generate_presigned_url = counted  # type: ignore[method-assign]
    return signed
