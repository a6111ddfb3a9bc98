"""Background jobs: long work on one image, resumable and visible."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

# A job that failed so often without any progress in between has failed for good.
MAX_ATTEMPTS = 3
# So has one whose workers died so often: most of them were stopped for another reason than the job.
MAX_CLAIMS = 10


class JobKind(StrEnum):
    """The kind of a job.

    CONVERT also writes the zeros of empty disks, which have nothing to read. COMPACT rewrites segments of an
    image's deltas that hold little; FLATTEN makes a disk of a delta and its base.
    """

    COMPACT = "compact"
    CONVERT = "convert"
    FLATTEN = "flatten"
    IMPORT = "import"
    PUBLISH = "publish"
    VERIFY = "verify"


# These jobs make the disk of an image: when one fails or is cancelled, so has the image.
MAKES_DISK = frozenset({JobKind.CONVERT, JobKind.FLATTEN, JobKind.IMPORT})


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class Job:
    """One job.

    Args:
        attempt: Number of claims since the last checkpoint.
        run_after: Not claimed before this time.
        params: What the job was asked to do. May hold the URL of an import, so it is never shown or logged.
        checkpoint: What a worker needs to continue; written by the worker.
        seconds: Time from the first claim to the end.
        result: What the job found out, for example a verification report.
        worker: Host and process id of the worker that has or had the job.
        claim_id: Identifies the current claim. A worker whose claim was replaced can change nothing.
        claim_expires_at: When another worker may take over.
    """

    job_id: str
    image_id: str
    kind: JobKind
    created_at: datetime
    run_after: datetime
    state: JobState = JobState.QUEUED
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    checkpoint: Mapping[str, Any] = field(default_factory=dict, repr=False)
    result: Mapping[str, Any] | None = None
    attempt: int = 0
    bytes_done: int = 0
    bytes_total: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: float | None = None
    worker: str | None = None
    claim_id: str | None = field(default=None, repr=False)
    claim_expires_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


class JobCount(NamedTuple):
    """Number and total seconds of the jobs of one kind in one state."""

    kind: JobKind
    state: JobState
    jobs: int
    seconds: float


def new_job(image_id: str, kind: JobKind, now: datetime, **params: Any) -> Job:
    """Return a job that any worker may claim at once."""
    return Job(str(uuid.uuid4()), image_id, kind, created_at=now, run_after=now, params=params)
