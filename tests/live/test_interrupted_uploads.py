"""Uploads cut by kill -9 of the client, the gateway, and both: resumed, whole, no part sent twice."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from image_gateway.client.api import GatewayClient
from image_gateway.client.download import Downloading, ImageSource
from image_gateway.client.retry import Retrier
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.live.conftest import StartGateway
from tests.live.support import COMMAND, keys_in, unknown_to_the_catalog

pytestmark = pytest.mark.thorough
MIB = 1024 * 1024
SIZE, PARTS = 180 * MIB, 36
# Each kind twice.
CUTS = 6
# Asking without a pause would take the processor from those that upload.
POLL_SECONDS = 0.02
SEED = 2026
USER = f"user-{uuid.uuid4()}"

Listing = dict[int, tuple[str, Any]]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    source = random.Random(SEED)
    with path.open("wb") as target:
        for _ in range(PARTS):
            target.write(source.randbytes(64) * (5 * MIB // 64))
    return path


class Bench:
    """One file on its way through a gateway that dies and comes back at the same port."""

    def __init__(
        self, start: StartGateway, store: LocalStore, disk: Path, folder: Path, environment: dict[str, str]
    ) -> None:
        self._start, self._disk, self._folder, self._environment = start, disk, folder, environment
        self._s3 = StoreClients(store.address).requests
        self._port = find_free_ports(1)[0]
        self._runs = itertools.count()
        self.gateway: LocalGateway = start(port=self._port)

    def revive_gateway(self) -> None:
        self.gateway = self._start(port=self._port)

    def upload(self, *options: str) -> ManagedProcess:
        """Start the command; its output is in its log."""
        connection = ["--api", self.gateway.url, "--user", USER, "--parallel", "2", "--json"]
        command = [str(COMMAND), "upload", str(self._disk), *connection, *options]
        environment = {**self._environment, "XDG_CACHE_HOME": str(self._folder)}
        log = self._folder / f"client-{next(self._runs)}.log"
        return ManagedProcess("the client", command, env=environment, log=log)

    def remembered(self) -> dict[str, Any] | None:
        """What the client remembers, once it does."""
        files = list(self._folder.glob("image-gateway/uploads/*.json"))
        return json.loads(files[0].read_text()) if files else None

    def listing(self, upload_id: str) -> Listing | None:
        """Part number → ETag and time at the store; None when the upload is over."""
        open_uploads = self._s3.list_multipart_uploads(Bucket="images").get("Uploads", [])
        keys = [upload["Key"] for upload in open_uploads if upload["UploadId"] == upload_id]
        if not keys:
            return None
        try:
            answer = self._s3.list_parts(Bucket="images", Key=keys[0], UploadId=upload_id)
        except ClientError:
            return None
        return {part["PartNumber"]: (part["ETag"], part["LastModified"]) for part in answer.get("Parts", [])}


@pytest.fixture
def bench(
    start: StartGateway, store: LocalStore, disk: Path, tmp_path: Path, environment: dict[str, str]
) -> Bench:
    return Bench(start, store, disk, tmp_path, environment)


class Journey:
    """One upload from its beginning through its cuts to its end."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.client = bench.upload()
        self.client.wait_until(lambda: bench.remembered() is not None, seconds=60)
        self.upload_id = bench.remembered()["upload_id"]
        self.seen: Listing = {}
        self.resumed_from = 0
        self.deadline = time.monotonic() + 240

    def look(self) -> Listing | None:
        """List the store's parts and hold them against all that were there before."""
        listing = self.bench.listing(self.upload_id)
        while listing is not None and not listing.keys() >= self.seen.keys():
            # Parts only go when the store joins them, and with them the upload.
            self._check_unchanged(listing)
            assert time.monotonic() < self.deadline, "parts vanished from an upload that is still open"
            time.sleep(POLL_SECONDS)
            listing = self.bench.listing(self.upload_id)
        if listing is not None:
            self._check_unchanged(listing)
            self.seen = listing
        return listing

    def _check_unchanged(self, listing: Listing) -> None:
        there = {number: part for number, part in listing.items() if number in self.seen}
        assert there == {number: self.seen[number] for number in there}

    def reaches(self, count: int) -> bool:
        """Wait until the store has `count` parts; False when the upload ended before."""
        while self.client.is_alive():
            listing = self.look()
            if listing is not None and len(listing) >= count:
                return True
            time.sleep(POLL_SECONDS)
        return False

    def cut(self, kind: str) -> None:
        if kind != "gateway":
            self.client.kill()
        if kind != "client":
            self.bench.gateway.process.kill()
            self.bench.revive_gateway()
        self.look()
        if kind != "gateway":
            self.client = self.bench.upload("--resume")
            self.resumed_from = len(self.seen)

    def finish(self) -> dict[str, Any]:
        """Let it come to its end; returns what the command printed."""
        while self.client.is_alive():
            self.look()
            time.sleep(POLL_SECONDS)
        assert self.client.wait(0) == 0, log_of(self.client)
        image = json.loads(log_of(self.client).splitlines()[-1])
        if "is complete already" not in log_of(self.client):
            assert image["sent"] + image["kept"] == PARTS
            # What a dead client had on its way may have arrived since.
            assert image["kept"] >= self.resumed_from
        return image


def log_of(process: ManagedProcess) -> str:
    return process.log.read_text()


def test_six_cuts_and_no_part_twice(
    bench: Bench,
    disk: Path,
    tmp_path: Path,
    environment: dict[str, str],
    store: LocalStore,
    database_url: str,
) -> None:
    before = keys_in(store.address)
    choice = random.Random(SEED)
    kinds = itertools.islice(itertools.cycle(["client", "both", "gateway"]), CUTS)
    journey, cuts, images = Journey(bench), 0, []
    for kind in kinds:
        while not journey.reaches(min(PARTS - 1, len(journey.seen) + choice.randint(1, 6))):
            images.append(journey.finish())
            journey = Journey(bench)
        journey.cut(kind)
        cuts += 1
    images.append(journey.finish())

    assert cuts == CUTS
    with disk.open("rb") as source:
        expected = hashlib.file_digest(source, "sha256").hexdigest()
    for image in images:
        assert image["size"] == SIZE
        client = GatewayClient(bench.gateway.url, USER)
        done = Downloading(
            ImageSource(client, image["imageId"]), tmp_path / "back", retrier=Retrier(30), parallel=2
        ).run()
        assert done.sha256 == expected
    assert unknown_to_the_catalog(environment, store.address, database_url, before=before) == []
