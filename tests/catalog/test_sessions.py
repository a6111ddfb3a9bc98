"""Sessions of browsers as rows: found by the hash of their id, replaced, touched, ended, forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.catalog.sessions import SessionRepository
from image_gateway.domain.sessions import BrowserSession
from tests.support.records import NOW

FIRST, SECOND, THIRD = (letter * 64 for letter in "abc")
SESSION = BrowserSession(
    user="alice",
    display_name="Alice Ä. <b>",
    admin=True,
    created_at=NOW,
    last_used_at=NOW,
    expires_at=NOW + timedelta(days=7),
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def sessions(catalog: Catalog) -> SessionRepository:
    return catalog.sessions


def test_a_session_comes_back_as_it_was_stored(sessions: SessionRepository) -> None:
    sessions.add(FIRST, SESSION)
    assert sessions.find(FIRST) == SESSION
    assert sessions.find(SECOND) is None


def test_a_new_session_ends_the_one_that_it_replaces_and_no_other(sessions: SessionRepository) -> None:
    sessions.add(FIRST, SESSION)
    sessions.add(SECOND, SESSION)
    sessions.add(THIRD, SESSION, replaces=FIRST)
    assert sessions.find(FIRST) is None
    assert sessions.find(SECOND) == sessions.find(THIRD) == SESSION


def test_a_use_is_recorded_and_never_set_back(sessions: SessionRepository) -> None:
    sessions.add(FIRST, SESSION)
    sessions.touch(FIRST, after(60))
    sessions.touch(FIRST, after(30))
    assert sessions.find(FIRST) == replace(SESSION, last_used_at=after(60))


def test_a_use_does_not_bring_an_ended_session_back(sessions: SessionRepository) -> None:
    sessions.add(FIRST, SESSION)
    assert sessions.end(FIRST) is True
    assert sessions.end(FIRST) is False
    sessions.touch(FIRST, after(60))
    assert sessions.find(FIRST) is None


def test_all_sessions_of_a_user_end_together(sessions: SessionRepository) -> None:
    sessions.add(FIRST, SESSION)
    sessions.add(SECOND, replace(SESSION, created_at=after(1)))
    sessions.add(THIRD, replace(SESSION, user="bob"))
    assert [found.created_at for found in sessions.of_user("alice")] == [after(1), NOW]
    assert sessions.end_of_user("alice") == 2
    assert sessions.of_user("alice") == []
    assert sessions.find(THIRD) is not None


def test_expired_sessions_are_forgotten_in_batches(sessions: SessionRepository) -> None:
    for name, seconds in ((FIRST, 10), (SECOND, 20), (THIRD, 21)):
        sessions.add(name, replace(SESSION, expires_at=after(seconds)))
    assert sessions.count_expired(after(20)) == 2
    assert sessions.forget(after(20), limit=1) == 1
    assert sessions.find(FIRST) is None
    assert sessions.forget(after(20), limit=5) == 1
    assert sessions.forget(after(20), limit=5) == 0
    assert sessions.find(THIRD) is not None
