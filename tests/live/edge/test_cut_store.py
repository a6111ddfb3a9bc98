"""A store whose connections are cut, or that is down: right bytes, or a visible error."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from image_gateway.local.seaweed import LocalStore
from tests.live.edge.conftest import DATA, SIZE, SLICE, Pair, running_pair
from tests.live.edge.support import IMPATIENT, LARGE, MIB, address_of, read
from tests.live.support import exchange
from tests.live.test_faults import CUTS, SEED, RandomCuts, judge
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy

IMAGES = 8
READERS = 16


@pytest.fixture(scope="module")
def proxy(store: LocalStore) -> Iterator[FaultProxy]:
    with fault_proxy(address_of(store)) as made:
        yield made


@pytest.fixture(scope="module")
def cut(
    environment: dict[str, str], proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """A pair that reaches its store by the proxy that cuts."""
    folder = tmp_path_factory.mktemp("cut")
    with running_pair(environment, folder, S3_ENDPOINT=proxy.url, **IMPATIENT) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(proxy: FaultProxy) -> Iterator[None]:
    """Each test begins with a good store."""
    yield
    proxy.plan = lambda _: None


class QuickCuts(RandomCuts):
    """Few silences, which take their time; what is no HTTP has a test of its own."""

    KINDS = ["reset"] * 9 + ["end"] * 9 + ["silence"]


@pytest.mark.thorough
def test_cuts_anywhere(cut: Pair, proxy: FaultProxy, owner: str) -> None:
    """By short and long ranges; what was cut once is right when it is read again."""
    images = [cut.make_image(owner, LARGE) for _ in range(IMAGES)]
    proxy.done.clear()
    cuts = QuickCuts(proxy)
    proxy.plan = cuts
    outcomes: Counter[str] = Counter()
    again: list[tuple[str, int, int | None]] = []

    def keep_reading(number: int) -> None:
        source = random.Random(SEED + number)
        while not cuts.enough:
            whole = source.random() < 0.3
            start = 0 if whole else source.randrange(len(LARGE))
            length = source.choice([1, 4096, 3 * SLICE, MIB])
            stop = None if whole else min(len(LARGE), start + 1 + source.randrange(length))
            image_id = source.choice(images)
            outcome = judge(read(cut, owner, image_id, start, stop), LARGE[start:stop])
            outcomes[outcome] += 1
            if outcome != "right":
                again.append((image_id, start, stop))

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(keep_reading, range(READERS)))
    proxy.plan = lambda _: None
    assert proxy.done.total() >= CUTS
    assert set(proxy.done) == {"reset", "end", "silence"}
    assert set(outcomes) <= {"right", "broken", "unavailable"}
    assert outcomes["right"] >= 0.2 * outcomes.total()
    for image_id, start, stop in again:
        assert judge(read(cut, owner, image_id, start, stop), LARGE[start:stop]) == "right"
    for image_id in images:
        assert read(cut, owner, image_id).data == LARGE


def received_until_the_end(pair: Pair, request: bytes) -> bytes:
    """Send a request and return what comes before nginx closes or resets the connection."""
    received = bytearray()
    with socket.create_connection(
        ("127.0.0.1", int(pair.environment["EDGE_PORT"])), timeout=20
    ) as connection:
        connection.sendall(request)
        with suppress(ConnectionResetError):
            while block := connection.recv(65_536):
                received += block
    return bytes(received)


@pytest.mark.parametrize("cut_slice", [1, 3], ids=["a middle slice", "the last slice"])
@pytest.mark.parametrize("stop", [4 * SLICE, None], ids=["short", "long"])
def test_a_later_slice_that_is_cut_ends_the_answer(
    cut: Pair, proxy: FaultProxy, owner: str, stop: int | None, cut_slice: int
) -> None:
    """No bytes of the next slice come after those of a cut one, and nobody waits for the rest."""
    data = LARGE[: 4 * SLICE]
    image_id = cut.make_image(owner, data)
    if stop is None:
        fault = Fault("end", cut_slice * SLICE + 5000)
        proxy.plan = lambda request: fault if request.startswith(b"GET ") else None
    else:
        first = f"bytes={cut_slice * SLICE}-".encode()
        proxy.plan = lambda request: Fault("end", 5000) if first in request else None
    head = f"GET /v1/images/{image_id}/range HTTP/1.1\r\nHost: x\r\nX-User-Id: {owner}\r\n"
    if stop is not None:
        head += f"Range: bytes=0-{stop - 1}\r\n"
    # No Connection: close: reading ends when nginx closes, or fails after 20 seconds.
    body = received_until_the_end(cut, f"{head}\r\n".encode()).partition(b"\r\n\r\n")[2]
    assert data.startswith(body)
    assert len(body) < len(data)


@pytest.mark.parametrize("requested", ["bytes=5-9", "bytes=5-"])
def test_what_is_no_http_is_no_answer(cut: Pair, proxy: FaultProxy, owner: str, requested: str) -> None:
    """nginx passes it on as it is, so a client sees that it is none, and nothing of it is kept."""
    image_id = cut.make_image(owner)
    once = iter([Fault("garbage")])
    proxy.plan = lambda _: next(once, None)
    head = (
        f"GET /v1/images/{image_id}/range HTTP/1.1\r\nHost: x\r\nX-User-Id: {owner}\r\nRange: {requested}\r\n"
    )
    received = exchange(cut.edge.url, f"{head}Connection: close\r\n\r\n".encode())
    assert next(once, None) is None
    assert b"HTTP/" not in received or DATA[5:10] in received
    assert read(cut, owner, image_id, 5, 10).data == DATA[5:10]
    assert read(cut, owner, image_id).data == DATA


def test_a_store_that_is_down_leaves_cached_blocks(cut: Pair, proxy: FaultProxy, owner: str) -> None:
    image_id, unread = cut.make_image(owner), cut.make_image(owner)
    assert read(cut, owner, image_id, 10, 20).data == DATA[10:20]
    proxy.go_down()
    try:
        assert read(cut, owner, image_id, SLICE - 5, SLICE).data == DATA[SLICE - 5 : SLICE]
        for stop in (SIZE, SLICE + 5):
            # The first slice is there, the others are not.
            seen = read(cut, owner, image_id, 5, stop)
            assert seen.broken
            assert DATA[5:SLICE].startswith(seen.data)
        for name, requested in (
            (image_id, f"bytes={SLICE}-{SLICE + 9}"),
            (unread, "bytes=5-9"),
            (unread, "bytes=5-"),
            # What may be long is not kept.
            (image_id, "bytes=5-"),
        ):
            headers = {"X-User-Id": owner, "Range": requested}
            answer = cut.ask("GET", f"/v1/images/{name}/range", headers)
            assert (answer.status, answer.code) == (503, "S3_UNAVAILABLE")
            assert answer.headers["retry-after"] == "2"
    finally:
        proxy.come_back()
    assert read(cut, owner, image_id).data == DATA
