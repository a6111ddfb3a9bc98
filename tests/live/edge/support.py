"""Reads through nginx, and variables of a gateway that waits a second for its store."""

from __future__ import annotations

import random
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ProtocolError

from image_gateway.local.seaweed import LocalStore
from tests.live.edge.conftest import Pair
from tests.live.test_faults import SEED, Seen

MIB = 1024 * 1024
LARGE = random.Random(SEED).randbytes(3 * MIB)
IMPATIENT = {"S3_READ_TIMEOUT_SECONDS": "1", "S3_CONNECT_TIMEOUT_SECONDS": "1", "WEB_THREADS": "16"}


def address_of(store: LocalStore) -> tuple[str, int]:
    parts = urlsplit(store.address.endpoint or "")
    return parts.hostname or "", parts.port or 0


def read(pair: Pair, owner: str, image_id: str, start: int = 0, stop: int | None = None) -> Seen:
    """Read a range, or the whole image, through nginx."""
    headers = {"X-User-Id": owner}
    if stop is not None:
        headers["Range"] = f"bytes={start}-{stop - 1}"
    received, broken = bytearray(), False
    with urllib3.PoolManager(retries=False, timeout=60) as http:
        url = f"{pair.edge.url}/v1/images/{image_id}/range"
        try:
            answer = http.request("GET", url, headers=headers, preload_content=False)
        except ProtocolError:
            # Broken off by a reset, which overtakes what was sent.
            return Seen(206, None, b"", broken=True)
        try:
            for block in answer.stream(65_536):
                received += block
        except ProtocolError:
            broken = True
        answer.close()
    return Seen(answer.status, answer.headers.get("ETag"), bytes(received), broken)
