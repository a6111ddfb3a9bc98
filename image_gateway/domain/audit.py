"""Audit entries: what happened to an image, for its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditEvent(StrEnum):
    """What happened."""

    IMAGE_CREATED = "image created"
    IMPORT_REQUESTED = "import requested"
    EMPTY_DISK_REQUESTED = "empty disk requested"
    UPLOAD_COMPLETED = "upload completed"
    UPLOAD_ABORTED = "upload aborted"
    UPLOAD_FAILED = "upload failed"
    UPLOAD_EXPIRED = "upload expired"
    IMAGE_RENAMED = "image renamed"
    VISIBILITY_CHANGED = "visibility changed"
    IMAGE_DELETED = "image deleted"
    SHARED = "shared"
    SHARE_REVOKED = "share revoked"
    SHARE_LINK_CREATED = "share link created"
    SHARE_LINK_REDEEMED = "share link redeemed"
    SHARE_LINK_REVOKED = "share link revoked"
    LEASE_CREATED = "lease created"
    LEASE_REVOKED = "lease revoked"
    PUBLISH_REQUESTED = "publish requested"
    VERIFY_REQUESTED = "verify requested"
    DELTA_CREATED = "delta created"
    DELTA_FORKED = "delta forked"
    DELTA_RENAMED = "delta renamed"
    DELTA_DELETED = "delta deleted"
    DELTA_SESSION_OPENED = "delta session opened"
    DELTA_SNAPSHOT_CREATED = "delta snapshot created"
    DELTA_SNAPSHOT_DELETED = "delta snapshot deleted"
    DELTA_RESET = "delta reset"
    DELTA_FLATTEN_REQUESTED = "delta flatten requested"
    JOB_DONE = "job done"
    JOB_FAILED = "job failed"
    JOB_CANCELLED = "job cancelled"


@dataclass(frozen=True)
class AuditEntry:
    """One event of an image.

    Args:
        event: An AuditEvent, or one of another version of the program.
        user: Who did it; None for a worker, the sweeper, and callers without an identity.
        details: Ids, names and words; never a secret.
    """

    entry_id: str
    image_id: str
    created_at: datetime
    event: str
    user: str | None
    details: Mapping[str, str]
