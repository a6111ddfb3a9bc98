"""A store that fails, hangs, answers twice, or lies about a PUT."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from image_gateway.errors import (
    GatewayError,
    ObjectChanged,
    StoreError,
    StoreUnavailable,
)
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.aws_shape import AwsShape, Canned, aws_shape
from tests.support.delta_ground import Ground, make_ground
from tests.support.delta_model import request_of
from tests.support.delta_writing import OWNER, Guest, read_disk

# The bytes come from the store.
pytestmark = pytest.mark.any_database

BLOCK = 512
BASE = bytes(range(256)) * 32
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
REFUSALS: dict[str, tuple[Canned, type[GatewayError]]] = {
    "an internal error": (Canned(500, "InternalError"), StoreUnavailable),
    "slow down": (Canned(503, "SlowDown"), StoreUnavailable),
    "a proxy's page": (Canned(502, None, {"Content-Type": "text/html"}, HTML), StoreUnavailable),
    "an expired token": (Canned(400, "ExpiredToken"), StoreError),
    "no permission": (Canned(403, "AccessDenied"), StoreError),
    "another endpoint": (
        Canned(307, "TemporaryRedirect", {"Location": "http://127.0.0.1:9/elsewhere"}),
        StoreError,
    ),
    "a damaged body": (Canned(400, "BadDigest"), StoreError),
    "no ETag": (Canned(200), StoreError),
}


@dataclass
class Faulty:
    """A guest whose gateway reaches the store through a proxy, and the store itself."""

    shape: AwsShape
    address: StoreAddress
    ground: Ground
    direct: ObjectStore
    guest: Guest

    def request(self, data: bytes, key: str | None = None) -> Any:
        extents = [Extent(1, len(data) // BLOCK, data)]
        return request_of(BLOCK, self.guest.generation, extents, key or f"key {time.monotonic()}")

    def answer_puts(self, canned: Callable[[str], Canned | None]) -> None:
        """Let PUTs of an object's key be answered instead of passing them on."""

        def script(method: str, target: str, _: Mapping[str, str]) -> Canned | None:
            return canned(target.partition("?")[0]) if method == "PUT" else None

        self.shape.script = script

    def puts(self) -> int:
        return sum(call.startswith("PUT") and call.endswith(".seg") for call in self.shape.calls)

    def read_anew(self) -> bytes:
        """Read the disk with a gateway that remembers nothing."""
        return read_disk(self.ground, self.ground.services(), self.guest.delta_id, BASE)

    def objects(self) -> int:
        return len(list(self.direct.list_objects(self.ground.image.location.deltas_prefix)))


@pytest.fixture
def faulty(database_url: str, clients: StoreClients) -> Iterator[Faulty]:
    endpoint = urlsplit(clients.address.endpoint or "")
    with aws_shape((endpoint.hostname or "", endpoint.port or 0)) as shape:
        address = replace(clients.address, endpoint=shape.url, attempts=2, read_timeout=10)
        ground = make_ground(database_url, ObjectStore(StoreClients(address)), BASE, time.time)
        services = ground.services()
        delta = services.deltas.create(ground.image.image_id, OWNER, block_size=BLOCK, name="disk")
        guest = Guest(ground, services, delta.delta_id, BASE)
        yield Faulty(shape, address, ground, ObjectStore(clients), guest)
        ground.engine.dispose()


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_put_changes_nothing_and_its_key_can_be_used_again(faulty: Faulty, name: str) -> None:
    guest, (canned, error) = faulty.guest, REFUSALS[name]
    guest.write(0, b"a" * BLOCK)
    before = guest.row
    request = faulty.request(b"b" * BLOCK)
    faulty.answer_puts(lambda _: canned)
    with pytest.raises(error):
        guest.send(request)
    assert guest.row == before
    assert faulty.read_anew() == guest.disk
    faulty.answer_puts(lambda _: None)
    assert guest.send(request).generation == 2
    assert guest.send(request).generation == 2


def test_a_put_that_the_sdk_repeats_is_one_commit(faulty: Faulty) -> None:
    guest, lost = faulty.guest, iter([True])
    faulty.shape.loses = lambda method, target: method == "PUT" and next(lost, False)
    guest.write(1, b"a" * BLOCK)
    assert faulty.puts() == 2
    assert faulty.objects() == guest.row.generation == 1
    assert faulty.read_anew() == guest.disk


