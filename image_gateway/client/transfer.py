"""Uploads and reads whole images in parallel, without resume state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from image_gateway.client.api import GatewayClient
from image_gateway.client.file_slices import OnBytes
from image_gateway.client.progress import Counter
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Uploaded, Uploading
from image_gateway.protocol.map_ordered import map_ordered

PATIENCE = 30.0


def upload_file(client: GatewayClient, file: Path, *, parallel: int, on_bytes: OnBytes) -> Uploaded:
    """Upload a file as a new image and complete it; `on_bytes` is called with each number of bytes sent."""
    uploading = Uploading(
        client, file, retrier=Retrier(PATIENCE), parallel=parallel, progress=Counter(on_bytes)
    )
    return uploading.begin()


def hash_by_ranges(
    client: GatewayClient, image_id: str, size: int, *, step: int, parallel: int, on_bytes: OnBytes
) -> str:
    """Read an image in ranges of `step` bytes and return its SHA-256."""

    def read(index: int) -> bytes:
        return client.read_range(image_id, index * step, min((index + 1) * step, size))

    return _hash(map_ordered(read, -(-size // step), parallel), on_bytes)


def hash_by_chunks(client: GatewayClient, image_id: str, *, parallel: int, on_bytes: OnBytes) -> str:
    """Read an image by its chunks, verify each chunk's hash, and return the SHA-256 of the image.

    Raises:
        ValueError: A chunk does not match the manifest.
    """
    manifest = client.read_manifest(image_id)

    def read(index: int) -> bytes:
        data = client.read_chunk(image_id, index, manifest)
        if hashlib.sha256(data).hexdigest() != manifest.sha256s[index]:
            raise ValueError(f"chunk {index} does not match the SHA-256 in the manifest")
        return data

    return _hash(map_ordered(read, len(manifest.sha256s), parallel), on_bytes)


def _hash(blocks: Iterator[bytes], on_bytes: OnBytes) -> str:
    whole = hashlib.sha256()
    for block in blocks:
        whole.update(block)
        on_bytes(len(block))
    return whole.hexdigest()
