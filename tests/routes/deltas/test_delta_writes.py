"""Routes by which sessions write: every rule of the headers, the body and the fence."""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from image_gateway.errors import StoreUnavailable
from image_gateway.protocol.deltas.segment import MAX_SEGMENT_BYTES, Extent, encode_segment
from tests.support.delta_api import BLOCK, DeltaApi, digest_of, error_of, make_delta, one_block
from tests.support.world import Image, World

pytestmark = pytest.mark.database


def stream_commit(delta: DeltaApi, body: bytes, environ: dict[str, object]) -> TestResponse:
    """Send a commit on generation 0 as a stream, with a part of the WSGI environment."""
    return delta.world.request(
        "POST",
        f"{delta.path}/commits",
        user=None,
        headers=delta.headers(body, 0),
        input_stream=io.BytesIO(body),
        environ_overrides=environ,
    )


def test_a_commit_is_the_next_generation(delta: DeltaApi) -> None:
    answer = delta.commit(one_block(), 0)
    assert answer.status_code == 200
    assert answer.get_json() == {"deltaId": delta.delta_id, "generation": 1, "epoch": 1}
    assert answer.headers["ETag"] == '"1"'
    record = delta.done("GET")
    assert (record["generation"], record["storedBytes"]) == (1, len(one_block()))


def test_the_id_may_be_spelt_in_capitals(delta: DeltaApi) -> None:
    spelt = replace(delta, delta_id=delta.delta_id.upper())
    assert spelt.commit(one_block(), 0).get_json()["deltaId"] == delta.delta_id


def test_the_same_key_has_the_same_answer_also_behind_a_fence(delta: DeltaApi) -> None:
    first = delta.commit(one_block(), 0, idempotency_key="k").get_json()
    delta.write(1)
    assert delta.commit(one_block(), 0, idempotency_key="k").get_json() == first
    older = replace(delta)
    delta.open_session()
    assert older.commit(one_block(), 0, idempotency_key="k").get_json() == first
    assert delta.commit(one_block(), 0, idempotency_key="k").get_json() == first
    other = delta.commit(one_block(b"y" * BLOCK), 2, idempotency_key="k")
    assert error_of(other) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert delta.done("GET")["generation"] == 2


def test_an_older_session_is_fenced(delta: DeltaApi) -> None:
    older = replace(delta)
    delta.open_session()
    assert error_of(older.commit(one_block(), 0)) == (409, "FENCED")
    assert error_of(older.commit(one_block(), 7)) == (409, "FENCED")
    assert delta.commit(one_block(), 0).status_code == 200


def test_a_reset_fences_too(delta: DeltaApi) -> None:
    delta.write(0)
    delta.done("POST", "/reset", json={"generation": 0})
    assert error_of(delta.commit(one_block(), 2)) == (409, "FENCED")


