"""Create, upload-url and complete, and every mistake a client can make in them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from image_gateway.errors import StoreUnavailable
from tests.support.world import MIB, OWNER, World

pytestmark = pytest.mark.database


def test_create_answers_the_old_fields(world: World) -> None:
    response = world.request("POST", "/v1/images")
    assert response.status_code == 200
    assert set(response.get_json()) == {"imageId", "uploadId", "partSize", "expiresAt"}
    assert response.get_json()["partSize"] == 64 * MIB
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [{}, {"name": "later"}])
def test_create_takes_an_optional_body(world: World, body: dict[str, Any]) -> None:
    assert world.request("POST", "/v1/images", json=body).status_code == 200


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"data": "{", "content_type": "application/json"}, 400, "BAD_REQUEST"),
        ({"data": "[" * 100_000, "content_type": "application/json"}, 400, "BAD_REQUEST"),
        ({"data": b"\xff", "content_type": "application/json"}, 400, "BAD_REQUEST"),
        ({"json": [1]}, 400, "BAD_REQUEST"),
        ({"json": None, "data": "null", "content_type": "application/json"}, 400, "BAD_REQUEST"),
        ({"data": "a=b", "content_type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"data": b"x" * (4 * MIB + 1), "content_type": "application/json"}, 413, "TOO_LARGE"),
    ],
    ids=["cut", "deep", "not UTF-8", "list", "null", "form", "large"],
)
def test_create_refuses_a_bad_body(world: World, options: dict[str, Any], status: int, code: str) -> None:
    options = {name: value for name, value in options.items() if value is not None}
    response = world.request("POST", "/v1/images", **options)
    assert (response.status_code, response.get_json()["error"]["code"]) == (status, code)
    uploads = world.clients.requests.list_multipart_uploads(Bucket=world.settings.s3_bucket)
    assert uploads.get("Uploads", []) == []


def test_new_objects_carry_the_headers_that_the_cdn_serves(world: World) -> None:
    image = world.make_image(b"x" * 512)
    stored = world.clients.requests.head_object(Bucket=world.settings.s3_bucket, Key=image.key)
    assert stored["ContentType"] == "application/octet-stream"
    assert stored["ContentEncoding"] == "identity"
    assert stored["CacheControl"] == "private, no-store, no-transform"


def test_public_immutable_objects(world: World) -> None:
    image = world.with_settings(image_cache_control="public-immutable").make_image(b"x" * 512)
    stored = world.clients.requests.head_object(Bucket=world.settings.s3_bucket, Key=image.key)
    assert stored["CacheControl"] == "public, max-age=31536000, immutable, no-transform"


def test_upload_url_is_presigned_without_any_checksum(world: World) -> None:
    image_id, upload_id = world.begin()
    response = world.request(
        "POST", f"/v1/images/{image_id}/upload-url", json={"uploadId": upload_id, "partNumber": 7}
    )
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    url = response.get_json()["url"]
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    assert "partNumber=7" in url
    assert "X-Amz-Expires=3600" in url
    assert "checksum" not in url.lower()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", response.get_json()["expiresAt"])


UPLOAD_ID_FAULTS = [None, "", 5, True, "x" * 1025, "a\nb", ["x"]]
PART_NUMBER_FAULTS = [None, 0, -1, 10_001, 1.5, "1", True, [1], 10**40]


@pytest.mark.parametrize("upload_id", UPLOAD_ID_FAULTS, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("route", ["upload-url", "complete"])
def test_a_bad_upload_id_names_itself(world: World, route: str, upload_id: Any) -> None:
    image_id, _ = world.begin()
    body = {"uploadId": upload_id, "partNumber": 1, "parts": [{"partNumber": 1, "etag": "x"}]}
    response = world.request("POST", f"/v1/images/{image_id}/{route}", json=body)
    assert response.status_code == 400
    assert response.get_json()["error"]["message"].startswith("uploadId")


@pytest.mark.parametrize("number", PART_NUMBER_FAULTS, ids=lambda value: repr(value)[:12])
def test_a_bad_part_number_names_itself(world: World, number: Any) -> None:
    image_id, upload_id = world.begin()
    path = f"/v1/images/{image_id}"
    signed = world.request("POST", f"{path}/upload-url", json={"uploadId": upload_id, "partNumber": number})
    assert signed.status_code == 400
    assert signed.get_json()["error"]["message"].startswith("partNumber")
    completed = world.complete(image_id, upload_id, [(1, "x"), (number, "y")])
    assert completed.status_code == 400
    assert completed.get_json()["error"]["message"].startswith("parts[1].partNumber")


def test_another_images_upload_id_is_refused(world: World) -> None:
    image_id, _ = world.begin()
    _, other = world.begin()
    body = {"uploadId": other, "partNumber": 1}
    assert world.request("POST", f"/v1/images/{image_id}/upload-url", json=body).status_code == 400
    assert world.complete(image_id, other, [(1, "x")]).status_code == 400


@pytest.mark.parametrize("route", ["upload-url", "complete"])
def test_only_the_owner_uploads(world: World, route: str) -> None:
    image_id, upload_id = world.begin()
    body = {"uploadId": upload_id, "partNumber": 1, "parts": [{"partNumber": 1, "etag": "x"}]}
    response = world.request("POST", f"/v1/images/{image_id}/{route}", json=body, user="mallory")
    assert response.status_code == 403


def test_no_parts_after_completion(world: World) -> None:
    image = world.make_image(b"x")
    body = {"uploadId": image.upload_id, "partNumber": 2}
    response = world.request("POST", image.path("upload-url"), json=body)
    assert (response.status_code, response.get_json()["error"]["code"]) == (409, "INVALID_STATE")


def test_complete_takes_any_order_and_bare_etags(world: World) -> None:
    image_id, upload_id = world.begin()
    first = world.put_part(image_id, upload_id, 1, b"a" * (5 * MIB))
    second = world.put_part(image_id, upload_id, 2, b"b")
    response = world.complete(image_id, upload_id, [(2, second.strip('"')), (1, first)])
    assert response.status_code == 200
    body = response.get_json()
    assert (body["ok"], body["size"]) == (True, 5 * MIB + 1)
    assert re.fullmatch(r'"[0-9a-f]{32}-2"', body["etag"])


def test_complete_may_be_repeated(world: World) -> None:
    image = world.make_image(b"data")
    again = world.complete(image.image_id, image.upload_id, [(1, "whatever")])
    assert again.status_code == 200
    assert (again.get_json()["etag"], again.get_json()["lastModified"]) == (image.etag, image.last_modified)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], "parts"),
        ([(1, "{1}"), (1, "{1}")], "must not repeat: part 1"),
        ([(1, "{1}"), (3, "x")], "not found in the store: part 3"),
        ([(1, "wrong")], "ETag does not match the store's: part 1"),
        ([(1, "{1}"), (2, "{2}")], "smaller than 5242880 bytes: part 1"),
        ([(1, "")], "parts[0].etag"),
        ([(1, "x" * 4097)], "parts[0].etag"),
        ([(1, "a\x00b")], "parts[0].etag"),
    ],
    ids=["none", "repeated", "unknown", "wrong etag", "small", "empty etag", "long etag", "NUL"],
)
def test_a_list_that_cannot_be_joined_names_the_part_and_keeps_the_upload(
    world: World, parts: list[tuple[int, str]], text: str
) -> None:
    image_id, upload_id = world.begin()
    etags = {number: world.put_part(image_id, upload_id, number, b"small") for number in (1, 2)}
    claimed = [(number, etags[int(etag[1])] if etag in ("{1}", "{2}") else etag) for number, etag in parts]
    response = world.complete(image_id, upload_id, claimed)
    assert response.status_code == 400
    assert text in response.get_json()["error"]["message"]
    assert world.complete(image_id, upload_id, [(1, etags[1])]).status_code == 200


def test_complete_that_the_store_had_finished_already_is_success(world: World) -> None:
    image_id, upload_id = world.begin()
    etag = world.put_part(image_id, upload_id, 1, b"data")
    world.clients.requests.complete_multipart_upload(
        Bucket=world.settings.s3_bucket,
        Key=world.key_of(image_id),
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
    )
    assert world.complete(image_id, upload_id, [(1, etag)]).get_json()["size"] == 4


def test_complete_of_an_aborted_upload_is_a_conflict(world: World) -> None:
    image_id, upload_id = world.begin()
    world.store.abort_upload(world.key_of(image_id), upload_id)
    world.store.abort_upload(world.key_of(image_id), upload_id)
    response = world.complete(image_id, upload_id, [(1, "x")])
    assert (response.status_code, response.get_json()["error"]["code"]) == (409, "INVALID_STATE")


def test_complete_whose_answer_was_lost_is_settled_by_the_object(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id, upload_id = world.begin()
    etag = world.put_part(image_id, upload_id, 1, b"data")
    complete = world.store.complete_upload

    def lose_the_answer(*args: Any) -> None:
        complete(*args)
        raise StoreUnavailable("timed out")

    monkeypatch.setattr(world.store, "complete_upload", lose_the_answer)
    assert world.complete(image_id, upload_id, [(1, etag)]).status_code == 200


def test_complete_that_the_store_could_not_do_can_be_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id, upload_id = world.begin()
    etag = world.put_part(image_id, upload_id, 1, b"data")

    def fail(*_: Any) -> None:
        raise StoreUnavailable("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "complete_upload", fail)
        response = world.complete(image_id, upload_id, [(1, etag)])
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert world.complete(image_id, upload_id, [(1, etag)]).status_code == 200


def test_a_record_that_cannot_be_written_leaves_no_upload(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(world.catalog, "add", fail)
    assert world.request("POST", "/v1/images").status_code == 500
    uploads = world.clients.requests.list_multipart_uploads(Bucket=world.settings.s3_bucket)
    assert uploads.get("Uploads", []) == []


@pytest.mark.parametrize("owner", ["../../x", "a/b", "a?b", "a#b", "50%", "a*b", "..", "ünï", "a b"])
def test_an_owner_never_reaches_the_key_raw(world: World, owner: str) -> None:
    sent = owner.encode().decode("latin-1")
    image = world.make_image(b"x", owner=sent)
    assert re.fullmatch(r"images/[0-9a-f]{40}/[0-9a-f-]{36}/[0-9a-f]{16}/disk\.img", image.key)
    assert world.request("GET", image.path("range"), user=sent).data == b"x"
    assert world.request("GET", image.path("range"), user=OWNER).status_code == 403


def test_the_root_as_base_path_makes_no_empty_segment(world: World) -> None:
    image = world.with_settings(image_base_path="").make_image(b"x")
    assert re.fullmatch(r"[0-9a-f]{40}/[0-9a-f-]{36}/[0-9a-f]{16}/disk\.img", image.key)


def test_an_image_stays_readable_when_the_base_path_changes(world: World) -> None:
    image = world.make_image(b"x")
    moved = world.with_settings(image_base_path="/elsewhere")
    assert moved.request("GET", image.path("range")).data == b"x"
