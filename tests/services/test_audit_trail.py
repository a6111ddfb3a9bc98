"""The audit trail: one line of the log and one entry for each event, whatever the catalog does."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEntry, AuditEvent
from image_gateway.domain.jobs import JobKind, JobState, new_job
from image_gateway.domain.permissions import Role
from image_gateway.errors import CatalogUnavailable
from image_gateway.services.audit_trail import AuditTrail
from tests.support.clock import Clock
from tests.support.records import IMAGE_ID, NOW


@pytest.fixture
def trail(catalog: Catalog) -> AuditTrail:
    clock = Clock()
    clock.now = NOW.timestamp()
    return AuditTrail(catalog.audit_entries, clock)


def only(catalog: Catalog) -> AuditEntry:
    [entry] = catalog.audit_entries.list(IMAGE_ID, after=None, limit=9)
    return entry


def test_an_event_is_logged_and_stored(
    trail: AuditTrail, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "image_gateway.audit")
    trail.note(AuditEvent.SHARED, IMAGE_ID, user="alice", with_user="bob", size=5, link=None)
    [line] = caplog.records
    assert (line.name, line.getMessage()) == ("image_gateway.audit", "shared")
    assert (line.user, line.image, line.with_user) == ("alice", IMAGE_ID, "bob")  # type: ignore[attr-defined]
    assert not hasattr(line, "link")
    entry = only(catalog)
    assert (entry.event, entry.user, entry.created_at) == ("shared", "alice", NOW)
    assert entry.details == {"withUser": "bob", "size": "5"}


@pytest.mark.parametrize("role", [None, *Role])
def test_only_the_role_of_an_admin_is_noted(trail: AuditTrail, catalog: Catalog, role: Role | None) -> None:
    trail.note(AuditEvent.IMAGE_DELETED, IMAGE_ID, user="root", role=role)
    assert only(catalog).details == ({"role": "admin"} if role is Role.ADMIN else {})


@pytest.mark.parametrize(("length", "stored"), [(255, 255), (256, 256), (257, 256), (10_000, 256)])
def test_long_text_is_cut(trail: AuditTrail, catalog: Catalog, length: int, stored: int) -> None:
    trail.note(AuditEvent.IMAGE_RENAMED, IMAGE_ID, after="ü" * length)
    text = only(catalog).details["after"]
    assert len(text) == stored
    assert text.endswith("…") == (length > 256)


def test_a_catalog_that_is_away_is_logged_and_raises_nothing(
    trail: AuditTrail, catalog: Catalog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: AuditEntry) -> None:
        raise CatalogUnavailable("away")

    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr(catalog.audit_entries, "add", away)
        trail.note(AuditEvent.IMAGE_DELETED, IMAGE_ID, user="alice")
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
    assert IMAGE_ID in caplog.records[1].getMessage()
    assert list(catalog.audit_entries.list(IMAGE_ID, after=None, limit=9)) == []


@pytest.mark.parametrize(
    ("state", "code", "event", "details"),
    [
        (JobState.DONE, None, AuditEvent.JOB_DONE, {}),
        (JobState.FAILED, "BAD_REQUEST", AuditEvent.JOB_FAILED, {"code": "BAD_REQUEST"}),
        (JobState.CANCELLED, None, AuditEvent.JOB_CANCELLED, {}),
    ],
)
def test_the_end_of_a_job_is_noted_by_its_state(
    trail: AuditTrail,
    catalog: Catalog,
    state: JobState,
    code: str | None,
    event: AuditEvent,
    details: dict[str, str],
) -> None:
    """Its parameters and its error message are not: a URL of an import may hold a secret."""
    job = new_job(IMAGE_ID, JobKind.IMPORT, NOW, url="https://example.org/?secret-signature")
    trail.note_end(replace(job, state=state, error_code=code, error_message="secret"), user="alice")
    entry = only(catalog)
    assert (entry.event, entry.user) == (event.value, "alice")
    assert entry.details == {"job": job.job_id, "kind": "import", **details}
