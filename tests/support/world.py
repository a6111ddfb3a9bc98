"""A gateway over moto and SQLite, and images to read from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from moto.backends import get_backend
from werkzeug.test import TestResponse

from image_gateway.app import create_app
from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.errors import Unauthenticated
from image_gateway.identity.oidc import Identity
from image_gateway.services.publishing import Published, Publishing
from image_gateway.settings import Settings, load_settings
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import make_reader
from tests.support.contract import ContractChecker, ContractClient
from tests.support.databases import Databases

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

    def client(self, *, use_cookies: bool = True) -> FlaskClient:
        client_class = type("Client", (ContractClient,), {"checker": self.checker})
        self.app.test_client_class = client_class
        return self.app.test_client(use_cookies=use_cookies)

    def request(self, method: str, path: str, *, user: str | None = OWNER, **options: Any) -> TestResponse:
        headers = {"X-User-Id": user, **options.pop("headers", {})} if user else options.pop("headers", {})
        # A client with a jar of its own would throw the header away.
        client = self.client(use_cookies="Cookie" not in headers)
        return client.open(path, method=method, headers=headers, **options)

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

    def with_settings(
        self,
        *,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] | None = None,
        **changes: Any,
    ) -> World:
        """The same store and catalog behind a gateway with other settings, or another clock.

        The timer is the same clock unless another one is given.
        """
        settings = replace(self.settings, **changes)
        app = create_app(settings, store=self.store, catalog=self.catalog, clock=clock, timer=timer or clock)
        return replace(self, app=app, settings=settings)

    def with_provider(self, **options: Any) -> World:
        """As `with_settings`, but users sign in by `Bearer user:bob`, and an admin by `Bearer admin`."""
        signed_in = self.with_settings(**options)
        authenticator = signed_in.app.extensions["image_gateway.identity"]
        signed_in.app.extensions["image_gateway.identity"] = replace(
            authenticator, mode="oidc", verifier=FakeProvider()
        )
        return signed_in

    def bearing(self, token: str, method: str, path: str, **options: Any) -> TestResponse:
        """Request with a bearer token and nothing else."""
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return self.request(method, path, user=None, headers=headers, **options)

    def make_lease(self, image: Image, *, user: str = OWNER, **body: Any) -> dict[str, Any]:
        """A lease's answer."""
        response = self.request("POST", "/v1/leases", user=user, json={"imageId": image.image_id, **body})
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.get_json()
        return document

    def show_to(self, image: Image, visibility: str) -> None:
        """Let the owner change an image's visibility."""
        path = f"/v1/images/{image.image_id}"
        assert self.request("PATCH", path, json={"visibility": visibility}).status_code == 200

    def share_with(self, image: Image, user: str, permission: str = "read") -> None:
        """Let the owner share an image."""
        body = {"user": user, "permission": permission}
        assert self.request("POST", image.path("shares"), json=body).status_code == 200


class FakeProvider:
    """An identity provider whose tokens say who they are."""

    def verify(self, token: str) -> Identity:
        kind, _, name = token.partition(":")
        if token == "admin":
            return Identity("root", True)
        if kind == "user" and name:
            return Identity(name, False)
        raise Unauthenticated("the token is none of the provider's")


def make_world(
    settings: Settings, catalog: Catalog, checker: ContractChecker, clients: StoreClients
) -> World:
    store = ObjectStore(clients, make_reader(clients))
    app = create_app(settings, store=store, catalog=catalog)
    return World(app, settings, clients, store, catalog, checker)


@contextmanager
def lasting_world(databases: Databases, checker: ContractChecker, clients: StoreClients) -> Iterator[World]:
    """A world of its own that a whole module uses; nothing else may use the mocked S3 meanwhile."""
    for backends in get_backend("s3").values():
        for backend in backends.values():
            backend.reset()
    clients.requests.create_bucket(Bucket=clients.address.bucket)
    url = databases.make_migrated()
    engine = open_engine(url)
    environment = {
        "S3_BUCKET": clients.address.bucket,
        "AWS_REGION": "us-east-1",
        "DATABASE_URL": url,
        "ACCESS_CACHE_SECONDS": "0",
    }
    try:
        yield make_world(load_settings(environment), Catalog(engine), checker, clients)
    finally:
        engine.dispose()
        databases.drop(url)
