"""Two requests for one image at once: record, usage and bucket agree afterwards, and every answer is true."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import combinations_with_replacement
from typing import Any

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import ImageRecord, ImageState, Quota, Usage
from image_gateway.errors import GatewayError
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.completion import Completion
from image_gateway.services.images import Images
from image_gateway.services.new_images import NewImage, UploadRules
from image_gateway.services.publishing import Publishing
from image_gateway.services.purging import Purger
from image_gateway.services.reading.access import Access
from image_gateway.services.sweeping import Sweeper
from image_gateway.services.uploads import Uploads
from tests.support.depth import depths
from tests.support.memory_store import MemoryStore

OWNER = "alice"
ME = Caller(OWNER)
DATA = b"\x5a" * 2048
SHA256 = hashlib.sha256(DATA).hexdigest()
# `make races` plays more.
ROUNDS = depths(5, int(os.environ.get("RACE_ROUNDS", "6")))
# Before these an image must have been completed.
ON_COMPLETE = {"publish"}
ACTS = ("complete", "abort", "delete", "publish", "sweep", "describe")
PAIRS = [
    *combinations_with_replacement(ACTS, 2),
    # Completions that declare the SHA-256 of the bytes, or another one.
    ("complete", "hashed"),
    ("complete", "mistaken"),
    ("hashed", "hashed"),
    ("hashed", "mistaken"),
    ("hashed", "delete"),
    ("mistaken", "abort"),
]
COMPLETIONS = {"complete", "hashed", "mistaken"}


class Gateway:
    """The services that change images, over a catalog and a store that is slow at random."""

    def __init__(self, catalog: Catalog, seed: int) -> None:
        clock = time.time
        self.catalog, self.store = catalog, MemoryStore(seed)
        quota = Quota(bytes=10**9)
        trail = AuditTrail(catalog.audit_entries, clock)
        access = Access(catalog, catalog.shares, hide_foreign=False, remember=0, clock=clock)
        rules = UploadRules("/images", 5 * 2**20, 10**12, "no-store", 3600, 86_400, 30 * 86_400, quota)
        purger = Purger(catalog, self.store, clock)  # type: ignore[arg-type]
        completion = Completion(catalog, self.store, quota, 10**9, trail, clock)  # type: ignore[arg-type]
        self.uploads = Uploads(catalog, self.store, access, rules, completion, purger, trail, clock)  # type: ignore[arg-type]
        self.images = Images(catalog, purger, access, quota, trail, clock)
        self.publishing = Publishing(catalog, self.store, "no-store", clock)  # type: ignore[arg-type]
        self.sweeper = Sweeper(catalog, self.store, "/images", clock)  # type: ignore[arg-type]

    def begin(self, *, complete: bool) -> ImageRecord:
        record = self.uploads.begin(OWNER, NewImage(size=len(DATA)))
        self.store.put_part(record.plan.upload_id, 1, DATA)
        if complete:
            self.uploads.complete(record.image_id, ME, record.plan.upload_id, None)
        return record

    def act(self, name: str, record: ImageRecord) -> Any:
        image_id = random.choice([record.image_id, record.image_id.upper()])
        acts: dict[str, Callable[[], Any]] = {
            "complete": lambda: self.uploads.complete(image_id, ME, record.plan.upload_id, None),
            "hashed": lambda: self.uploads.complete(image_id, ME, record.plan.upload_id, None, SHA256),
            "mistaken": lambda: self.uploads.complete(image_id, ME, record.plan.upload_id, None, "0" * 64),
            "abort": lambda: self.uploads.abort(image_id, ME),
            "delete": lambda: self.images.delete(image_id, ME, revision=None),
            "publish": lambda: self.publishing.publish(image_id, chunk_size=512, parallel=2),
            "sweep": lambda: self.sweeper.sweep(older_than=timedelta(hours=1)),
            "describe": lambda: self.images.describe(
                image_id, ME, name="renamed", visibility=None, revision=None
            ),
        }
        return acts[name]()

    def check(self, record: ImageRecord, answers: Sequence[tuple[str, Any]]) -> None:
        """The one invariant."""
        now = self.catalog.find(record.image_id)
        assert now is not None
        self.sweeper.sweep(older_than=timedelta(hours=1))
        there = {item.key.removeprefix(record.location.prefix) for item in self.store.list_objects("")}
        uploads = {upload.upload_id for upload in self.store.list_uploads("")}
        chunks = {"manifest.json", *(f"chunks/{index:08d}.bin" for index in range(4))}
        expected: dict[ImageState, set[str]] = {
            ImageState.UPLOADING: set(),
            ImageState.COMPLETE: {"disk.img"} | (chunks if now.chunked else set()),
            ImageState.FAILED: set(),
            ImageState.DELETED: set(),
        }
        assert there == expected[now.state], f"{now.state}: {answers}"
        assert uploads == ({record.plan.upload_id} if now.state is ImageState.UPLOADING else set())
        counted = now.state in (ImageState.UPLOADING, ImageState.COMPLETE)
        assert self.catalog.usage(OWNER) == Usage(int(counted), len(DATA) * counted), answers
        self._check_answers(now, answers)

    def _check_answers(self, now: ImageRecord, answers: Sequence[tuple[str, Any]]) -> None:
        """What was answered with success, unless a deletion came later, is so."""
        good = {name for name, answer in answers if not isinstance(answer, Exception)}
        for _, answer in answers:
            assert not isinstance(answer, Exception) or isinstance(answer, GatewayError), answer
        states = {"abort": ImageState.FAILED, "delete": ImageState.DELETED}
        states |= dict.fromkeys(COMPLETIONS, ImageState.COMPLETE)
        claimed = {states[name] for name in good if name in states}
        if ImageState.DELETED in claimed:
            assert now.state is ImageState.DELETED
        elif claimed:
            assert claimed == {now.state}, f"{now.state} after {answers}"
        assert "mistaken" not in good
        if "hashed" in good:
            assert now.plan.sha256 == SHA256
        if "publish" in good and now.state is ImageState.COMPLETE:
            assert now.chunked is not None
        if "describe" in good:
            assert now.name == "renamed"


def meet(gateway: Gateway, record: ImageRecord, name: str, start: threading.Barrier) -> Any:
    """Act when the other one does; returns the answer, or the refusal."""
    start.wait(10)
    try:
        return gateway.act(name, record)
    except GatewayError as refusal:
        return refusal


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda name: name)
def test_record_usage_and_bucket_agree(catalog: Catalog, one: str, other: str, rounds: int) -> None:
    complete_first = bool({one, other} & ON_COMPLETE) and not {one, other} & COMPLETIONS
    with ThreadPoolExecutor(2) as pool:
        for number in range(rounds):
            gateway = Gateway(catalog, seed=number)
            record = gateway.begin(complete=complete_first or number % 2 == 1)
            start = threading.Barrier(2)
            futures = [(name, pool.submit(meet, gateway, record, name, start)) for name in (one, other)]
            answers = [(name, future.result()) for name, future in futures]
            gateway.check(record, answers)
            if one == other == "complete":
                assert [answer.size for _, answer in answers] == [len(DATA)] * 2
            _remove(gateway, record)


def _remove(gateway: Gateway, record: ImageRecord) -> None:
    """Leave nothing that counts for the next round."""
    gateway.images.delete(record.image_id, ME, revision=None)
    assert gateway.catalog.usage(OWNER) == Usage(0, 0)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_eight_completes_at_once_get_the_winners_answer(catalog: Catalog, rounds: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(rounds // 3):
            gateway = Gateway(catalog, seed=number)
            record = gateway.begin(complete=False)
            answers = list(pool.map(gateway.act, ["complete"] * 8, [record] * 8))
            assert len(set(answers)) == 1
            assert answers[0].size == len(DATA)
            _remove(gateway, record)
