"""A store that breaks at any byte behind a real gateway: every body is right, or visibly broken."""

from __future__ import annotations

import json
import os
import random
import re
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from urllib3.exceptions import ProtocolError

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.support.fake_store import wait_for
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy

MIB = 1024 * 1024
SIZE = 3 * MIB
SEED = 2026
CUTS = 200
READERS = 8
READ_TIMEOUT = 2
# How much more than its body an answer of the store is, at least and at most.
HEAD = 200, 900
USER = f"user-{uuid.uuid4()}"
DATA = random.Random(SEED).randbytes(SIZE)
_RANGE = re.compile(rb"\r\nrange: *bytes=([0-9]+)-([0-9]+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Seen:
    """What a client got, and whether it could see that something was missing."""

    status: int
    etag: str | None
    data: bytes
    broken: bool

    @property
    def code(self) -> str | None:
        return json.loads(self.data)["error"]["code"] if self.status >= 400 else None


class Scene:
    """A gateway whose way to the store leads through the proxy; uploads and tampering go past it."""

    def __init__(self, gateway: LocalGateway, proxy: FaultProxy, store: LocalStore, catalog: Catalog) -> None:
        self.gateway, self.proxy = gateway, proxy
        self._bucket = store.address.bucket
        self._s3 = StoreClients(store.address).requests
        self._catalog = catalog
        self._http = urllib3.PoolManager(retries=False, timeout=60, maxsize=READERS)

    def make_image(self, folder: Path, data: bytes) -> str:
        path = folder / "disk.img"
        path.write_bytes(data)
        client = GatewayClient(self.gateway.url, USER)
        return upload_file(client, path, parallel=1, on_bytes=lambda _: None).image_id

    def replace(self, image_id: str, data: bytes) -> None:
        record = self._catalog.find(image_id)
        assert record is not None
        self._s3.put_object(Bucket=self._bucket, Key=record.location.disk_key, Body=data)

    def read(self, image_id: str, start: int = 0, stop: int | None = None) -> Seen:
        """Read a range, or the whole image."""
        headers = {"X-User-Id": USER}
        if stop is not None:
            headers["Range"] = f"bytes={start}-{stop - 1}"
        url = f"{self.gateway.url}/v1/images/{image_id}/range"
        answer = self._http.request("GET", url, headers=headers, preload_content=False)
        received, broken = bytearray(), False
        try:
            for block in answer.stream(65_536):
                received += block
        except ProtocolError:
            broken = True
        answer.close() if broken else answer.release_conn()
        return Seen(answer.status, answer.headers.get("ETag"), bytes(received), broken)

    def log(self) -> str:
        return self.gateway.process.log.read_text()

    def close(self) -> None:
        self._http.clear()
        self._s3.close()


@contextmanager
def scene_over(
    store: LocalStore, environment: dict[str, str], folder: Path, **changes: str
) -> Iterator[Scene]:
    """A gateway over the proxy, with changed variables."""
    address = urlsplit(store.address.endpoint or "")
    engine = open_engine(environment["DATABASE_URL"])
    with fault_proxy((address.hostname or "", address.port or 0)) as proxy:
        variables = {
            **os.environ,
            **environment,
            "S3_ENDPOINT": proxy.url,
            "S3_READ_TIMEOUT_SECONDS": str(READ_TIMEOUT),
            "S3_CONNECT_TIMEOUT_SECONDS": "2",
            **changes,
        }
        gateway = start_gateway(variables, port=find_free_ports(1)[0], log=folder / "gateway.log")
        scene = Scene(gateway, proxy, store, Catalog(engine))
        yield scene
        scene.close()
        gateway.process.kill()
    engine.dispose()


@pytest.fixture(scope="module")
def running(
    store: LocalStore, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    with scene_over(store, environment, tmp_path_factory.mktemp("faults")) as scene:
        yield scene


@pytest.fixture(scope="module")
def image_id(running: Scene, tmp_path_factory: pytest.TempPathFactory) -> str:
    return running.make_image(tmp_path_factory.mktemp("image"), DATA)


@pytest.fixture
def scene(running: Scene) -> Iterator[Scene]:
    running.proxy.done.clear()
    yield running
    running.proxy.plan = lambda _: None


class RandomCuts:
    """Breaks more than half of the answers, anywhere in head or body, until there are enough."""

    KINDS = ["reset"] * 7 + ["end"] * 7 + ["silence"] * 3 + ["garbage"] * 3

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._random = random.Random(SEED)
        self._lock = threading.Lock()

    def __call__(self, request: bytes) -> Fault | None:
        with self._lock:
            if self.enough or self._random.random() > 0.6:
                return None
            kind = self._random.choice(self.KINDS)
            within_head = kind != "garbage" and self._random.random() < 0.2
            most = HEAD[0] if within_head else _length_asked(request) + HEAD[0]
            after = 0 if kind == "garbage" else self._random.randrange(most)
            return Fault(kind, after)  # type: ignore[arg-type]

    @property
    def enough(self) -> bool:
        return self._proxy.done.total() >= CUTS


def _length_asked(request: bytes) -> int:
    match = _RANGE.search(request)
    return int(match[2]) + 1 - int(match[1]) if match else SIZE


@pytest.mark.thorough
def test_cuts_anywhere(scene: Scene, image_id: str) -> None:
    scene.proxy.plan = cuts = RandomCuts(scene.proxy)
    outcomes: Counter[str] = Counter()

    def keep_reading(number: int) -> None:
        source = random.Random(SEED + number)
        while not cuts.enough:
            whole = source.random() < 0.3
            start = 0 if whole else source.randrange(SIZE)
            length = source.choice([1, 4096, 300_000, MIB, SIZE])
            stop = SIZE if whole else min(SIZE, start + 1 + source.randrange(length))
            outcomes[judge(scene.read(image_id, start, None if whole else stop), DATA[start:stop])] += 1

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(keep_reading, range(READERS)))
    assert scene.proxy.done.total() >= CUTS
    assert set(scene.proxy.done) == {"reset", "end", "silence", "garbage"}
    assert set(outcomes) <= {"right", "broken", "unavailable"}
    # Nearly all can be gone on with.
    assert outcomes["right"] >= 0.8 * outcomes.total()
    assert scene.read(image_id).data == DATA


def judge(seen: Seen, expected: bytes) -> str:
    if seen.status == 503:
        return "unavailable" if seen.code == "S3_UNAVAILABLE" and not seen.broken else f"odd: {seen.data!r}"
    if seen.status not in (200, 206):
        return f"status {seen.status}"
    if seen.broken:
        return "broken" if expected.startswith(seen.data) and seen.data != expected else "broken and wrong"
    return "right" if seen.data == expected else f"silently wrong: {len(seen.data)} of {len(expected)}"


@pytest.mark.parametrize("kind", ["end", "reset"])
def test_never_a_byte_of_a_replaced_object(scene: Scene, tmp_path: Path, kind: str) -> None:
    """Another object of the same size lies under the key when the body is gone on with."""
    source = random.Random(SEED + 1)
    old, new = bytes(byte & 0x7F for byte in DATA[:MIB]), bytes(byte | 0x80 for byte in DATA[:MIB])
    ends: Counter[str] = Counter()
    for number in range(8):
        image_id = scene.make_image(tmp_path, old)
        record_etag = scene.read(image_id, 0, 1).etag
        once = threading.Event()
        after = HEAD[1] + source.randrange(MIB - 2 * HEAD[1])

        def plan(
            _: bytes, image_id: str = image_id, after: int = after, once: threading.Event = once
        ) -> Fault | None:
            if once.is_set():
                return None
            once.set()
            return Fault(kind, after, meanwhile=lambda: scene.replace(image_id, new))  # type: ignore[arg-type]

        scene.proxy.plan = plan
        seen = scene.read(image_id, 0, None if number % 2 else MIB)
        scene.proxy.plan = lambda _: None
        if seen.status == 503:
            ends["before the first byte"] += 1
            continue
        version = old if seen.etag == record_etag else new
        assert version.startswith(seen.data)
        assert seen.broken == (len(seen.data) < MIB)
        ends["new" if version is new else "broken" if seen.broken else "read to its end"] += 1
        assert scene.read(image_id).data == new
    assert ends["broken"] >= 3
    assert ends["read to its end"] == 0


def test_a_store_that_is_down_and_comes_back(scene: Scene, image_id: str) -> None:
    assert scene.read(image_id).data == DATA
    scene.proxy.go_down()
    try:
        for start, stop in ((0, None), (5, 10)):
            seen = scene.read(image_id, start, stop)
            assert (seen.status, seen.code, seen.broken) == (503, "S3_UNAVAILABLE", False)
    finally:
        scene.proxy.come_back()
    assert scene.read(image_id).data == DATA
    assert scene.read(image_id, 5, 10).data == DATA[5:10]


def test_a_body_survives_a_store_that_is_down_for_a_moment(scene: Scene, image_id: str) -> None:
    cut = threading.Event()

    def go_down() -> None:
        scene.proxy.go_down()
        cut.set()

    scene.proxy.plan = lambda _: None if cut.is_set() else Fault("end", SIZE // 2, meanwhile=go_down)
    failures = scene.log().count("resuming the body failed")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(scene.read, image_id)
        assert cut.wait(20)
        try:
            wait_for(lambda: scene.log().count("resuming the body failed") > failures)
        finally:
            scene.proxy.come_back()
        seen = reading.result()
    assert (seen.status, seen.broken) == (200, False)
    assert seen.data == DATA


def test_a_slow_store_is_passed_on(scene: Scene, image_id: str) -> None:
    """Slower in all than the read time-out, but never silent for so long."""
    asked: list[bytes] = []

    def plan(request: bytes) -> Fault:
        asked.append(request)
        return Fault("trickle", piece=8 * 1024, pause=READ_TIMEOUT / 6)

    scene.proxy.plan = plan
    seen = scene.read(image_id, 1000, 1000 + 64 * 1024)
    assert (seen.status, seen.broken) == (206, False)
    assert seen.data == DATA[1000 : 1000 + 64 * 1024]
    assert len(asked) == 1
    assert scene.proxy.done == {"trickle": 1}
