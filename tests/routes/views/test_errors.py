"""Errors of views have no body, which clients would take for bytes; permissions are those of every read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_gateway.errors import StoreUnavailable
from image_gateway.services import slots as slots_module
from image_gateway.storage.body import BLOCK_SIZE, BodyBroken, ObjectBody
from image_gateway.storage.objects import ObjectStore
from tests.support.clock import Clock
from tests.support.leasing import GRACE, RULES, TTL
from tests.support.view_names import NAME, TEXT, all_names
from tests.support.world import Image, World

DISKS = ["webvm/bytes/disk.ext2", "raw/disk.img"]
PIECES = [
    "v86/262144/disk-0-262144.img",
    "v86/262144/disk-0-262144.img.zst",
    "v86/262144/disk-262144-524288.img",
    "tinyemu/256/blk000000001.bin",
    "infinite-mac/262144/1.chunk",
    "webvm/disk.ext2.c000003.txt",
    "sqlite/65536/db.001",
]
DOCUMENTS = ["tinyemu/256/blk.txt", "infinite-mac/262144/manifest.json", "webvm/disk.ext2.meta"]
FILES = [*PIECES, *DISKS, *DOCUMENTS]


def outcome(response: Any) -> tuple[int, str | None, bytes]:
    """Status and code of an error, and its body; how it is to be sent is checked besides."""
    assert response.headers["Content-Length"] == "0"
    assert "Content-Encoding" not in response.headers
    assert "Content-Type" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "x-error-code" in response.headers["Access-Control-Expose-Headers"]
    return response.status_code, response.headers["X-Error-Code"], response.data


class Untouched:
    """A store that must not be called."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def called(*_: object, **__: object) -> None:
            raise AssertionError(f"the store was called: {name}")

        return called


@pytest.fixture(scope="module")
def without_store(world: World) -> World:
    return replace(world, store=Untouched()).with_settings(**RULES)  # type: ignore[arg-type]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_permissions(world: World, image: Image, file: str, method: str) -> None:
    path = image.path(f"views/{file}")
    assert outcome(world.request(method, path, user=None)) == (401, "UNAUTH", b"")
    assert outcome(world.request(method, path, user="mallory")) == (403, "FORBIDDEN", b"")
    assert outcome(world.request(method, path.replace(image.image_id, "x"))) == (404, "NOT_FOUND", b"")
    assert outcome(world.request(method, f"/v1/l/forged/{file}", user=None)) == (401, "UNAUTH", b"")
    assert world.request(method, path).status_code == 200


@pytest.mark.parametrize("file", [PIECES[0], DISKS[0], DOCUMENTS[0]])
def test_leases_end(lasting: World, file: str) -> None:
    clock = Clock()
    world = lasting.with_settings(clock=clock, **RULES)
    image = world.make_image(bytes(600_000))
    patient, strict = (
        world.make_lease(image, ttlSeconds=TTL, whenLapsed=when) for when in ("wait", "refuse")
    )
    revoked = world.make_lease(image)
    assert world.request("DELETE", f"/v1/leases/{revoked['leaseId']}").status_code == 200

    def get(lease: dict[str, Any]) -> Any:
        return world.request("GET", f"/v1/l/{lease['token']}/{file}", user=None)

    assert get(strict).status_code == 200
    assert outcome(get(revoked)) == (403, "LEASE_REVOKED", b"")
    clock.now += TTL + 1
    assert outcome(get(strict)) == (401, "LEASE_EXPIRED", b"")
    waiting = get(patient)
    assert outcome(waiting) == (503, "LEASE_LAPSED", b"")
    assert waiting.headers["Retry-After"] == "2"
    clock.now += GRACE
    assert outcome(get(patient)) == (401, "LEASE_EXPIRED", b"")


