"""What a sweep found and did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass
class SweepReport:
    """Counts of what a sweep found and did.

    `completed_uploads` counts expired uploads whose parts the store had joined already; `kept_uploads` those
    without a record that began before the catalog was restored. `vanished` lists images whose object is
    missing, `unknown` the prefixes of objects without a record. `kept_delta_objects` counts objects of deltas
    without a row that are older than a restore, `ended_deltas` those of images that were deleted without
    them, `released_snapshots` those that had kept a generation for a job.
    """

    expired_uploads: int = 0
    completed_uploads: int = 0
    orphaned_uploads: int = 0
    kept_uploads: int = 0
    purged_images: int = 0
    checked_images: int = 0
    vanished: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    left_for_later: int = 0
    forgotten_leases: int = 0
    forgotten_sessions: int = 0
    ended_jobs: int = 0
    requeued_jobs: int = 0
    forgotten_jobs: int = 0
    forgotten_audit_entries: int = 0
    deleted_sources: int = 0
    uncached_images: int = 0
    deleted_delta_objects: int = 0
    deleted_delta_bytes: int = 0
    kept_delta_objects: int = 0
    ended_deltas: int = 0
    purged_deltas: int = 0
    released_snapshots: int = 0
    forgotten_commits: int = 0

    def as_numbers(self) -> dict[str, int]:
        """Every field as a number, by its name."""
        values = asdict(self)
        return {name: len(value) if isinstance(value, list) else value for name, value in values.items()}
