"""The route by which sessions write one block."""

from __future__ import annotations

import pytest

from tests.support.delta_api import BLOCK, OCTETS, DeltaApi, digest_of, error_of

pytestmark = pytest.mark.database


def put_block(delta: DeltaApi, block: str, data: bytes, **headers: str) -> tuple[int, str | int]:
    """Put a block, and return the status with the new generation or the error's code."""
    given = {"Authorization": f"Bearer {delta.token}", "Content-Type": OCTETS, "If-Match": '"0"', **headers}
    path = f"{delta.path}/blocks/{block}"
    answer = delta.world.request("PUT", path, user=None, data=data, headers=given)
    document = answer.get_json()
    return answer.status_code, document["error"]["code"] if "error" in document else document["generation"]


def test_one_block_is_a_commit(delta: DeltaApi) -> None:
    data = b"z" * BLOCK
    assert put_block(delta, "300", data) == (200, 1)
    assert put_block(delta, "0", data, **{"If-Match": '"1"', "Content-Digest": digest_of(data)}) == (200, 2)
    assert delta.done("GET", "/map")["runs"] == [[0, 1, "data"], [300, 1, "data"]]


def test_a_block_with_a_key_is_repeated(delta: DeltaApi) -> None:
    key = {"Idempotency-Key": "k"}
    assert put_block(delta, "1", b"z" * BLOCK, **key) == (200, 1)
    assert put_block(delta, "1", b"z" * BLOCK, **key) == (200, 1)
    assert put_block(delta, "1", b"y" * BLOCK, **key) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert put_block(delta, "1", b"z" * BLOCK) == (412, "PRECONDITION_FAILED")


@pytest.mark.parametrize("block", ["301", "-1", "x", "1.0", "٣", "9" * 18, "9" * 30])
def test_a_block_that_the_disk_has_not(delta: DeltaApi, block: str) -> None:
    assert put_block(delta, block, bytes(BLOCK)) == (404, "NOT_FOUND")


def test_what_is_no_block_is_refused(delta: DeltaApi) -> None:
    for data in (b"", bytes(BLOCK - 1), bytes(BLOCK + 1), bytes(65_536)):
        assert put_block(delta, "0", data) == (400, "BAD_REQUEST")
    assert put_block(delta, "0", bytes(65_537)) == (413, "TOO_LARGE")
    wrong = {"Content-Digest": digest_of(b"other")}
    assert put_block(delta, "0", bytes(BLOCK), **wrong) == (400, "BAD_REQUEST")
    assert put_block(delta, "0", bytes(BLOCK), **{"Idempotency-Key": "\t"}) == (400, "BAD_REQUEST")
    json_body = {"Content-Type": "application/json"}
    assert put_block(delta, "0", bytes(BLOCK), **json_body) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert delta.done("GET")["generation"] == 0


def test_a_block_needs_if_match_and_a_session(delta: DeltaApi) -> None:
    path, body = f"{delta.path}/blocks/0", bytes(BLOCK)
    octets = {"Content-Type": OCTETS}
    without = delta.world.bearing(delta.token, "PUT", path, data=body, headers=octets)
    assert error_of(without) == (428, "PRECONDITION_REQUIRED")
    known = octets | {"If-Match": '"0"'}
    assert error_of(delta.world.request("PUT", path, data=body, headers=known)) == (403, "FORBIDDEN")
    assert error_of(delta.world.request("PUT", path, user=None, data=body, headers=known)) == (401, "UNAUTH")
