"""How the clients are made, and what their presigned URLs hold."""

from __future__ import annotations

import os
from urllib.parse import parse_qs, urlsplit

import pytest

from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore

PRIVATE = "http://store.internal:9000"
PUBLIC = "https://images.example.com"


def clients(**changes: object) -> StoreClients:
    return StoreClients(
        StoreAddress("images", "eu-central-1", credentials=("key", "secret"), **changes)  # type: ignore[arg-type]
    )


def test_config_of_the_client() -> None:
    config = clients(endpoint=PRIVATE, path_style=True, pool_size=77, connect_timeout=3, read_timeout=9)
    merged = config.requests.meta.config
    assert merged.signature_version == "s3v4"
    assert merged.s3 == {"addressing_style": "path"}
    assert merged.max_pool_connections == 77
    assert (merged.connect_timeout, merged.read_timeout) == (3, 9)
    assert merged.request_checksum_calculation == "when_required"
    assert merged.response_checksum_validation == "when_required"
    assert merged.retries["mode"] == "standard"


@pytest.mark.parametrize(
    ("changes", "host", "path"),
    [
        ({"endpoint": PRIVATE, "path_style": True}, "store.internal:9000", "/images/k"),
        (
            {"endpoint": PRIVATE, "public_endpoint": PUBLIC, "path_style": True},
            "images.example.com",
            "/images/k",
        ),
        ({"endpoint": PRIVATE, "public_endpoint": PUBLIC}, "images.images.example.com", "/k"),
        ({}, "images.s3.eu-central-1.amazonaws.com", "/k"),
    ],
    ids=["endpoint", "public endpoint", "virtual host", "AWS"],
)
def test_presigned_urls_name_the_browsers_host_and_no_checksum(
    changes: dict[str, object], host: str, path: str
) -> None:
    url = urlsplit(ObjectStore(clients(**changes)).sign_part("k", "u", 3, lifetime=60))
    query = parse_qs(url.query)
    assert (url.netloc, url.path) == (host, path)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["60"]
    assert query["X-Amz-SignedHeaders"] == ["host"]
    assert (query["partNumber"], query["uploadId"]) == (["3"], ["u"])
    assert not [name for name in query if "checksum" in name.lower()]


def test_one_client_a_process_made_after_the_fork() -> None:
    pair = clients(endpoint=PRIVATE)
    parent = pair.requests
    assert pair.requests is parent
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"new" if pair.requests is not parent else b"old")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 3) == b"new"


def test_the_signing_client_is_the_other_one_unless_a_public_endpoint_is_set() -> None:
    plain = clients(endpoint=PRIVATE)
    assert plain.signing is plain.requests
    public = clients(endpoint=PRIVATE, public_endpoint=PUBLIC)
    assert public.signing is not public.requests
