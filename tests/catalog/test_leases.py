"""The book of leases: kept, prolonged, revoked for good, handed out again, forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.leases import LeaseRepository
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.leases import Holder, HolderKind, Lease, Scope
from tests.support.records import IMAGE_ID, NOW

ALICE = Holder(HolderKind.USER, "alice")
LEASE = Lease(
    lease_id="00000000-0000-4000-8000-0000000000aa",
    image_id=IMAGE_ID,
    version="f" * 16,
    scopes=frozenset({Scope.DISK_READ}),
    holder=ALICE,
    created_at=NOW,
    ttl_seconds=60,
    expires_at=NOW + timedelta(seconds=60),
    session_ends_at=NOW + timedelta(hours=1),
)
BEFORE = NOW - timedelta(seconds=1)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def book(catalog: Catalog) -> LeaseRepository:
    return catalog.leases


@pytest.mark.parametrize(
    "holder",
    [
        ALICE,
        Holder(HolderKind.USER, "a:b/c é"),
        Holder(HolderKind.USER, "u" * 256),
        Holder(HolderKind.ADMIN, "root"),
        Holder(HolderKind.LINK, "0" * 36),
        Holder(HolderKind.ANYONE),
    ],
    ids=lambda holder: holder.kind.value,
)
@pytest.mark.parametrize("scopes", [{Scope.DISK_READ}, {Scope.DISK_WRITE}, set(Scope)], ids=len)
def test_what_is_kept_comes_back(
    book: LeaseRepository, database_url: str, holder: Holder, scopes: set[Scope]
) -> None:
    lease = replace(LEASE, holder=holder, scopes=frozenset(scopes))
    book.add(lease)
    assert book.find(lease.lease_id) == lease
    engine = open_engine(database_url)
    assert LeaseRepository(engine).find(lease.lease_id) == lease
    engine.dispose()


@pytest.mark.parametrize("lease_id", ["", "unknown", LEASE.lease_id.upper(), "%"])
def test_find_nothing(book: LeaseRepository, lease_id: str) -> None:
    book.add(LEASE)
    assert book.find(lease_id) is None


@pytest.mark.parametrize(
    ("until", "expected"), [(after(120), after(120)), (after(60), after(60)), (after(30), after(60))]
)
def test_an_end_moves_forward_only(book: LeaseRepository, until: datetime, expected: datetime) -> None:
    book.add(LEASE)
    assert book.prolong(LEASE.lease_id, until)
    assert book.find(LEASE.lease_id) == replace(LEASE, expires_at=expected)


def test_a_revoked_lease_is_not_prolonged(book: LeaseRepository) -> None:
    book.add(LEASE)
    assert book.revoke(LEASE.lease_id, after(1))
    assert not book.prolong(LEASE.lease_id, after(120))
    assert not book.revoke(LEASE.lease_id, after(2))
    assert book.find(LEASE.lease_id) == replace(LEASE, revoked_at=after(1))
    assert not book.prolong("unknown", after(120))
    assert not book.revoke("unknown", NOW)


def test_of_many_one_revokes_and_none_prolongs_afterwards(book: LeaseRepository) -> None:
    book.add(LEASE)

    def act(number: int) -> bool:
        if number % 2:
            return book.revoke(LEASE.lease_id, after(number))
        book.prolong(LEASE.lease_id, after(60 + number))
        return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(act, range(16))).count(True) == 1
    assert not book.prolong(LEASE.lease_id, after(999))
    found = book.find(LEASE.lease_id)
    assert found is not None
    assert found.revoked_at is not None
    assert found.expires_at < after(999)


def test_prolonged_by_many_it_has_the_latest_end(book: LeaseRepository) -> None:
    book.add(LEASE)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda number: book.prolong(LEASE.lease_id, after(60 + number)), range(16)))
    assert book.find(LEASE.lease_id) == replace(LEASE, expires_at=after(75))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, True),
        ({"expires_at": after(9), "session_ends_at": after(9)}, True),
        ({"image_id": "another"}, False),
        ({"version": "another"}, False),
        ({"scopes": frozenset(Scope)}, False),
        ({"ttl_seconds": 61}, False),
        ({"holder": Holder(HolderKind.USER, "bob")}, False),
        ({"holder": Holder(HolderKind.ADMIN, "alice")}, False),
        ({"holder": Holder(HolderKind.ANYONE)}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_is_alike(book: LeaseRepository, changes: dict[str, object], found: bool) -> None:
    book.add(LEASE)
    wanted = replace(LEASE, lease_id="new", **changes)  # type: ignore[arg-type]
    assert book.find_alike(wanted, made_after=BEFORE) == (LEASE if found else None)


def test_the_newest_that_was_not_revoked_is_handed_out(book: LeaseRepository) -> None:
    leases = [replace(LEASE, lease_id=str(number), created_at=after(number)) for number in range(3)]
    for lease in leases:
        book.add(lease)
    assert book.find_alike(LEASE, made_after=NOW) == leases[2]
    book.revoke("2", NOW)
    assert book.find_alike(LEASE, made_after=NOW) == leases[1]
    assert book.find_alike(LEASE, made_after=leases[1].created_at) is None


def test_old_leases_are_forgotten_oldest_first(book: LeaseRepository) -> None:
    for number in range(5):
        book.add(replace(LEASE, lease_id=str(number), session_ends_at=after(number)))
    book.revoke("4", NOW)
    moment = after(3)
    assert book.count_old(moment) == 3
    assert book.forget(moment, limit=2) == 2
    assert [book.find(str(number)) is None for number in range(5)] == [True, True, False, False, False]
    assert (book.count_old(moment), book.forget(moment, limit=2)) == (1, 1)
    assert (book.count_old(moment), book.forget(moment, limit=2)) == (0, 0)
    assert book.find("3") is not None


def test_two_sweepers_forget_each_lease_once(book: LeaseRepository) -> None:
    for number in range(20):
        book.add(replace(LEASE, lease_id=str(number), session_ends_at=after(number)))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: book.forget(after(100), limit=20), range(4)))
    assert sum(counts) == 20
    assert book.count_old(after(100)) == 0
