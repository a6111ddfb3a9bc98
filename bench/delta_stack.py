"""A store, a gateway and a base image for benches of deltas, and a writer that sends commits."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.calls import DeltasClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import LocalStore, start_local_store
from image_gateway.protocol.deltas.segment import Extent, encode_segment
from image_gateway.storage.client import StoreClients

USER, BUCKET = "bench", "bench-images"
KIB, MIB = 1024, 1024 * 1024
BLOCK = 4 * KIB
URL_SECONDS = 3600


@dataclass(frozen=True)
class DeltaStack:
    """What runs: the store, a gateway of two workers, a client of it, and the base image."""

    store: LocalStore
    gateway: LocalGateway
    environment: dict[str, str]
    client: GatewayClient
    image_id: str
    image_size: int

    def new_delta(self) -> str:
        """Create a delta over the image and return its id."""
        return str(DeltasClient(self.client).create(self.image_id)["deltaId"])

    def lease_url(self, **what: Any) -> str:
        """Return the URL of a read lease of an image or a delta."""
        made = self.client.send_json(
            "POST", "/v1/leases", {"scopes": ["disk:read"], **what}, expected=(200, 201)
        )
        return str(made["url"])

    def put_urls(self) -> Iterator[str]:
        """Yield presigned PUT URLs of new objects."""
        signing = StoreClients(self.store.address).signing
        while True:
            parameters = {"Bucket": BUCKET, "Key": f"bare/{uuid.uuid4()}"}
            yield signing.generate_presigned_url("put_object", Params=parameters, ExpiresIn=URL_SECONDS)


@contextmanager
def running_delta_stack(folder: Path, image_size: int, **settings: str) -> Iterator[DeltaStack]:
    """Start everything, upload an image of random bytes, and stop all of it on leaving."""
    image = folder / "disk.img"
    write_random(image, image_size)
    with ExitStack() as stack:
        store = start_local_store(folder / "store", bucket=BUCKET)
        stack.callback(store.stop)
        environment = {
            "PATH": os.environ["PATH"],
            **store.environment,
            "DATABASE_URL": f"sqlite:///{folder}/catalog.db",
            "AUTH_MODE": "dev",
            "LEASE_KEYS": f"bench:{os.urandom(32).hex()}",
            "RATE_LIMIT_CREATE": "100000/minute",
            "RATE_LIMIT_PER_ADDRESS": "1000000/minute",
            "WEB_WORKERS": "2",
            **settings,
        }
        upgrade(open_engine(environment["DATABASE_URL"]))
        (port,) = find_free_ports(1)
        gateway = start_gateway(environment, port=port, log=folder / "gateway.log", cwd=folder)
        stack.callback(gateway.stop, 2)
        client = GatewayClient(gateway.url, USER)
        image_id = upload_file(client, image, parallel=2, on_bytes=lambda _: None).image_id
        yield DeltaStack(store, gateway, environment, client, image_id, image_size)


class Writer:
    """The only writer of a new delta. It does as little as it must: the gateway is what is measured."""

    def __init__(self, stack: DeltaStack) -> None:
        self.delta_id = stack.new_delta()
        session = DeltasClient(stack.client).open_session(self.delta_id)
        self.generation, self.blocks = session.generation, session.size // BLOCK
        self._authorization = f"Bearer {session.lease.credentials.secret}"
        self._url = f"{stack.gateway.url}/v1/deltas/{self.delta_id}/commits"
        self._pool = urllib3.PoolManager(retries=False)

    def commit(self, segment: bytes) -> float:
        """Send a segment; return the seconds until the answer."""
        digest = base64.b64encode(hashlib.sha256(segment).digest()).decode()
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/octet-stream",
            "Content-Digest": f"sha-256=:{digest}:",
            "If-Match": f'"{self.generation}"',
            "Idempotency-Key": uuid.uuid4().hex,
        }
        began = time.perf_counter()
        answer = self._pool.request("POST", self._url, body=segment, headers=headers)
        seconds = time.perf_counter() - began
        if answer.status != 200:
            raise SystemExit(f"a commit was answered {answer.status}: {answer.data.decode()}")
        self.generation += 1
        return seconds


def random_segment(dice: random.Random, blocks: int, count: int) -> bytes:
    """Return a segment of `count` single blocks of random bytes, at random places of a disk of `blocks`."""
    return segment_at(dice, dice.sample(range(blocks), count))


def segment_at(dice: random.Random, places: Sequence[int], run: int = 1) -> bytes:
    """Return a segment of random bytes for `run` blocks from each of these blocks on."""
    extents = [Extent(place, run, dice.randbytes(run * BLOCK)) for place in sorted(places)]
    return encode_segment(BLOCK, extents)


def put(pool: urllib3.PoolManager, url: str, body: bytes) -> float:
    """Send a body to a presigned URL; return the seconds until the answer."""
    began = time.perf_counter()
    answer = pool.request("PUT", url, body=body)
    if answer.status != 200:
        raise SystemExit(f"a PUT to the store was answered {answer.status}")
    return time.perf_counter() - began


def write_random(path: Path, size: int) -> None:
    """Write a file of random bytes, the same each time."""
    dice = random.Random(1)
    with path.open("wb") as target:
        for _ in range(size // MIB):
            target.write(dice.randbytes(MIB))
