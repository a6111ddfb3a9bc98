"""Gateways over several stores with one catalog, and uploads through them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.local.seaweed import LocalStore
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreAddress, StoreClients
from tests.support.aws_shape import AwsShape, aws_shape
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.world import Image, World, make_world

MIB = 1024 * 1024
PART = 5 * MIB
DATA = random.Random(3).randbytes(PART + 4096)


@pytest.fixture(scope="module")
def shape(store: LocalStore) -> Iterator[AwsShape]:
    address = urlsplit(store.address.endpoint or "")
    with aws_shape((address.hostname or "", address.port or 0)) as made:
        yield made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, shape: AwsShape) -> Iterator[None]:
    """The SDK does not wait between its tries, and nothing is left of another test's script."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    yield
    shape.script, shape.slow_down_every = lambda *_: None, 0
    shape.loses = lambda *_: False


@dataclass
class Places:
    """A gateway over each of the stores, all with one catalog."""

    worlds: dict[str, World]

    def world(self, name: str, cache: Path | None = None) -> World:
        plain = self.worlds[name]
        return plain if cache is None else plain.with_settings(range_cache_dir=str(cache))

    def close(self) -> None:
        """Close the connections that are kept for the next read."""
        for world in self.worlds.values():
            for pool in world.store._reads._pools.values():  # type: ignore[attr-defined]
                while kept := pool.take():
                    kept.close()
            world.clients.requests.close()


@contextmanager
def running_places(
    addresses: Mapping[str, StoreAddress], databases: Databases, checker: ContractChecker
) -> Iterator[Places]:
    url = databases.make_migrated()
    engine = open_engine(url)
    settings = load_settings(
        {
            "S3_BUCKET": "images",
            "AWS_REGION": "us-east-1",
            "DATABASE_URL": url,
            "ACCESS_CACHE_SECONDS": "0",
            "MULTIPART_PART_SIZE_BYTES": str(PART),
        }
    )
    made = Places(
        {
            name: make_world(settings, Catalog(engine), checker, StoreClients(address))
            for name, address in addresses.items()
        }
    )
    yield made
    made.close()
    engine.dispose()
    databases.drop(url)


def put(world: World, plan: Mapping[str, Any], number: int, data: bytes) -> str:
    """PUT a part as a browser does, and again when the store is too busy; returns its ETag."""
    body = {"uploadId": plan["uploadId"], "partNumbers": [number]}
    signed = world.request("POST", f"/v1/images/{plan['imageId']}/upload-urls", json=body).get_json()
    with urllib3.PoolManager(retries=False) as http:
        for _ in range(3):
            answer = http.request("PUT", signed["urls"][0]["url"], body=data)
            if answer.status != 503:
                break
    assert answer.status == 200, answer.data
    return answer.headers["ETag"]


def begin(world: World, **body: Any) -> dict[str, Any]:
    plan: dict[str, Any] = world.request("POST", "/v1/images", json=body).get_json()
    return plan


def complete(world: World, plan: Mapping[str, Any], parts: list[tuple[int, str]] | None = None) -> Any:
    body: dict[str, Any] = {"uploadId": plan["uploadId"]}
    if parts is not None:
        body["parts"] = [{"partNumber": number, "etag": etag} for number, etag in parts]
    return world.request("POST", f"/v1/images/{plan['imageId']}/complete", json=body)


def upload(world: World, data: bytes = DATA) -> Image:
    plan = begin(world, sizeBytes=len(data))
    for number, start in enumerate(range(0, len(data), PART), 1):
        put(world, plan, number, data[start : start + PART])
    answer = complete(world, plan)
    assert answer.status_code == 200, answer.text
    done = answer.get_json()
    key = world.key_of(plan["imageId"])
    return Image(plan["imageId"], plan["uploadId"], key, data, done["etag"], done["lastModified"])
