"""Makes tests/upgrade/0.1.0 anew, by the code of the first release: see the README there."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import urllib3
from flask.testing import FlaskClient
from moto.server import ThreadedMotoServer
from sqlalchemy import insert, select

from image_gateway.app import create_app, open_store
from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.models import ImageRow
from image_gateway.catalog.repository import Catalog
from image_gateway.errors import StoreUnavailable
from image_gateway.services.publishing import Publishing
from image_gateway.settings import load_settings

MIB = 1024 * 1024
CHUNK_SIZE = 1024


def content(seed: str, size: int) -> bytes:
    """The bytes that objects.json describes by a seed and a size."""
    return hashlib.shake_128(seed.encode()).digest(size)


class Maker:
    """A gateway of the first release over moto, and what was stored through it."""

    def __init__(self, endpoint: str, database_url: str) -> None:
        settings = load_settings(
            {
                "S3_BUCKET": "images",
                "AWS_REGION": "us-east-1",
                "S3_ENDPOINT": endpoint,
                "S3_FORCE_PATH_STYLE": "true",
                "DATABASE_URL": database_url,
                "MULTIPART_PART_SIZE_BYTES": str(5 * MIB),
            }
        )
        engine = open_engine(database_url)
        upgrade(engine)
        self.catalog, self.store = Catalog(engine), open_store(settings)
        self.client: FlaskClient = create_app(settings, store=self.store, catalog=self.catalog).test_client()
        self.s3 = self.store._client
        self.s3.create_bucket(Bucket="images")
        self.cache_control = settings.cache_control
        self.seeds: dict[str, list[dict[str, Any]]] = {}

    def post(self, owner: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post(path, json=body, headers={"X-User-Id": owner})
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def begin(self, owner: str, *parts: tuple[str, int]) -> tuple[str, str, list[dict[str, Any]]]:
        """Begin an upload and send these parts of it, each a seed and a size."""
        begun = self.post(owner, "/v1/images", {})
        path, listed = f"/v1/images/{begun['imageId']}", []
        for number, (seed, size) in enumerate(parts, 1):
            body = {"uploadId": begun["uploadId"], "partNumber": number}
            url = self.post(owner, f"{path}/upload-url", body)["url"]
            sent = urllib3.request("PUT", url, body=content(seed, size), retries=False, timeout=30)
            assert sent.status == 200
            listed.append({"partNumber": number, "etag": sent.headers["ETag"]})
        record = self.catalog.find(begun["imageId"])
        self.seeds[record.location.disk_key] = [{"seed": seed, "size": size} for seed, size in parts]
        return begun["imageId"], begun["uploadId"], listed

    def complete(self, owner: str, *parts: tuple[str, int]) -> str:
        image_id, upload_id, listed = self.begin(owner, *parts)
        self.post(owner, f"/v1/images/{image_id}/complete", {"uploadId": upload_id, "parts": listed})
        return image_id

    def publish(self, image_id: str) -> None:
        Publishing(self.catalog, self.store, self.cache_control).publish(image_id, chunk_size=CHUNK_SIZE)

    def publish_two_chunks(self, image_id: str) -> None:
        """Publish as if the store went away after two chunks."""
        put, left = self.store.put, iter(range(2))

        def put_twice(key: str, data: bytes, **headers: str) -> None:
            if next(left, None) is None:
                raise StoreUnavailable("gone")
            put(key, data, **headers)

        self.store.put = put_twice  # type: ignore[method-assign]
        try:
            Publishing(self.catalog, self.store, self.cache_control).publish(
                image_id, chunk_size=CHUNK_SIZE, parallel=1
            )
        except StoreUnavailable:
            pass
        finally:
            del self.store.put  # type: ignore[method-assign]

    def join(self, image_id: str, upload_id: str, listed: list[dict[str, Any]]) -> None:
        """Complete the upload at the store only, as a gateway does that dies before it writes the record."""
        parts = [{"PartNumber": part["partNumber"], "ETag": part["etag"]} for part in listed]
        key = self.catalog.find(image_id).location.disk_key
        self.s3.complete_multipart_upload(
            Bucket="images", Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
        )


def fill(maker: Maker) -> dict[str, str]:
    """Make images in every state that the first release had, and return their ids by what they are."""
    ids = {"plain": maker.complete("alice", ("plain", 3000))}
    ids["published"] = maker.complete("alice", ("published", 2560))
    maker.publish(ids["published"])
    ids["two parts"] = maker.complete("alice", ("first", 5 * MIB), ("second", 1000))
    ids["publishing interrupted"] = maker.complete("alice", ("half", 3072))
    maker.publish_two_chunks(ids["publishing interrupted"])
    ids["uploading nothing yet"] = maker.begin("alice")[0]
    ids["uploading"] = maker.begin("alice", ("sent", 5 * MIB))[0]
    image_id, upload_id, listed = maker.begin("alice", ("joined", 700))
    maker.join(image_id, upload_id, listed)
    ids["joined, not recorded"] = image_id
    ids["of another owner"] = maker.complete("auth0|bob/../*?%41", ("bob", 1))
    image_id, upload_id, _ = maker.begin("carol", ("aborted", 10))
    maker.store.abort_upload(maker.catalog.find(image_id).location.disk_key, upload_id)
    ids["aborted in the store"] = image_id
    return ids


def describe_bucket(maker: Maker) -> dict[str, Any]:
    """Describe every object and open upload, by seeds instead of bytes."""
    objects = []
    for item in maker.store.list_objects(""):
        head = maker.s3.head_object(Bucket="images", Key=item.key)
        headers = {name: head.get(name) for name in ("ContentType", "ContentEncoding", "CacheControl")}
        about = {"key": item.key, "etag": head["ETag"], "lastModified": head["LastModified"].isoformat()}
        objects.append({**about, "headers": headers, **describe_bytes(maker, item.key)})
    uploads = []
    for upload in maker.s3.list_multipart_uploads(Bucket="images").get("Uploads", []):
        uploads.append(
            {"key": upload["Key"], "uploadId": upload["UploadId"], "parts": maker.seeds[upload["Key"]]}
        )
    return {"objects": objects, "uploads": uploads}


def describe_bytes(maker: Maker, key: str) -> dict[str, Any]:
    if key.endswith("manifest.json"):
        return {"text": maker.s3.get_object(Bucket="images", Key=key)["Body"].read().decode()}
    if "/chunks/" not in key:
        return {"parts": maker.seeds[key]}
    folder, _, name = key.partition("/chunks/")
    start = int(name.removesuffix(".bin")) * CHUNK_SIZE
    return {"chunkOf": f"{folder}/disk.img", "start": start, "stop": start + CHUNK_SIZE}


def dump_sqlite(file: Path) -> str:
    with sqlite3.connect(file) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def dump_postgres(url: str, source: Path) -> str:
    """Copy the rows into a PostgreSQL whose tables the first release made, and dump that."""
    engine, original = open_engine(url), open_engine(f"sqlite:///{source}")
    upgrade(engine)
    with original.connect() as reading, engine.begin() as writing:
        rows = reading.execute(select(*ImageRow.__table__.columns)).mappings().all()
        writing.execute(insert(ImageRow), [dict(row) for row in rows])
    plain = url.replace("+psycopg", "")
    command = ["pg_dump", "--inserts", "--column-inserts", "--no-owner", "--no-privileges", plain]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Without the lines for psql and pg_restore: each statement can be sent as it is.
    kept = [
        line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET ", "SELECT "))
    ]
    return "\n".join(kept) + "\n"


def main() -> None:
    folder, postgres_url = Path(sys.argv[1]), sys.argv[2]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "catalog.db"
        maker = Maker(f"http://{host}:{port}", f"sqlite:///{file}")
        images = fill(maker)
        described = {"images": images, **describe_bucket(maker)}
        (folder / "bucket.json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n")
        (folder / "catalog.sqlite.sql").write_text(dump_sqlite(file))
        (folder / "catalog.postgresql.sql").write_text(dump_postgres(postgres_url, file))
    server.stop()


if __name__ == "__main__":
    main()
