"""An image through real gunicorn workers and a real store, and back."""

from __future__ import annotations

import hashlib
import random
import uuid
from pathlib import Path

import pytest
import urllib3

from image_gateway.client.api import ApiError, GatewayClient
from image_gateway.client.download import hash_by_chunks, hash_by_ranges
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.live.conftest import StartGateway
from tests.live.support import run_cli

pytestmark = pytest.mark.database

MIB = 1024 * 1024
SIZE = 12 * MIB + 512


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    return path


def ignore(_: int) -> None:
    """NullProgress watches."""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_up_and_back_by_ranges_and_chunks(
    client: GatewayClient, environment: dict[str, str], disk: Path
) -> None:
    image_id = upload_file(client, disk, parallel=3, on_bytes=ignore).image_id
    head = client.head_range(image_id)
    assert head["Content-Length"] == str(SIZE)
    assert head["Content-Type"] == "application/octet-stream"
    data = disk.read_bytes()
    for start, stop in [(0, 1), (SIZE - 1, SIZE), (5 * MIB - 1, 5 * MIB + 1), (123, 7 * MIB)]:
        assert client.read_range(image_id, start, stop) == data[start:stop]
    assert hash_by_ranges(client, image_id, SIZE, step=MIB, parallel=4, on_bytes=ignore) == sha256(disk)

    published = run_cli(environment, "publish", image_id, "--chunk-size", str(MIB))
    assert published.returncode == 0, published.stderr
    assert f"sha256 {sha256(disk)}" in published.stdout
    assert "chunked" in client.stream_url(image_id)
    assert hash_by_chunks(client, image_id, parallel=4, on_bytes=ignore) == sha256(disk)
    again = run_cli(environment, "publish", image_id)
    assert "0 sent, 13 already stored" in again.stdout
    other = run_cli(environment, "publish", image_id, "--chunk-size", "512")
    assert other.returncode == 1
    assert "is 1048576 bytes and cannot be changed" in other.stderr
    assert "Traceback" not in other.stderr


def test_create_on_one_process_and_complete_on_another(start: StartGateway, disk: Path) -> None:
    user = f"user-{uuid.uuid4()}"
    first, second = (GatewayClient(start(WEB_WORKERS="1").url, user) for _ in range(2))
    upload = first.create_image()
    data = disk.read_bytes()[: 6 * MIB]
    etags = {
        1: second.put_part(second.sign_part(upload, 1), data[: 5 * MIB]),
        2: first.put_part(first.sign_part(upload, 2), data[5 * MIB :]),
    }
    completed = second.complete(upload, etags)
    assert completed["size"] == 6 * MIB
    assert first.metadata(upload.image_id)["etag"] == completed["etag"]
    assert first.read_range(upload.image_id, 0, 6 * MIB) == data


def test_an_upload_survives_a_killed_gateway(start: StartGateway, disk: Path) -> None:
    gateway = start()
    user = f"user-{uuid.uuid4()}"
    client = GatewayClient(gateway.url, user)
    upload = client.create_image()
    data = disk.read_bytes()[: 6 * MIB]
    etags = {1: client.put_part(client.sign_part(upload, 1), data[: 5 * MIB])}
    gateway.process.kill()
    with pytest.raises(ApiError):
        client.sign_part(upload, 2)
    revived = GatewayClient(start().url, user)
    etags[2] = revived.put_part(revived.sign_part(upload, 2), data[5 * MIB :])
    assert revived.complete(upload, etags)["size"] == 6 * MIB
    assert revived.complete(upload, etags)["size"] == 6 * MIB
    assert revived.read_range(upload.image_id, 0, 6 * MIB) == data


def test_parts_reach_the_store_from_another_origin(client: GatewayClient) -> None:
    upload = client.create_image()
    url = client.sign_part(upload, 1)
    with urllib3.PoolManager(retries=False) as http:
        preflight = http.request(
            "OPTIONS", url, headers={"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
        )
        assert preflight.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")
        sent = http.request("PUT", url, body=b"data", headers={"Origin": "https://app.example"})
    assert sent.status == 200
    assert "etag" in sent.headers["Access-Control-Expose-Headers"].lower()


def test_a_mistake_in_the_list_names_the_part(client: GatewayClient) -> None:
    upload = client.create_image()
    etag = client.put_part(client.sign_part(upload, 1), b"small")
    client.put_part(client.sign_part(upload, 2), b"small")
    for etags, text in [
        ({1: etag, 3: etag}, "not found in the store: part 3"),
        ({1: '"00000000000000000000000000000000"'}, "does not match the store's: part 1"),
        ({1: etag, 2: etag}, "smaller than 5242880 bytes: part 1"),
    ]:
        with pytest.raises(ApiError, match=text) as caught:
            client.complete(upload, etags)
        assert caught.value.status == 400
    assert client.complete(upload, {1: etag})["size"] == 5


def test_an_object_replaced_in_the_store_is_never_mixed(
    client: GatewayClient, store: LocalStore, environment: dict[str, str], disk: Path
) -> None:
    image_id = upload_file(client, disk, parallel=2, on_bytes=ignore).image_id
    s3 = StoreClients(store.address).requests
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="images")
    (key,) = [item["Key"] for page in pages for item in page["Contents"] if image_id in item["Key"]]
    s3.put_object(Bucket="images", Key=key, Body=b"another version")
    with urllib3.PoolManager(retries=False) as http:
        headers = {**client.who.credentials().headers, "Range": "bytes=0-3"}
        answer = http.request("GET", f"{client.base_url}/v1/images/{image_id}/range", headers=headers)
        assert (answer.status, answer.data) == (200, b"another version")
    s3.delete_object(Bucket="images", Key=key)
    with pytest.raises(ApiError, match="no longer in the store"):
        client.read_range(image_id, 0, 4)


def test_the_log_holds_no_secret(
    gateway: LocalGateway, client: GatewayClient, store: LocalStore, disk: Path
) -> None:
    upload = client.create_image()
    url = client.sign_part(upload, 1)
    client.put_part(url, b"data")
    log = gateway.process.log.read_text()
    assert "listens on" in log
    for secret in (
        "X-Amz-Signature",
        "X-Amz-Credential",
        upload.upload_id,
        store.environment["AWS_SECRET_ACCESS_KEY"],
    ):
        assert secret not in log


def test_stream_url_without_cloudfront_works_as_it_is(client: GatewayClient, disk: Path) -> None:
    image_id = upload_file(client, disk, parallel=2, on_bytes=ignore).image_id
    stream = client.stream_url(image_id)
    assert stream["auth"]["type"] == "url"
    with urllib3.PoolManager(retries=False) as http:
        assert http.request("GET", stream["url"]).data == disk.read_bytes()
