"""The catalog's tables as SQLAlchemy models."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TextClause,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from image_gateway.catalog.column_types import UtcDateTime

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class UsageRow(Base):
    """Usage of one owner; updated in the same transaction as the image that changes it."""

    __tablename__ = "usage"

    owner: Mapped[str] = mapped_column(String(256), primary_key=True)
    images: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)


_LISTED = text("state <> 'deleted'")
_OPEN = text("state = 'uploading'")
UNFINISHED = text("state IN ('uploading', 'processing')")
_ACTIVE = text("state IN ('queued', 'running')")
_COMPLETE = text("state = 'complete'")
_UNPURGED = text("state IN ('failed', 'deleted') AND purged_at IS NULL")


def partial_index(name: str, *columns: str, where: TextClause) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


class ImageRow(Base):
    """One image. Completion sets all `disk_` columns together; publishing sets the `chunked_` columns."""

    __tablename__ = "images"
    __table_args__ = (
        CheckConstraint(
            "state IN ('uploading', 'processing', 'complete', 'failed', 'deleted')", name="state"
        ),
        # For lists of an owner's images, newest first.
        partial_index("ix_images_listed", "owner", "created_at", "image_id", where=_LISTED),
        Index("ix_images_by_state", "owner", "state", "created_at", "image_id"),
        # For the sweeper.
        partial_index("ix_images_open", "upload_expires_at", "image_id", where=_OPEN),
        partial_index("ix_images_unpurged", "image_id", where=_UNPURGED),
        partial_index("ix_images_complete", "image_id", where=_COMPLETE),
        # For the quota of open uploads, and the metrics.
        partial_index("ix_images_unfinished", "owner", "state", "reserved_bytes", where=UNFINISHED),
    )

    image_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(String(256))
    base_path: Mapped[str] = mapped_column(String(512))
    version: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
    visibility: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column(BigInteger)
    reserved_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    purged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    upload_id: Mapped[str] = mapped_column(String(1024))
    part_size: Mapped[int] = mapped_column(BigInteger)
    declared_size: Mapped[int | None] = mapped_column(BigInteger)
    declared_sha256: Mapped[str | None] = mapped_column(String(64))
    upload_expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disk_size: Mapped[int | None] = mapped_column(BigInteger)
    disk_etag: Mapped[str | None] = mapped_column(String(256))
    disk_last_modified: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disk_cache_control: Mapped[str | None] = mapped_column(String(512))
    chunked_chunk_size: Mapped[int | None] = mapped_column(BigInteger)
    chunked_index_width: Mapped[int | None] = mapped_column(Integer)
    chunked_disk_sha256: Mapped[str | None] = mapped_column(String(64))
    chunked_manifest_size: Mapped[int | None] = mapped_column(BigInteger)
    chunked_manifest_etag: Mapped[str | None] = mapped_column(String(256))
    chunked_published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    chunked_cache_control: Mapped[str | None] = mapped_column(String(512))
    format: Mapped[str] = mapped_column(String(16), server_default="raw")
    source_size: Mapped[int | None] = mapped_column(BigInteger)
    source_etag: Mapped[str | None] = mapped_column(String(256))
    source_last_modified: Mapped[datetime | None] = mapped_column(UtcDateTime)
    zero_map_bytes: Mapped[int | None] = mapped_column(BigInteger)


class JobRow(Base):
    """A background job; `params`, `checkpoint` and `result` are JSON."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
        Index("ix_jobs_image", "image_id", "created_at", "job_id"),
        # For workers that look for a job.
        partial_index("ix_jobs_active", "run_after", "job_id", where=_ACTIVE),
        # For the sweeper.
        Index("ix_jobs_finished", "finished_at", "job_id"),
    )

    job_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(36))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    params: Mapped[str] = mapped_column(Text)
    checkpoint: Mapped[str] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(Integer)
    bytes_done: Mapped[int] = mapped_column(BigInteger)
    bytes_total: Mapped[int | None] = mapped_column(BigInteger)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(1024))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    run_after: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seconds: Mapped[float | None] = mapped_column(Float)
    worker: Mapped[str | None] = mapped_column(String(255))
    claim_id: Mapped[str | None] = mapped_column(String(36))
    claim_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobTotalRow(Base):
    """Number and seconds of the jobs of one kind that ended in one state, forgotten ones included."""

    __tablename__ = "job_totals"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), primary_key=True)
    jobs: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(Float)


