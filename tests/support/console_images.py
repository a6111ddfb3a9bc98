"""Images that a test of the console needs and does not make in the browser."""

from __future__ import annotations

from pathlib import Path

from image_gateway.client.api import GatewayClient


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


def abandon_images(client: GatewayClient, count: int) -> None:
    """Make images whose uploads were aborted, named `disk 1.img` and so on, each larger than the last."""
    for number in range(1, count + 1):
        upload = client.create_image(name=f"disk {number}.img", sizeBytes=1000 * number)
        client.abort_upload(upload.image_id)
