"""A gateway over moto and SQLite, and images to read from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from image_gateway.app import create_app
from image_gateway.catalog.repository import Catalog
from image_gateway.services.publishing import Published, Publishing
from image_gateway.settings import Settings
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.contract import ContractChecker, ContractClient

OWNER = "alice"
MIB = 1024 * 1024


@dataclass
class Image:
    """An image that went through an upload."""

    image_id: str
    upload_id: str
    key: str
    data: bytes
    etag: str
    last_modified: str

    def path(self, route: str) -> str:
        return f"/v1/images/{self.image_id}/{route}"


@dataclass
class World:
    """A wired gateway and its parts, and short ways to do things with them."""

    app: Flask
    settings: Settings
    clients: StoreClients
    store: ObjectStore
    catalog: Catalog
    checker: ContractChecker

    def client(self) -> FlaskClient:
        client_class = type("Client", (ContractClient,), {"checker": self.checker})
        self.app.test_client_class = client_class
        return self.app.test_client()

    def request(self, method: str, path: str, *, user: str | None = OWNER, **options: Any) -> TestResponse:
        headers = {"X-User-Id": user, **options.pop("headers", {})} if user else options.pop("headers", {})
        return self.client().open(path, method=method, headers=headers, **options)

    def begin(self, owner: str = OWNER) -> tuple[str, str]:
        answer = self.request("POST", "/v1/images", user=owner).get_json()
        return answer["imageId"], answer["uploadId"]

    def key_of(self, image_id: str) -> str:
        record = self.catalog.find(image_id)
        assert record is not None
        return record.location.disk_key

    def put_part(self, image_id: str, upload_id: str, number: int, data: bytes) -> str:
        answer = self.clients.requests.upload_part(
            Bucket=self.settings.s3_bucket,
            Key=self.key_of(image_id),
            UploadId=upload_id,
            PartNumber=number,
            Body=data,
        )
        return answer["ETag"]

    def complete(
        self, image_id: str, upload_id: str, parts: Iterable[tuple[int, str]], **options: Any
    ) -> TestResponse:
        body = {
            "uploadId": upload_id,
            "parts": [{"partNumber": number, "etag": etag} for number, etag in parts],
        }
        return self.request("POST", f"/v1/images/{image_id}/complete", json=body, **options)

    def make_image(self, data: bytes, owner: str = OWNER) -> Image:
        image_id, upload_id = self.begin(owner)
        etag = self.put_part(image_id, upload_id, 1, data)
        answer = self.complete(image_id, upload_id, [(1, etag)], user=owner).get_json()
        return Image(image_id, upload_id, self.key_of(image_id), data, answer["etag"], answer["lastModified"])

    def publish(self, image: Image, chunk_size: int) -> Published:
        publishing = Publishing(self.catalog, self.store, self.settings.cache_control)
        return publishing.publish(image.image_id, chunk_size=chunk_size, parallel=2)

    def replace_object(self, key: str, data: bytes, **metadata: str) -> None:
        """Write another object over one of the gateway's, as nobody should."""
        self.clients.requests.put_object(Bucket=self.settings.s3_bucket, Key=key, Body=data, **metadata)

    def with_settings(self, **changes: Any) -> World:
        """The same store and catalog behind a gateway with other settings."""
        settings = replace(self.settings, **changes)
        app = create_app(settings, store=self.store, catalog=self.catalog)
        return replace(self, app=app, settings=settings)


def make_world(
    settings: Settings, catalog: Catalog, checker: ContractChecker, clients: StoreClients
) -> World:
    store = ObjectStore(clients)
    app = create_app(settings, store=store, catalog=catalog)
    return World(app, settings, clients, store, catalog, checker)
