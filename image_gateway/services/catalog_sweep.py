"""The part of a sweep that looks at the catalog only: old leases, sessions, audit entries and jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.services.sweep_report import SweepReport

PAGE = 500
# Until then an expired lease is reported as expired, not as unknown.
LEASES_KEPT = timedelta(days=1)
# How long ended jobs are shown.
JOBS_KEPT = timedelta(days=30)
# How long a commit's answer can be asked for again by its key.
COMMITS_KEPT = timedelta(days=1)
AUDIT_KEPT = timedelta(days=90)


class CatalogSweep:
    """Deletes rows that are no longer needed, a page at once, and ends jobs that nobody runs."""

    def __init__(self, catalog: Catalog, clock: Callable[[], float], audit_kept: timedelta) -> None:
        self._catalog = catalog
        self._clock = clock
        self._audit_kept = audit_kept

    def sweep(self, report: SweepReport, *, dry_run: bool, on_step: Callable[[str], None]) -> None:
        """Run all steps once and add to the report; `dry_run` only counts."""
        on_step("expired leases")
        self._forget_leases(report, dry_run)
        on_step("expired sessions")
        self._forget_sessions(report, dry_run)
        on_step("old audit entries")
        self._forget_audit_entries(report, dry_run)
        on_step("old commits of deltas")
        self._forget_commits(report, dry_run)
        on_step("background jobs")
        self._end_jobs(report, dry_run)

    def _forget_leases(self, report: SweepReport, dry_run: bool) -> None:
        over, leases = now_of(self._clock) - LEASES_KEPT, self._catalog.leases
        if not dry_run:
            self._catalog.writers.forget(over)
        report.forgotten_leases = _forget(leases.count_old, leases.forget, over, dry_run)

    def _forget_sessions(self, report: SweepReport, dry_run: bool) -> None:
        now, sessions = now_of(self._clock), self._catalog.sessions
        report.forgotten_sessions = _forget(sessions.count_expired, sessions.forget, now, dry_run)

    def _forget_audit_entries(self, report: SweepReport, dry_run: bool) -> None:
        entries, oldest = self._catalog.audit_entries, now_of(self._clock) - self._audit_kept
        report.forgotten_audit_entries = _forget(entries.count_old, entries.forget, oldest, dry_run)

    def _forget_commits(self, report: SweepReport, dry_run: bool) -> None:
        before, objects = now_of(self._clock) - COMMITS_KEPT, self._catalog.delta_objects
        report.forgotten_commits = _forget(objects.count_old_commits, objects.forget_commits, before, dry_run)

    def _end_jobs(self, report: SweepReport, dry_run: bool) -> None:
        """Cancel the jobs of ended images, requeue those of dead workers, forget old ones."""
        now = now_of(self._clock)
        jobs = self._catalog.jobs
        if not dry_run:
            report.requeued_jobs = jobs.requeue_lost(now)
        for image_id in jobs.find_images_ended(limit=PAGE):
            report.ended_jobs += 1 if dry_run else jobs.cancel_of_image(image_id, now)
        while not dry_run and (forgotten := jobs.forget(now - JOBS_KEPT, limit=PAGE)):
            report.forgotten_jobs += forgotten


def _forget(
    count: Callable[[datetime], int], forget: Callable[..., int], before: datetime, dry_run: bool
) -> int:
    """Delete rows from before a time, a page at once, and return their number; only count in a dry run."""
    if dry_run:
        return count(before)
    total = 0
    while forgotten := forget(before, limit=PAGE):
        total += forgotten
    return total
