"""Routes of background jobs: what is queued, who sees it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageState
from image_gateway.domain.jobs import JobState
from image_gateway.services.jobs.worker import CLAIM_LIFETIME
from tests.support.world import MIB, Image, World

URL = "https://example.org/images/disk.qcow2?signature=secret-signature"
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(b"x" * MIB)


def post(world: World, path: str, body: object = None, **options: Any) -> tuple[int, dict[str, Any]]:
    answer = world.request("POST", path, json=body, **options)
    return answer.status_code, answer.get_json()


def test_an_import_makes_an_image_and_its_job(world: World) -> None:
    status, made = post(world, "/v1/images/import", {"url": URL, "format": "qcow2"})
    assert status == 202
    assert (made["state"], made["job"]["kind"], made["job"]["state"]) == ("processing", "import", "queued")
    record = world.request("GET", f"/v1/images/{made['imageId']}").get_json()
    assert (record["name"], record["format"], record["state"]) == ("disk.qcow2", "qcow2", "processing")
    assert record["size"] is None
    job = world.catalog.jobs.find(made["job"]["jobId"])
    assert job is not None
    assert job.params["url"] == URL


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": "ftp://example.org/disk"}, "https"),
        ({"url": "http://example.org/disk"}, "https"),
        ({"url": "https://127.0.0.1/disk?token=secret-signature"}, "address"),
        ({"url": "https://user:secret-signature@example.org/"}, "credentials"),
        ({"url": URL, "format": "floppy"}, "format"),
        ({"url": URL, "sha256": "12"}, "sha256"),
        ({"url": URL, "name": ""}, "name"),
    ],
)
def test_a_bad_import_is_refused_and_changes_nothing(world: World, body: object, said: str) -> None:
    before = world.request("GET", "/v1/usage").get_json()
    status, answer = post(world, "/v1/images/import", body)
    assert status == 400
    assert said in answer["error"]["message"]
    assert "secret-signature" not in answer["error"]["message"]
    assert world.request("GET", "/v1/usage").get_json() == before
    assert world.request("GET", "/v1/images").get_json()["images"] == []


def test_an_empty_disk_counts_at_once(world: World) -> None:
    status, made = post(world, "/v1/images/empty", {"sizeBytes": 1024 * MIB, "name": "data"})
    assert (status, made["job"]["kind"]) == (202, "convert")
    record = world.request("GET", f"/v1/images/{made['imageId']}").get_json()
    assert (record["name"], record["sizeBytes"]) == ("data", 1024 * MIB)
    assert world.request("GET", "/v1/usage").get_json()["bytes"]["used"] == 1024 * MIB


@pytest.mark.parametrize("size", [0, -512, 511, 513, None, "512", True, 10**30])
def test_a_size_that_no_disk_has_is_refused(world: World, size: object) -> None:
    status, answer = post(world, "/v1/images/empty", {"sizeBytes": size})
    assert status == 400
    assert "sizeBytes" in answer["error"]["message"]
    assert world.request("GET", "/v1/usage").get_json()["images"]["used"] == 0


@pytest.mark.parametrize("route", ["range", "metadata", "stream-url", "chunked/manifest"])
def test_an_image_that_is_processed_is_not_readable(world: World, route: str) -> None:
    _, made = post(world, "/v1/images/empty", {"sizeBytes": 512})
    answer = world.request("GET", f"/v1/images/{made['imageId']}/{route}")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "INVALID_STATE")


def test_publishing_is_queued_once(world: World, image: Image) -> None:
    status, job = post(world, image.path("publish"), {"chunkSize": 65536})
    assert (status, job["kind"], job["state"]) == (202, "publish", "queued")
    assert post(world, image.path("publish")) == (202, job)
    listed = world.request("GET", image.path("jobs")).get_json()["jobs"]
    assert listed == [job]


@pytest.mark.parametrize(
    "body", [{"chunkSize": 500}, {"chunkSize": 1000}, {"chunkSize": 10**9}, {"checksum": "md5"}, [], "x"]
)
def test_a_bad_request_to_publish_is_refused(world: World, image: Image, body: object) -> None:
    status, _ = post(world, image.path("publish"), body)
    assert status == 400
    assert world.request("GET", image.path("jobs")).get_json() == {"jobs": []}


def test_chunks_of_another_size_are_refused(world: World, image: Image) -> None:
    world.publish(image, 65536)
    status, answer = post(world, image.path("publish"), {"chunkSize": 131072})
    assert (status, answer["error"]["code"]) == (409, "INVALID_STATE")


def test_only_what_is_published_can_be_verified(world: World, image: Image) -> None:
    status, answer = post(world, image.path("verify"))
    assert (status, answer["error"]["code"]) == (409, "INVALID_STATE")
    world.publish(image, 65536)
    status, job = post(world, image.path("verify"), {"sample": 3, "seed": 1})
    assert (status, job["kind"]) == (202, "verify")


def test_the_owner_sees_and_cancels(world: World) -> None:
    _, made = post(world, "/v1/images/import", {"url": URL})
    path = f"/v1/jobs/{made['job']['jobId']}"
    assert world.request("GET", path).get_json() == made["job"]
    # An id in capitals names the same job.
    cancelled = world.request("DELETE", f"/v1/jobs/{made['job']['jobId'].upper()}").get_json()
    assert cancelled["state"] == "cancelled"
    assert world.request("DELETE", path).get_json() == cancelled
    assert world.request("GET", path).get_json() == cancelled
    record = world.request("GET", f"/v1/images/{made['imageId']}").get_json()
    assert record["state"] == "failed"
    assert world.request("GET", "/v1/usage").get_json()["images"]["used"] == 0


def test_a_job_that_has_ended_cannot_be_cancelled(world: World, image: Image) -> None:
    _, job = post(world, image.path("publish"))
    claimed = world.catalog.jobs.claim("worker", now_of(lambda: 2**33), CLAIM_LIFETIME)
    assert claimed is not None
    assert world.catalog.jobs.finish(claimed, now_of(lambda: 2**33), {"chunks": 16})
    answer = world.request("DELETE", f"/v1/jobs/{job['jobId']}")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "INVALID_STATE")
    shown = world.request("GET", f"/v1/jobs/{job['jobId']}").get_json()
    assert (shown["state"], shown["result"]) == ("done", {"chunks": 16})


def test_a_failed_job_says_why(world: World) -> None:
    _, made = post(world, "/v1/images/import", {"url": URL})
    claimed = world.catalog.jobs.claim("worker", now_of(lambda: 2**33), CLAIM_LIFETIME)
    assert claimed is not None
    world.catalog.jobs.fail(claimed, now_of(lambda: 2**33), "SOURCE_REFUSED", "example.org answered 404")
    shown = world.request("GET", f"/v1/jobs/{made['job']['jobId']}").get_json()
    assert shown["state"] == JobState.FAILED
    assert shown["error"] == {"code": "SOURCE_REFUSED", "message": "example.org answered 404"}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("job_id", [UNKNOWN, "x", "%00"])
def test_an_unknown_job_is_not_found(world: World, method: str, job_id: str) -> None:
    assert world.request(method, f"/v1/jobs/{job_id}").status_code == 404


@pytest.mark.parametrize(
    ("method", "route"),
    [("POST", "publish"), ("POST", "verify"), ("GET", "jobs"), ("GET", "job"), ("DELETE", "job")],
)
@pytest.mark.parametrize(("user", "status"), [(None, 401), ("bob", 403)])
def test_others_see_no_jobs(
    world: World, image: Image, method: str, route: str, user: str | None, status: int
) -> None:
    _, job = post(world, image.path("publish"))
    path = f"/v1/jobs/{job['jobId']}" if route == "job" else image.path(route)
    assert world.request(method, path, user=user).status_code == status
    assert world.request("GET", f"/v1/jobs/{job['jobId']}").get_json() == job


def test_a_reader_of_a_shared_image_sees_no_jobs(world: World, image: Image) -> None:
    world.request("POST", image.path("shares"), json={"user": "bob", "permission": "read"})
    world.request("PATCH", image.path("").rstrip("/"), json={"visibility": "shared"})
    assert world.request("GET", image.path("range"), user="bob").status_code == 200
    assert world.request("GET", image.path("jobs"), user="bob").status_code == 403
    assert world.request("POST", image.path("publish"), user="bob").status_code == 403


def test_deleting_an_image_cancels_its_jobs(world: World) -> None:
    _, made = post(world, "/v1/images/empty", {"sizeBytes": 512})
    assert world.request("DELETE", f"/v1/images/{made['imageId']}").status_code == 200
    job = world.catalog.jobs.find(made["job"]["jobId"])
    assert job is not None
    assert job.state is JobState.CANCELLED


@pytest.mark.parametrize("image_format", ["qcow2", "auto", "iso"])
def test_an_upload_of_another_format_is_processed(world: World, image_format: str) -> None:
    made = world.request("POST", "/v1/images", json={"format": image_format}).get_json()
    record = world.catalog.find(made["imageId"])
    assert record is not None
    part = world.clients.requests.upload_part(
        Bucket=world.settings.s3_bucket,
        Key=record.upload_key,
        UploadId=made["uploadId"],
        PartNumber=1,
        Body=b"QFI\xfb",
    )
    parts = [(1, part["ETag"])]
    completed = world.complete(made["imageId"], made["uploadId"], parts).get_json()
    assert (completed["ok"], completed["state"], completed["size"]) == (True, "processing", 4)
    # Again, as after a lost answer.
    assert world.complete(made["imageId"], made["uploadId"], parts).get_json() == completed
    [job] = world.request("GET", f"/v1/images/{made['imageId']}/jobs").get_json()["jobs"]
    assert (job["kind"], job["state"]) == ("convert", "queued")
    refused = world.request("DELETE", f"/v1/images/{made['imageId']}/upload")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "INVALID_STATE")
    current = world.catalog.find(made["imageId"])
    assert current is not None
    assert current.state is ImageState.PROCESSING