def test_another_generation_is_told_the_current_one(delta: DeltaApi) -> None:
    delta.write(0, 1)
    for known in (0, 1, 3, 10**17):
        answer = delta.commit(one_block(), known)
        assert error_of(answer) == (412, "PRECONDITION_FAILED")
        assert answer.headers["ETag"] == '"2"'


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("if_match", None, (428, "PRECONDITION_REQUIRED")),
        ("if_match", "", (400, "BAD_REQUEST")),
        ("if_match", "*", (400, "BAD_REQUEST")),
        ("if_match", "0", (400, "BAD_REQUEST")),
        ("if_match", 'W/"0"', (400, "BAD_REQUEST")),
        ("if_match", '"0", "1"', (400, "BAD_REQUEST")),
        ("if_match", '"0x0"', (400, "BAD_REQUEST")),
        ("if_match", '"\u0660"', (400, "BAD_REQUEST")),
        ("if_match", '"' + "9" * 19 + '"', (400, "BAD_REQUEST")),
        ("idempotency_key", None, (400, "BAD_REQUEST")),
        ("idempotency_key", "", (400, "BAD_REQUEST")),
        ("idempotency_key", "x" * 129, (400, "BAD_REQUEST")),
        ("idempotency_key", "é", (400, "BAD_REQUEST")),
        ("content_digest", None, (400, "BAD_REQUEST")),
        ("content_digest", "", (400, "BAD_REQUEST")),
        ("content_digest", "sha-512=:AAAA:", (400, "BAD_REQUEST")),
        ("content_digest", "sha-256=:AAAA:", (400, "BAD_REQUEST")),
        ("content_digest", "sha-256=AAAA", (400, "BAD_REQUEST")),
        ("content_digest", "sha-256=:not base64:", (400, "BAD_REQUEST")),
        ("content_digest", digest_of(b"other"), (400, "BAD_REQUEST")),
        ("content_type", None, (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("content_type", "application/json", (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("authorization", None, (401, "UNAUTH")),
        ("authorization", "Bearer igl~k1~forged", (401, "UNAUTH")),
    ],
)
def test_what_a_commit_needs(
    delta: DeltaApi, header: str, value: str | None, expected: tuple[int, str]
) -> None:
    encoded = value.encode().decode("latin-1") if value is not None else None
    assert error_of(delta.commit(one_block(), 0, **{header: encoded})) == expected
    assert delta.done("GET")["generation"] == 0
    assert delta.done("GET")["storedBytes"] == 0


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("if_match", ' "0" '),
        ("idempotency_key", "x"),
        ("idempotency_key", '!"#$ ~' * 21),
        ("content_type", "Application/Octet-Stream; x=y"),
    ],
)
def test_what_a_commit_may_have(delta: DeltaApi, header: str, value: str) -> None:
    assert delta.commit(one_block(), 0, **{header: value}).status_code == 200


def test_digests_of_other_algorithms_are_ignored(delta: DeltaApi) -> None:
    body = one_block()
    sha512 = b64encode(hashlib.sha512(body).digest()).decode()
    header = f"sha-512=:{sha512}:, {digest_of(body)};x=1 , unixsum=:AAAA:"
    assert delta.commit(body, 0, content_digest=header).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"IGD1",
        one_block()[:-1],
        one_block() + b"x",
        one_block()[:-1] + b"y",
        one_block(block=301),
        one_block(b"x" * 2 * BLOCK, block=300),
        encode_segment(4096, [Extent(0, 1, bytes(4096))]),
        b"\xff" * 1000,
    ],
)
def test_what_is_no_segment_for_the_delta_is_refused(delta: DeltaApi, body: bytes) -> None:
    assert error_of(delta.commit(body, 0)) == (400, "BAD_REQUEST")
    assert delta.done("GET")["generation"] == 0


def test_a_commit_may_have_eight_mebibytes(world: World) -> None:
    image = world.make_image(bytes(20 * 1024 * 1024))
    delta = make_delta(world, image, blockSize=65_536)
    delta.open_session()
    blocks = (MAX_SEGMENT_BYTES - 36) // 65_536
    body = encode_segment(65_536, [Extent(0, blocks, bytes([7]) * 65_536 * blocks)])
    assert len(body) > 4 * 1024 * 1024
    assert delta.commit(body, 0).status_code == 200
    # At the limit the body is read, and then no segment.
    assert error_of(delta.commit(bytes(MAX_SEGMENT_BYTES), 1)) == (400, "BAD_REQUEST")
    assert error_of(delta.commit(bytes(MAX_SEGMENT_BYTES + 1), 1)) == (413, "TOO_LARGE")
    assert error_of(delta.commit(bytes(MAX_SEGMENT_BYTES + 2), 1)) == (413, "TOO_LARGE")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(MAX_SEGMENT_BYTES, 400), (MAX_SEGMENT_BYTES + 1, 413), (2 * MAX_SEGMENT_BYTES, 413)],
)
def test_a_body_without_a_length_is_bounded_as_well(delta: DeltaApi, size: int, expected: int) -> None:
    body = bytes(size)
    answer = stream_commit(delta, body, {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""})
    assert answer.status_code == expected


