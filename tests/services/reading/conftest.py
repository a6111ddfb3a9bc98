"""An image behind services that remember who may read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import Visibility
from image_gateway.domain.leases import Scope
from image_gateway.domain.shares import Permission, Share
from image_gateway.identity.lease_tokens import LeaseKey, LeaseTokens
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.leases import READ_ONLY, IssuedLease, LeaseRules, Leases
from image_gateway.services.reading.access import Access
from tests.support.clock import Clock
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

REMEMBER = 5
TTL, MOST, SESSION, GRACE = 60, 120, 600, 30
ALICE, ROOT, MALLORY = Caller("alice"), Caller("root", admin=True), Caller("mallory")
OTHER_ID = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOW.timestamp()
    return clock


class Scene:
    """The image of alice, which rick may read, behind services that remember; counts the catalog's calls."""

    def __init__(self, database_url: str, clock: Clock, remember: float, timer: Clock | None = None) -> None:
        self.engine = open_engine(database_url)
        self.catalog, self.clock, self.timer = Catalog(self.engine), clock, timer or clock
        self.access, self.leases = self.make_services(remember)
        for image_id in (IMAGE_ID, OTHER_ID):
            self.catalog.add(make_record(image_id), FREE)
            self.catalog.complete(image_id, "u1", DISK, NOW)
        self.catalog.shares.share(Share(IMAGE_ID, "rick", Permission.READ, NOW))
        self.calls = 0
        event.listen(self.engine, "checkout", self._count)

    def make_services(self, remember: float) -> tuple[Access, Leases]:
        """What another worker has: the same catalog, another memory."""
        access = Access(
            self.catalog,
            self.catalog.shares,
            hide_foreign=False,
            remember=remember,
            clock=self.clock,
            timer=self.timer,
        )
        rules = LeaseRules(ttl=TTL, max_ttl=MOST, session=SESSION, grace=GRACE, remember=remember)
        tokens = LeaseTokens([LeaseKey("k1", "1" * 40)])
        trail = AuditTrail(self.catalog.audit_entries, self.clock)
        return access, Leases(self.catalog.leases, access, tokens, rules, trail, self.clock, self.timer)

    def _count(self, *_: Any) -> None:
        self.calls += 1

    def calls_of(self, act: Callable[[], object]) -> int:
        """How many calls of the catalog an act makes: each takes one connection."""
        before = self.calls
        act()
        return self.calls - before

    def read(self, caller: Caller = ALICE) -> None:
        record, disk = self.access.find_for_reading(IMAGE_ID, caller)
        assert (record.image_id, disk) == (IMAGE_ID, DISK)

    def read_by(self, token: str) -> None:
        """As a route reads by a lease."""
        self.read(Caller(lease=self.leases.admit(token)))

    def lease(self, caller: Caller = ALICE, scopes: Collection[Scope] = READ_ONLY) -> IssuedLease:
        return self.leases.make(IMAGE_ID, caller, scopes, None)

    def show(self, visibility: Visibility) -> None:
        assert self.catalog.describe(IMAGE_ID, name=None, visibility=visibility, revision=None, now=NOW)


@pytest.fixture
def scene(database_url: str, clock: Clock) -> Iterator[Scene]:
    made = Scene(database_url, clock, REMEMBER)
    yield made
    made.engine.dispose()


def delete(scene: Scene) -> None:
    assert scene.catalog.delete(IMAGE_ID, NOW)


def unshare(scene: Scene) -> None:
    assert scene.catalog.shares.unshare(IMAGE_ID, "rick")


def hide(scene: Scene) -> None:
    scene.show(Visibility.PRIVATE)
