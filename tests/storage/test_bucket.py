"""The bucket's set-up against stores that lack an API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.stub import Stubber

from image_gateway.storage.bucket import BucketSetup, Outcome
from image_gateway.storage.client import StoreAddress, StoreClients


@pytest.fixture
def clients() -> StoreClients:
    address = StoreAddress(
        "images", "us-east-1", "http://127.0.0.1:1", path_style=True, credentials=("k", "s")
    )
    return StoreClients(address)


@pytest.fixture
def stub(clients: StoreClients) -> Iterator[Stubber]:
    with Stubber(clients.requests) as stubber:
        yield stubber


@pytest.mark.parametrize(
    ("cors", "lifecycle", "outcomes"),
    [
        ("NotImplemented", "MalformedXML", [Outcome.UNSUPPORTED, Outcome.UNSUPPORTED]),
        ("MethodNotAllowed", "InvalidArgument", [Outcome.UNSUPPORTED, Outcome.UNSUPPORTED]),
        ("AccessDenied", "AccessDenied", [Outcome.FAILED, Outcome.FAILED]),
        ("MalformedXML", "NotImplemented", [Outcome.FAILED, Outcome.UNSUPPORTED]),
    ],
)
def test_what_a_store_lacks_is_told_from_what_it_refuses(
    clients: StoreClients, stub: Stubber, cors: str, lifecycle: str, outcomes: list[Outcome]
) -> None:
    stub.add_response("head_bucket", {})
    stub.add_client_error("put_bucket_cors", cors)
    stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
    stub.add_client_error("put_bucket_lifecycle_configuration", lifecycle)
    steps = list(BucketSetup(clients, ("*",)).run())
    assert [step.outcome for step in steps[1:3]] == outcomes
    assert [step.outcome for step in steps[3:]] == [Outcome.FAILED, Outcome.FAILED]


def test_rules_that_are_there_are_kept(clients: StoreClients, stub: Stubber) -> None:
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3}}
    ours = {
        "ID": "image-gateway-abort-incomplete",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 30},
    }
    stub.add_response("head_bucket", {})
    stub.add_response("put_bucket_cors", {})
    stub.add_response("get_bucket_lifecycle_configuration", {"Rules": [theirs, ours]})
    stub.add_response(
        "put_bucket_lifecycle_configuration",
        {},
        {"Bucket": "images", "LifecycleConfiguration": {"Rules": [theirs, ours]}},
    )
    steps = list(BucketSetup(clients, ("*",)).run())
    assert [step.outcome for step in steps[:3]] == [Outcome.DONE] * 3