@pytest.mark.parametrize("file", FILES)
def test_an_image_that_is_not_complete(world: World, file: str) -> None:
    image_id, _ = world.begin()
    response = world.request("GET", f"/v1/images/{image_id}/views/{file}")
    assert outcome(response) == (409, "INVALID_STATE", b"")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "v86", (404, "NOT_FOUND")),
        ("GET", "webvm/bytes/other", (404, "NOT_FOUND")),
        ("GET", "raw/disk", (404, "NOT_FOUND")),
        ("GET", "raw/a/b.img", (404, "NOT_FOUND")),
        ("POST", "webvm/disk.ext2.meta", (405, "METHOD_NOT_ALLOWED")),
        ("GET", f"raw/{'x' * 9000}.img", (414, "URL_TOO_LONG")),
    ],
)
def test_errors_of_the_framework(
    world: World, token: str, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert outcome(world.request(method, f"/v1/l/{token}/{path}", user=None)) == (*expected, b"")


def test_errors_of_other_routes_stay_json(world: World, token: str) -> None:
    for path in (f"/v1/l/{token}/other", f"/v1/l/{token}", "/v1/images/x/range"):
        response = world.request("GET", path)
        assert response.get_json()["error"]["code"] == "NOT_FOUND"
        assert "X-Error-Code" not in response.headers


@given(
    view=st.sampled_from(["v86/{}", "tinyemu/{}", "infinite-mac/{}", "webvm", "sqlite/{}"]),
    block=st.one_of(TEXT, st.sampled_from(["512", "1", "any", "full", "511", "67108865", "67108864"])),
    name=NAME,
)
@example("v86/{}", "512", "disk-0-512.img")
@example("v86/{}", "511", "disk-0-511.img")
def test_a_name_that_no_client_makes_is_refused_before_the_store_is_called(
    world: World, without_store: World, token: str, view: str, block: str, name: str
) -> None:
    if not name.isascii() or not name.isprintable() or set(name) & set("/?#%\\") or name in ("", ".", ".."):
        return
    folder = view.format(block)
    kind = view.partition("/")[0]
    if block in ("512", "1") and name in all_names(kind, 400_000):
        return
    response = without_store.request("GET", f"/v1/l/{token}/{folder}/{name}", user=None)
    if response.status_code == 500:
        # The store was to be called, so the name is one: a client reads it.
        assert world.request("GET", f"/v1/l/{token}/{folder}/{name}", user=None).status_code == 200
        assert block not in ("511", "67108865")
        return
    if response.status_code == 200:
        assert name in ("blk.txt", "manifest.json", "config.json", "disk.ext2.meta")
        return
    assert outcome(response) == (404, "NOT_FOUND", b"")


@pytest.mark.parametrize("file", DOCUMENTS)
def test_documents_and_copies_need_no_store(
    without_store: World, world: World, token: str, file: str
) -> None:
    assert without_store.request("GET", f"/v1/l/{token}/{file}", user=None).status_code == 200
    for piece in PIECES:
        etag = world.request("HEAD", f"/v1/l/{token}/{piece}", user=None).headers["ETag"]
        current = without_store.request(
            "GET", f"/v1/l/{token}/{piece}", user=None, headers={"If-None-Match": etag}
        )
        assert current.status_code == 304


@pytest.mark.parametrize("file", PIECES)
@pytest.mark.parametrize("cached", [False, True])
def test_a_replaced_object_is_an_error(world: World, tmp_path: Path, file: str, cached: bool) -> None:
    changes: dict[str, Any] = {"range_cache_dir": str(tmp_path)} if cached else {}
    reading = world.with_settings(**RULES, **changes)
    image = reading.make_image(bytes(range(256)) * 2048)
    path = image.path(f"views/{file}")
    reading.replace_object(image.key, bytes(len(image.data)))
    for method in ("GET", "HEAD"):
        assert outcome(reading.request(method, path)) == (502, "S3_ERROR", b"")
    reading.clients.requests.delete_object(Bucket=reading.settings.s3_bucket, Key=image.key)
    for method in ("GET", "HEAD"):
        assert outcome(reading.request(method, path)) == (404, "NOT_FOUND", b"")


@pytest.mark.parametrize("file", PIECES)
def test_a_store_that_is_away(world: World, image: Image, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(ObjectStore, "open", fail)
    monkeypatch.setattr(ObjectStore, "head", fail)
    response = world.request("GET", image.path(f"views/{file}"))
    assert outcome(response) == (503, "S3_UNAVAILABLE", b"")
    assert response.headers["Retry-After"] == "2"


def break_after_first_block(patch: pytest.MonkeyPatch) -> None:
    """Let the store end each body after one block, for good."""
    read = ObjectBody._read

    def read_first(body: ObjectBody, amount: int) -> bytes:
        return read(body, amount) if body._sent < BLOCK_SIZE else b""

    def give_up(body: ObjectBody) -> None:
        body.close()
        raise BodyBroken("for good")

    patch.setattr(ObjectBody, "_read", read_first)
    patch.setattr(ObjectBody, "_resume", give_up)


@pytest.mark.parametrize(
    "file", ["v86/524288/disk-0-524288.img", "tinyemu/512/blk000000000.bin", "infinite-mac/524288/0.chunk"]
)
def test_a_body_that_breaks_is_cut(
    world: World, image: Image, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows the first block is not there: neither other bytes nor zeros may stand for it."""
    break_after_first_block(monkeypatch)
    received: list[bytes] = []
    response = world.client().get(image.path(f"views/{file}"), headers={"X-User-Id": "alice"}, buffered=False)
    assert response.status_code == 200
    with pytest.raises(BodyBroken):
        received.extend(response.iter_encoded())
    sent = b"".join(received)
    assert sent == image.data[: len(sent)]
    assert 0 < len(sent) < len(image.data)


def test_a_compressed_piece_that_breaks_is_an_error(
    world: World, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_after_first_block(monkeypatch)
    response = world.request("GET", image.path("views/v86/524288/disk-0-524288.img.zst"))
    assert outcome(response) == (503, "S3_UNAVAILABLE", b"")


def test_a_worker_that_is_full(world: World, image: Image) -> None:
    busy = world.with_settings(**RULES, max_streams=1, stream_queue_seconds=0)
    path = image.path(f"views/{PIECES[0]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots_module.FairSlots, "_may_have", lambda *_: False)
        assert outcome(busy.request("GET", path)) == (503, "OVERLOADED", b"")
    assert busy.request("GET", path).status_code == 200
