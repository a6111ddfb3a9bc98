"""A store set up by `bucket init`, behind a proxy that can break its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine

from image_gateway.catalog.database import open_engine
from image_gateway.doctor.database import check_database
from image_gateway.doctor.store import check_store_target
from image_gateway.doctor.store_connection import check_connection
from image_gateway.doctor.store_target import StoreTarget, make_target
from image_gateway.domain.findings import Check, Finding
from image_gateway.settings import Settings
from image_gateway.storage.bucket import BucketSetup, Outcome
from image_gateway.storage.client import StoreClients
from image_gateway.storage.probe import StoreProbe
from tests.support.aws_shape import AwsShape, aws_shape
from tests.support.findings import stopped_timer
from tests.support.findings_page import documented_severities

# moto verifies no signature, no expiry and no length, and lets anonymous requests list and write.
MOTO_LACKS = {
    "store-signature-not-verified",
    "store-expiry-not-enforced",
    "store-length-not-enforced",
    "store-public-list",
    "store-public-write",
}
KEYS = ("AKIATESTTESTTESTTEST", "a-secret-key-of-the-tests")
SECRETS = ("X-Amz-Signature=", "X-Amz-Credential=", "AWS4-HMAC", *KEYS)


@pytest.fixture(scope="session")
def shared_shape(moto_clients: StoreClients) -> Iterator[AwsShape]:
    address = urlsplit(moto_clients.address.endpoint or "")
    with aws_shape((address.hostname or "", address.port or 0)) as made:
        yield made


@pytest.fixture
def shape(shared_shape: AwsShape, clients: StoreClients) -> AwsShape:
    """A proxy that passes everything on, before a bucket that `bucket init` has set up."""
    plain = AwsShape()
    for name in (
        "script",
        "slow_down_every",
        "edit_request",
        "edit_answer",
        "loses",
        "clock_offset",
        "calls",
    ):
        setattr(shared_shape, name, getattr(plain, name))
    # The other steps only try what the first ones set.
    assert [step.outcome for step in islice(BucketSetup(clients, ("*",)).run(), 3)] == [Outcome.DONE] * 3
    return shared_shape


@dataclass(frozen=True)
class Doctor:
    """Examines the store behind the proxy, without pauses between attempts."""

    probe: StoreProbe

    def target(self, **changes: object) -> StoreTarget:
        """A target with probes of its own; `changes` are of the address."""
        probe = self.probe
        if changes:
            probe = StoreProbe(replace(probe.address, **changes), sleep=lambda _: None)  # type: ignore[arg-type]
        return make_target(probe, base_path="/images", origins=("*",), upload_max_seconds=30 * 86_400)

    def examine(self, **changes: object) -> list[Check]:
        """All checks of the store."""
        target = self.target(**changes)
        return [*check_connection(target), *check_store_target(target)]

    def connect(self, **changes: object) -> list[Finding]:
        """What is wrong with the connection."""
        return findings(check_connection(self.target(**changes)))


@pytest.fixture(scope="session")
def shared_doctor(shared_shape: AwsShape, moto_clients: StoreClients) -> Doctor:
    address = replace(moto_clients.address, endpoint=shared_shape.url, credentials=KEYS)
    return Doctor(StoreProbe(address, sleep=lambda _: None))


@pytest.fixture
def doctor(shared_doctor: Doctor, shape: AwsShape) -> Doctor:
    return shared_doctor


def findings(checks: Iterable[Check]) -> list[Finding]:
    """What is wrong; no text may contain a secret, and the severity must be documented."""
    made = list(checks)
    for word in SECRETS:
        assert word not in repr(made)
    found = [finding for check in made for finding in check.findings]
    for finding in found:
        assert finding.severity in documented_severities("doctor")[finding.code], finding.code
    return found


def codes(checks: Iterable[Check]) -> set[str]:
    """The codes of what is wrong, without those of moto itself."""
    return {finding.code for finding in findings(checks)} - MOTO_LACKS


def examine_database(settings: Settings, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """The checks of the database, whose latency is not measured."""
    return check_database(settings, clock, stopped_timer)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()
