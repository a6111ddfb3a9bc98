"""Objects that are written with a known SHA-256: as the SDK writes them, and by it where that is needed."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from image_gateway.errors import StoreError, StoreUnavailable
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.aws_shape import AwsShape, Canned, aws_shape

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = "images/a b/disk+1.seg"


@pytest.fixture
def shape(moto_clients: StoreClients) -> Iterator[AwsShape]:
    """A proxy before moto that notes what is asked, and answers instead where a test says so."""
    bucket = moto_clients.address.bucket
    if bucket not in {each["Name"] for each in moto_clients.requests.list_buckets()["Buckets"]}:
        moto_clients.requests.create_bucket(Bucket=bucket)
    url = urlsplit(moto_clients.address.endpoint or "")
    with aws_shape((url.hostname or "", url.port or 0)) as running:
        yield running


@pytest.fixture
def store(shape: AwsShape, moto_clients: StoreClients) -> ObjectStore:
    return ObjectStore(StoreClients(replace(moto_clients.address, endpoint=shape.url, read_timeout=2)))


def put(store: ObjectStore, data: bytes = DATA) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    return store.put(KEY, data, content_type="text/x", cache_control="no-store", sha256=sha256)


def test_it_is_the_object_that_the_sdk_writes(store: ObjectStore, shape: AwsShape) -> None:
    etag = put(store)
    written = store.head(KEY)
    assert store.open(KEY).body.read_all() == DATA
    assert etag == written.etag == store.put(KEY, DATA, content_type="text/x", cache_control="no-store")
    again = store.head(KEY)
    assert replace(again, last_modified=written.last_modified) == written
    assert (again.content_type, again.cache_control) == ("text/x", "no-store")


def test_the_signature_is_the_sdks(store: ObjectStore, shape: AwsShape) -> None:
    sent: dict[str, str] = {}

    def note(_method: str, target: str, headers: Mapping[str, str]) -> None:
        sent.update({**headers, "target": target})

    shape.script = note
    put(store)
    signed = {name: sent[name] for name in ("x-amz-content-sha256", "x-amz-date")}
    request = AWSRequest("PUT", f"http://{sent['host']}{sent['target']}", signed)
    request.context["timestamp"] = sent["x-amz-date"]
    signer = S3SigV4Auth(Credentials("key", "secret"), "s3", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    found = re.search(r"Signature=([0-9a-f]{64})", sent["authorization"])
    assert found is not None
    assert found[1] == signer.signature(text, request)
    assert sent["x-amz-content-sha256"] == SHA256


def test_the_sdk_repeats_what_the_store_refused_for_a_while(store: ObjectStore, shape: AwsShape) -> None:
    answers = [Canned(503, "SlowDown"), None]
    shape.script = lambda *_: answers.pop(0) if answers else None
    assert put(store) == store.head(KEY).etag
    assert [call.split()[0] for call in shape.calls] == ["PUT", "PUT", "HEAD"]


def test_what_the_store_refuses_is_an_error(store: ObjectStore, shape: AwsShape) -> None:
    shape.script = lambda *_: Canned(403, "AccessDenied")
    with pytest.raises(StoreError, match="the store rejected PutObject"):
        put(store)


def test_a_connection_that_the_store_closed_is_opened_anew(store: ObjectStore, shape: AwsShape) -> None:
    put(store)
    shape.script = lambda *_: Canned(403, "AccessDenied", close=True)
    with pytest.raises(StoreError):
        put(store)
    shape.script = lambda *_: None
    assert put(store, DATA * 2) == store.head(KEY).etag


def test_a_silent_store_is_not_waited_for_thrice(moto_clients: StoreClients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        address = replace(moto_clients.address, endpoint=endpoint, read_timeout=1)
        with pytest.raises(StoreUnavailable):
            put(ObjectStore(StoreClients(address)))
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
