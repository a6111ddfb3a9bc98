"""Moving whole images through the API in parallel: parts up, ranges and chunks down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from image_gateway.client.api import GatewayClient, NewUpload
from image_gateway.protocol.ordered import in_order

OnBytes = Callable[[int], None]


def upload_file(client: GatewayClient, file: Path, *, parallel: int, on_bytes: OnBytes) -> NewUpload:
    """Upload a file as a new image and complete it; `on_bytes` hears of each part's size."""
    upload = client.create_image()
    size = file.stat().st_size
    count = max(1, -(-size // upload.part_size))

    def send(index: int) -> str:
        with file.open("rb") as source:
            source.seek(index * upload.part_size)
            data = source.read(upload.part_size)
        etag = client.put_part(client.sign_part(upload, index + 1), data)
        on_bytes(len(data))
        return etag

    etags = dict(enumerate(in_order(send, count, parallel), start=1))
    client.complete(upload, etags)
    return upload


def hash_by_ranges(
    client: GatewayClient, image_id: str, size: int, *, step: int, parallel: int, on_bytes: OnBytes
) -> str:
    """Read an image in ranges of `step` bytes and return its SHA-256."""

    def read(index: int) -> bytes:
        return client.read_range(image_id, index * step, min((index + 1) * step, size))

    return _hash(in_order(read, -(-size // step), parallel), on_bytes)


def hash_by_chunks(client: GatewayClient, image_id: str, *, parallel: int, on_bytes: OnBytes) -> str:
    """Read an image by its manifest and chunks, check each chunk's hash, return the whole's SHA-256."""
    manifest = client.read_manifest(image_id)

    def read(index: int) -> bytes:
        data = client.read_chunk(image_id, index, manifest)
        if hashlib.sha256(data).hexdigest() != manifest.sha256s[index]:
            raise ValueError(f"chunk {index} is not what the manifest says")
        return data

    return _hash(in_order(read, len(manifest.sha256s), parallel), on_bytes)


def _hash(blocks: Iterator[bytes], on_bytes: OnBytes) -> str:
    whole = hashlib.sha256()
    for block in blocks:
        whole.update(block)
        on_bytes(len(block))
    return whole.hexdigest()
