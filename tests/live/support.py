"""Running the command line, and raw HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.rfc9110 import Entity

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "image-gateway"


def run_cli(
    environment: Mapping[str, str], *arguments: str, cwd: Path | None = None, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `image-gateway` to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, **environment},
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def keys_in(address: StoreAddress) -> set[str]:
    """The keys of all objects and open uploads in the bucket."""
    store = ObjectStore(StoreClients(address))
    return {upload.key for upload in store.list_uploads("images/")} | {
        item.key for item in store.list_objects("images/")
    }


def unknown_to_the_catalog(
    environment: Mapping[str, str], address: StoreAddress, database_url: str, *, before: set[str]
) -> list[str]:
    """Sweep, and return what the bucket still holds that no record in use knows.

    The bucket is shared with tests that have other catalogs: what was there `before` is left out.
    """
    swept = run_cli(environment, "sweep", "--older-than", "0s", "--json")
    assert json.loads(swept.stdout)["left_for_later"] == 0, swept.stderr
    store, engine = ObjectStore(StoreClients(address)), open_engine(database_url)
    catalog = Catalog(engine)
    kept = [(upload.key, ImageState.UPLOADING) for upload in store.list_uploads("images/")]
    kept += [(item.key, ImageState.COMPLETE) for item in store.list_objects("images/")]
    unknown = []
    for key, state in kept:
        record = catalog.find(key.split("/")[2])
        if key not in before and (record is None or record.state is not state):
            unknown.append(key)
    engine.dispose()
    return unknown


def entity_of(database_url: str, image_id: str, data: bytes) -> Entity:
    """What the catalog knows of an image's object; nothing that a bytes route said."""
    engine = open_engine(database_url)
    record = Catalog(engine).find(image_id)
    engine.dispose()
    assert record is not None
    assert record.disk is not None
    return Entity(data, record.disk.etag, int(record.disk.last_modified.timestamp()))


def exchange(url: str, request: bytes) -> bytes:
    """Send raw bytes and return everything that comes until the server closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        received = bytearray()
        while block := connection.recv(65_536):
            received += block
    return bytes(received)
