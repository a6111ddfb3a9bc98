"""Loads the catalog and the bucket of the first release, kept in tests/upgrade/0.1.0."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url, text

from image_gateway.catalog.database import open_engine
from image_gateway.storage.client import StoreClients
from tests.support.moto_store import date_object

FOLDER = Path(__file__).parents[1] / "upgrade" / "0.1.0"


def load_sql(database_url: str, name: str = "catalog") -> None:
    """Run the dump for this database, as sqlite3 and psql do."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        with sqlite3.connect(url.database or "") as connection:
            connection.executescript((FOLDER / f"{name}.sqlite.sql").read_text())
        connection.close()
        return
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute((FOLDER / f"{name}.postgresql.sql").read_bytes())


@dataclass(frozen=True)
class FirstBucket:
    """What the bucket of the first release holds: bytes are made from seeds."""

    document: dict[str, Any]

    @property
    def images(self) -> dict[str, str]:
        """Image ids by what the images are."""
        return self.document["images"]

    @property
    def made_at(self) -> datetime:
        """When the last object was written."""
        return max(datetime.fromisoformat(item["lastModified"]) for item in self.document["objects"])

    def object_of(self, image: str, name: str) -> dict[str, Any]:
        """Return the description of one object of an image."""
        [found] = [
            item
            for item in self.document["objects"]
            if f"/{self.images[image]}/" in item["key"] and item["key"].endswith(f"/{name}")
        ]
        return found

    def content_of(self, image: str, name: str = "disk.img") -> bytes:
        """Return the bytes of one object of an image."""
        return self._content(self.object_of(image, name))

    def load(self, clients: StoreClients, database_url: str) -> None:
        """Write all objects and uploads; the catalog is told the new upload ids, which stores choose."""
        s3, bucket = clients.requests, clients.address.bucket
        for item in self.document["objects"]:
            etag = self._write(clients, item)
            assert etag == item["etag"], item["key"]
            date_object(bucket, item["key"], datetime.fromisoformat(item["lastModified"]))
        for upload in self.document["uploads"]:
            begun = s3.create_multipart_upload(Bucket=bucket, Key=upload["key"])
            self._send_parts(clients, upload["key"], begun["UploadId"], upload["parts"])
            rename_upload(database_url, upload["uploadId"], begun["UploadId"])

    def _write(self, clients: StoreClients, item: dict[str, Any]) -> str:
        s3, where = clients.requests, {"Bucket": clients.address.bucket, "Key": item["key"]}
        if "parts" not in item:
            return s3.put_object(**where, Body=self._content(item), **item["headers"])["ETag"]
        upload_id = s3.create_multipart_upload(**where, **item["headers"])["UploadId"]
        parts = self._send_parts(clients, item["key"], upload_id, item["parts"])
        joined = s3.complete_multipart_upload(**where, UploadId=upload_id, MultipartUpload={"Parts": parts})
        return joined["ETag"]

    def _send_parts(
        self, clients: StoreClients, key: str, upload_id: str, parts: list[dict[str, Any]]
    ) -> list[Any]:
        sent = []
        for number, part in enumerate(parts, 1):
            answer = clients.requests.upload_part(
                Bucket=clients.address.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=make_content(part),
            )
            sent.append({"PartNumber": number, "ETag": answer["ETag"]})
        return sent

    def _content(self, item: dict[str, Any]) -> bytes:
        if "text" in item:
            return item["text"].encode()
        if "chunkOf" in item:
            [disk] = [other for other in self.document["objects"] if other["key"] == item["chunkOf"]]
            return self._content(disk)[item["start"] : item["stop"]]
        return b"".join(make_content(part) for part in item["parts"])


def read_bucket() -> FirstBucket:
    return FirstBucket(json.loads((FOLDER / "bucket.json").read_text()))


def make_content(part: dict[str, Any]) -> bytes:
    """The bytes that a seed and a size stand for."""
    return hashlib.shake_128(part["seed"].encode()).digest(part["size"])


def rename_upload(database_url: str, before: str, after: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        statement = text("UPDATE images SET upload_id = :after WHERE upload_id = :before")
        changed = connection.execute(statement, {"before": before, "after": after}).rowcount
    engine.dispose()
    assert changed == 1