class BootTraceRow(Base):
    """The blocks that a boot of this version of an image reads, in order; `blocks` is JSON."""

    __tablename__ = "boot_traces"

    image_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    version: Mapped[str] = mapped_column(String(64))
    blocks: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WriterRow(Base):
    """A request or command that may write objects of an image until `expires_at`."""

    __tablename__ = "writers"
    __table_args__ = (
        Index("ix_writers_image", "image_id", "expires_at"),
        # For the sweeper.
        Index("ix_writers_expiry", "expires_at"),
    )

    writer_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(36))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ShareRow(Base):
    """A share: the owner lets `user_id` read or write the image."""

    __tablename__ = "shares"
    __table_args__ = (
        CheckConstraint("permission IN ('read', 'write')", name="permission"),
        # For the list of images that are shared with a user.
        Index("ix_shares_user", "user_id", "image_id"),
    )

    image_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    permission: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ShareLinkRow(Base):
    """A link that lets anyone who knows its token read an image. Only the token's SHA-256 is stored."""

    __tablename__ = "share_links"
    __table_args__ = (
        Index("uq_share_links_token_sha256", "token_sha256", unique=True),
        Index("ix_share_links_image", "image_id", "created_at", "link_id"),
    )

    link_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(36))
    token_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    max_uses: Mapped[int | None] = mapped_column(BigInteger)
    uses: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    label: Mapped[str | None] = mapped_column(String(255))


class LeaseRow(Base):
    """An issued lease. Its token holds the lease id; this row decides whether the lease is still valid."""

    __tablename__ = "leases"
    __table_args__ = (
        # For stream-url, which reuses an equivalent lease.
        Index("ix_leases_holder", "image_id", "holder", "created_at"),
        Index("ix_leases_session", "session_ends_at", "lease_id"),
    )

    lease_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(36))
    version: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(128))
    holder: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ttl_seconds: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    session_ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    when_lapsed: Mapped[str] = mapped_column(String(16))
    chunks_from: Mapped[str] = mapped_column(String(16))
    record: Mapped[bool] = mapped_column(Boolean, server_default=false())
    delta_id: Mapped[str | None] = mapped_column(String(36))
    delta_generation: Mapped[int | None] = mapped_column(BigInteger)
    delta_epoch: Mapped[int | None] = mapped_column(BigInteger)


class BrowserSessionRow(Base):
    """A browser that signed in. Only the SHA-256 of the session id is stored; the cookie has the id."""

    __tablename__ = "browser_sessions"
    __table_args__ = (
        Index("ix_browser_sessions_user", "user_id", "created_at"),
        # For the sweeper.
        Index("ix_browser_sessions_expiry", "expires_at", "session_sha256"),
    )

    session_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(256))
    display_name: Mapped[str] = mapped_column(String(256))
    admin: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditEntryRow(Base):
    """An audit event of an image; `details` is a JSON object of ids and words, never of secrets."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_image", "image_id", "created_at", "entry_id"),
        # For the sweeper.
        Index("ix_audit_entries_created", "created_at", "entry_id"),
    )

    entry_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    event: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str | None] = mapped_column(String(256))
    details: Mapped[str] = mapped_column(Text)


class PropertyRow(Base):
    """A property of the catalog as a whole, such as which programs may use it."""

    __tablename__ = "catalog_properties"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(255))
