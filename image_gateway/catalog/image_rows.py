"""Changes of one image's row, as steps of a transaction that may change other rows as well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Update, bindparam, select, update
from sqlalchemy.engine import Row

from image_gateway.catalog.mapping import columns_of
from image_gateway.catalog.models import ImageRow
from image_gateway.catalog.usage import release, resize
from image_gateway.domain.images import COUNTED, DiskFacts, ImageState, Quota, states_before

_COLUMNS = ImageRow.__table__.columns
_FIND_AND_LOCK = select(*_COLUMNS).where(_COLUMNS.image_id == bindparam("image_id")).with_for_update()


def find_and_lock(connection: Connection, image_id: str) -> Row[Any] | None:
    """Return the image's row, locked until the end of the transaction."""
    return connection.execute(_FIND_AND_LOCK, {"image_id": image_id}).first()


def update_image(image_id: str, now: datetime, revision: int | None = None) -> Update:
    """Return an UPDATE of the image, only at `revision` if that is given."""
    statement = update(ImageRow).where(ImageRow.image_id == image_id)
    if revision is not None:
        statement = statement.where(ImageRow.revision == revision)
    return statement.values(revision=ImageRow.revision + 1, updated_at=now)


def change_state(image_id: str, state: ImageState, now: datetime) -> Update:
    """Return an UPDATE that moves the image to `state`, from every state from which that is legal."""
    legal = [before.value for before in states_before(state)]
    return update_image(image_id, now).where(ImageRow.state.in_(legal)).values(state=state.value)


def declare_sha256(image_id: str, upload_id: str, sha256: str, now: datetime) -> Update:
    """Return an UPDATE that records the SHA-256 of an open upload which has none."""
    is_open = ImageRow.state == ImageState.UPLOADING.value
    statement = update_image(image_id, now).where(is_open, ImageRow.upload_id == upload_id)
    return statement.where(ImageRow.declared_sha256.is_(None)).values(declared_sha256=sha256)


def complete_upload(
    connection: Connection, image_id: str, upload_id: str, sha256: str | None, disk: DiskFacts, now: datetime
) -> bool:
    """Like `complete`, for an open upload. Return False also if its declared SHA-256 is not `sha256`."""
    row = find_and_lock(connection, image_id)
    if row is None or row.declared_sha256 != sha256:
        return False
    return complete(connection, image_id, ImageState.UPLOADING, upload_id, disk, now)


def complete(
    connection: Connection, image_id: str, before: ImageState, upload_id: str, disk: DiskFacts, now: datetime
) -> bool:
    """Move to `complete` and count the disk's size. Return False if not in `before` with this upload."""
    statement = change_state(image_id, ImageState.COMPLETE, now)
    statement = statement.where(ImageRow.state == before.value, ImageRow.upload_id == upload_id)
    row = find_and_lock(connection, image_id)
    changes = {"reserved_bytes": disk.size, **columns_of(disk)}
    if row is None or connection.execute(statement.values(**changes)).rowcount != 1:
        return False
    # No quota check: the bytes are stored already, whatever a concurrent request reserved.
    resize(connection, row.owner, row.reserved_bytes, disk.size, Quota())
    return True


def settle(connection: Connection, image_id: str, state: ImageState, size: int, quota: Quota) -> bool:
    """Count the image by its real size. Return False if not in `state`; QuotaExceeded changes nothing."""
    row = find_and_lock(connection, image_id)
    if row is None or row.state != state.value:
        return False
    resize(connection, row.owner, row.reserved_bytes, size, quota)
    connection.execute(update(ImageRow).where(ImageRow.image_id == image_id).values(reserved_bytes=size))
    return True


def end_and_release(connection: Connection, image_id: str, statement: Update) -> bool:
    """Run an UPDATE that ends the image, and release its usage. Return False if it changes no row."""
    row = find_and_lock(connection, image_id)
    if row is None or connection.execute(statement.values(reserved_bytes=0)).rowcount != 1:
        return False
    if row.state in {state.value for state in COUNTED}:
        release(connection, row.owner, row.reserved_bytes)
    return True
