"""Audit entries: kept as they were noted, listed newest first in pages, forgotten oldest first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from image_gateway.catalog.audit_entries import AuditRepository
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEntry, AuditEvent
from tests.support.records import IMAGE_ID, NOW

OTHER_ID = "00000000-0000-4000-8000-000000000002"
ENTRY = AuditEntry("e", IMAGE_ID, NOW, AuditEvent.SHARED.value, "alice", {"withUser": "bob"})


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def entries(catalog: Catalog) -> AuditRepository:
    return catalog.audit_entries


def listed(entries: AuditRepository, image_id: str = IMAGE_ID) -> list[str]:
    return [entry.entry_id for entry in entries.list(image_id, after=None, limit=100)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user": None},
        {"user": "u" * 256},
        {"created_at": after(0.000001)},
        {"details": {}},
        {"details": {"before": 'büro "\\', "after": "\x00\U0001f4be\u202e"}},
        {"details": {f"word{number}": "x" * 256 for number in range(20)}},
        {"event": "an event of a later version"},
    ],
    ids=str,
)
def test_what_is_noted_comes_back(entries: AuditRepository, changes: dict[str, object]) -> None:
    entry = replace(ENTRY, **changes)  # type: ignore[arg-type]
    entries.add(entry)
    assert list(entries.list(IMAGE_ID, after=None, limit=10)) == [entry]
    assert listed(entries, OTHER_ID) == []


def test_the_newest_is_first_and_each_entry_is_on_one_page(entries: AuditRepository) -> None:
    """Also where several were noted in the same moment."""
    moments = [0, 1, 1, 1, 1, 2, 2, 3]
    for number, moment in enumerate(moments):
        entries.add(replace(ENTRY, entry_id=f"e{number}", created_at=after(moment)))
        entries.add(replace(ENTRY, entry_id=f"other{number}", image_id=OTHER_ID, created_at=after(moment)))
    seen: list[str] = []
    cursor: tuple[datetime, str] | None = None
    while page := entries.list(IMAGE_ID, after=cursor, limit=3):
        seen += [entry.entry_id for entry in page]
        cursor = (page[-1].created_at, page[-1].entry_id)
    assert seen == [f"e{number}" for number in reversed(range(len(moments)))]


def test_an_entry_noted_meanwhile_moves_no_page(entries: AuditRepository) -> None:
    for number in range(4):
        entries.add(replace(ENTRY, entry_id=str(number), created_at=after(number)))
    first = entries.list(IMAGE_ID, after=None, limit=2)
    entries.add(replace(ENTRY, entry_id="new", created_at=after(9)))
    second = entries.list(IMAGE_ID, after=(first[-1].created_at, first[-1].entry_id), limit=2)
    assert [entry.entry_id for entry in (*first, *second)] == ["3", "2", "1", "0"]


def test_old_entries_are_forgotten_oldest_first(entries: AuditRepository) -> None:
    for number in range(5):
        image_id = IMAGE_ID if number % 2 else OTHER_ID
        entries.add(replace(ENTRY, entry_id=str(number), image_id=image_id, created_at=after(number)))
    assert entries.count_old(after(3)) == 3
    assert entries.forget(after(3), limit=2) == 2
    assert listed(entries, OTHER_ID) + listed(entries) == ["4", "2", "3"]
    assert (entries.count_old(after(3)), entries.forget(after(3), limit=2)) == (1, 1)
    assert (entries.count_old(after(3)), entries.forget(after(3), limit=2)) == (0, 0)
    assert listed(entries, OTHER_ID) + listed(entries) == ["4", "3"]


def test_two_sweepers_forget_each_entry_once(entries: AuditRepository) -> None:
    for number in range(20):
        entries.add(replace(ENTRY, entry_id=str(number), created_at=after(number)))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: entries.forget(after(100), limit=20), range(4)))
    assert sum(counts) == 20
    assert listed(entries) == []