def test_a_put_whose_answers_are_all_lost_is_no_commit_until_it_is_asked_again(faulty: Faulty) -> None:
    guest, request = faulty.guest, faulty.request(b"a" * BLOCK)
    faulty.shape.loses = lambda method, _: method == "PUT"
    with pytest.raises(StoreUnavailable):
        guest.send(request)
    assert (guest.row.generation, guest.row.stored_bytes, faulty.objects()) == (0, 0, 1)
    assert faulty.read_anew() == BASE
    faulty.shape.loses = lambda *_: False
    assert guest.send(request).generation == 1
    assert guest.row.stored_bytes == len(request.body)


def test_a_store_that_hangs_is_given_up(faulty: Faulty) -> None:
    address = replace(faulty.address, attempts=1, read_timeout=1)
    faulty.ground.store = ObjectStore(StoreClients(address))
    guest, request, goes_on = faulty.guest, faulty.request(b"a" * BLOCK), threading.Event()
    guest.services = faulty.ground.services()

    def hang(_: str) -> None:
        goes_on.wait(30)

    faulty.answer_puts(hang)
    with pytest.raises(StoreUnavailable):
        guest.send(request)
    # The PUT is served after all, while the writer asks again.
    goes_on.set()
    assert guest.send(request).generation == 1
    assert faulty.read_anew()[BLOCK : 2 * BLOCK] == b"a" * BLOCK


def test_a_put_that_stored_nothing_is_noticed_by_whoever_reads(faulty: Faulty) -> None:
    faulty.answer_puts(lambda _: Canned(200, headers={"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}))
    faulty.guest.write(1, b"a" * BLOCK)
    with pytest.raises(StoreError, match="missing"):
        faulty.read_anew()


def put_directly(faulty: Faulty, data: bytes) -> Callable[[str], Canned | None]:
    """Store other bytes than those that are sent, with an answer that names the ETag of `data`."""

    def answer(path: str) -> Canned:
        key = path.removeprefix(f"/{faulty.direct._bucket}/")
        etag = faulty.direct.put(key, data, content_type="x", cache_control="x")
        return Canned(200, headers={"ETag": etag})

    return answer


@pytest.mark.parametrize("kept", [0, 8, 20, 40])
def test_a_segment_that_was_cut_off_is_noticed(faulty: Faulty, kept: int) -> None:
    request = faulty.request(b"a" * 2 * BLOCK)
    faulty.answer_puts(put_directly(faulty, request.body[:kept]))
    faulty.guest.send(request)
    with pytest.raises((StoreError, ObjectChanged)):
        faulty.read_anew()


def test_a_segment_with_another_table_is_noticed(faulty: Faulty) -> None:
    request = faulty.request(b"a" * BLOCK)
    faulty.answer_puts(put_directly(faulty, request.body.replace(b"\x01\x00", b"\x02\x00")))
    faulty.guest.send(request)
    with pytest.raises(StoreError, match="damaged"):
        faulty.read_anew()


def test_a_segment_of_other_bytes_under_another_etag_is_noticed(faulty: Faulty) -> None:
    guest, request = faulty.guest, faulty.request(b"a" * BLOCK)
    guest.send(request)
    [stored] = faulty.direct.list_objects(faulty.ground.image.location.deltas_prefix)
    other = request.body[:-1] + b"b"
    faulty.direct.put(stored.key, other, content_type="x", cache_control="x")
    with pytest.raises(StoreError, match="replaced"):
        faulty.read_anew()
    with pytest.raises(ObjectChanged):
        read_disk(faulty.ground, guest.services, guest.delta_id, BASE)


def test_a_checkpoint_that_is_another_one_is_noticed(faulty: Faulty) -> None:
    """Its name is all that the catalog has of it: what it holds must be of that generation."""
    guest = faulty.guest
    history = guest.services.history
    guest.write(1, b"a" * BLOCK)
    history.snapshot(guest.delta_id, OWNER, "one", None)
    guest.write(2, b"b" * BLOCK)
    history.snapshot(guest.delta_id, OWNER, "other", None)
    history.reset(guest.delta_id, OWNER, 1)
    snapshots = faulty.ground.catalog.delta_objects.snapshots(guest.delta_id)
    key, other = (
        faulty.ground.image.location.delta_key(guest.delta_id, item.checkpoint) for item in snapshots
    )
    data = faulty.direct.open(other).body.read_all()
    faulty.direct.put(key, data, content_type="x", cache_control="x")
    with pytest.raises(StoreError, match="damaged"):
        read_disk(faulty.ground, faulty.ground.services(), guest.delta_id, BASE, 1)
