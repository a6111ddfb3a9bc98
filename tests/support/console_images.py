"""Images that a test of the console needs and does not make in the browser."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from image_gateway.catalog.repository import Catalog
from image_gateway.client.api import GatewayClient
from tests.support.records import FREE, NOW, make_record


def put_image(client: GatewayClient, file: Path, name: str, image_format: str | None = None) -> str:
    """Upload a file as an image of this name; returns its id. The worker converts formats other than raw."""
    data = file.read_bytes()
    upload = client.create_image(name=name, format=image_format, sizeBytes=len(data))
    etags = {}
    for start in range(0, len(data), upload.part_size):
        number = start // upload.part_size + 1
        url = client.sign_part(upload, number)
        etags[number] = client.put_part(url, data[start : start + upload.part_size])
    client.complete(upload, etags)
    return upload.image_id


def add_failed_images(catalog: Catalog, owner: str, count: int) -> None:
    """Make records of failed uploads, named `disk 1.img` and so on, each newer and larger than the last."""
    for number in range(1, count + 1):
        created = NOW + timedelta(seconds=number)
        record = make_record(str(uuid.uuid4()), owner=owner, name=f"disk {number}.img", created_at=created)
        record = replace(record, plan=replace(record.plan, size=1000 * number))
        catalog.add(record, FREE)
        assert catalog.fail(record.image_id, record.plan.upload_id, created)
