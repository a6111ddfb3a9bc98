from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.settings import Settings, load_settings
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.cdn.edge import Edge
from tests.support.fake_cloudfront import DOMAIN, FakeCloudFront, serving
from tests.support.keys import make_key, pem_of

KEY_ID = "K2JCJMDEHXQW5F"
Distribution = Callable[..., FakeCloudFront]
Make = Callable[..., Settings]


@pytest.fixture
def make_settings(database_url: str, clients: StoreClients) -> Make:
    def make(**changes: str) -> Settings:
        return load_settings(
            {
                "S3_BUCKET": "images",
                "AWS_REGION": "us-east-1",
                "DATABASE_URL": database_url,
                "CLOUDFRONT_DOMAIN": DOMAIN,
                "CLOUDFRONT_KEY_PAIR_ID": KEY_ID,
                "CLOUDFRONT_PRIVATE_KEY_PEM": pem_of(make_key()),
                "CORS_ALLOW_ORIGIN": "https://app.example.com",
                "IMAGE_CACHE_CONTROL": "public-immutable",
                **changes,
            }
        )

    return make


@pytest.fixture
def store(clients: StoreClients, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store and the catalog that the checks use; both are the fixtures', which close them."""
    store = ObjectStore(clients)
    monkeypatch.setattr("image_gateway.doctor.cloudfront_targets.open_store", lambda _: store)
    monkeypatch.setattr("image_gateway.doctor.cloudfront_targets.open_catalog", lambda _: catalog)
    return store


@pytest.fixture
def distribution(clients: StoreClients) -> Iterator[Distribution]:
    """Starts a distribution over the bucket; its keys and faults are arguments."""

    def read(key: str) -> bytes | None:
        try:
            return clients.requests.get_object(Bucket=clients.address.bucket, Key=key)["Body"].read()
        except clients.requests.exceptions.NoSuchKey:
            return None

    with ExitStack() as running:

        def start(**changes: object) -> FakeCloudFront:
            keys = changes.pop("keys", [Edge(KEY_ID, make_key().public_key())])
            made = FakeCloudFront(read, keys, changes.pop("now", time.time), **changes)  # type: ignore[arg-type]
            return running.enter_context(serving(made))

        yield start