def test_a_chunked_commit_is_stored(delta: DeltaApi) -> None:
    body = one_block()
    answer = stream_commit(delta, body, {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""})
    assert answer.status_code == 200


def test_a_truncated_body_is_refused(delta: DeltaApi) -> None:
    body = one_block()
    answer = stream_commit(delta, body, {"CONTENT_LENGTH": str(len(body) + 1)})
    assert error_of(answer) == (400, "BAD_REQUEST")
    assert delta.done("GET")["generation"] == 0


def test_only_the_session_of_this_delta_writes(delta: DeltaApi, image: Image) -> None:
    body = one_block()
    other = make_delta(delta.world, image)
    other.open_session()
    reader = delta.world.request("POST", "/v1/leases", json={"deltaId": delta.delta_id}).get_json()
    for token in (other.token, reader["token"], delta.world.make_lease(image)["token"]):
        assert error_of(replace(delta, token=token).commit(body, 0)) == (403, "FORBIDDEN")
    by_identity = delta.ask(
        "POST", "/commits", data=body, headers=delta.headers(body, 0) | {"Authorization": ""}
    )
    assert error_of(by_identity) == (403, "FORBIDDEN")
    assert delta.done("GET")["generation"] == 0


def test_a_session_that_ended_writes_no_more(delta: DeltaApi) -> None:
    session = delta.open_session()
    ended = delta.world.bearing(delta.token, "DELETE", f"/v1/leases/{session['leaseId']}")
    assert ended.status_code == 200
    assert error_of(delta.commit(one_block(), 0)) == (403, "LEASE_REVOKED")


def test_who_may_write_to_the_image_no_more_is_refused(world: World, image: Image) -> None:
    world.share_with(image, "wendy", "write")
    delta = make_delta(world, image, user="wendy")
    delta.token = delta.done("POST", "/sessions", 201, user="wendy")["token"]
    assert delta.commit(one_block(), 0).status_code == 200
    world.share_with(image, "wendy", "read")
    assert error_of(delta.commit(one_block(), 1)) == (403, "FORBIDDEN")
    assert delta.ask("GET", "/map", user="wendy").status_code == 200
    world.request("DELETE", image.path("shares"), query_string={"user": "wendy"})
    assert error_of(delta.commit(one_block(), 1)) == (403, "FORBIDDEN")
    assert error_of(delta.ask("GET", "/map", user="wendy")) == (403, "FORBIDDEN")
    assert delta.ask("DELETE", user="wendy").status_code == 200


def test_the_quota_stops_commits_without_a_trace(delta: DeltaApi) -> None:
    used = delta.world.request("GET", "/v1/usage").get_json()["bytes"]["used"]
    world = delta.world.with_settings(rate_limits=False, quota_bytes=used + len(one_block()))
    limited = make_delta(world, delta.image)
    limited.open_session()
    assert limited.commit(one_block(), 0).status_code == 200
    objects = [item.key for item in world.store.list_objects("")]
    assert error_of(limited.commit(one_block(), 1)) == (403, "QUOTA_EXCEEDED")
    assert [item.key for item in world.store.list_objects("")] == objects
    assert limited.done("GET")["generation"] == 1


def test_a_store_that_is_down_is_to_be_asked_again(delta: DeltaApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise StoreUnavailable("the store does not answer; try again")

    body = one_block()
    with monkeypatch.context() as patched:
        patched.setattr(delta.world.store, "put", fail)
        answer = delta.commit(body, 0, idempotency_key="k")
    assert error_of(answer) == (503, "S3_UNAVAILABLE")
    assert "Retry-After" in answer.headers
    assert delta.commit(body, 0, idempotency_key="k").get_json()["generation"] == 1
