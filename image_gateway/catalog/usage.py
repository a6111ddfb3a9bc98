"""Updates owners' usage with guarded UPDATEs, in the transaction that also changes the image."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from image_gateway.catalog.models import UNFINISHED, ImageRow, UsageRow
from image_gateway.domain.images import ImageState, Quota, Usage
from image_gateway.errors import QuotaExceeded


def read_usage(connection: Connection, owner: str) -> Usage:
    """Return an owner's usage."""
    found = connection.execute(select(UsageRow.images, UsageRow.bytes).where(UsageRow.owner == owner)).first()
    return Usage(found.images, found.bytes) if found else Usage(0, 0)


def count_open(connection: Connection) -> tuple[int, int]:
    """Return the number of open uploads of all owners and the bytes that they reserve."""
    reserved = func.coalesce(func.sum(ImageRow.reserved_bytes), 0)
    is_open = ImageRow.state == ImageState.UPLOADING.value
    statement = select(func.count(), reserved).select_from(ImageRow).where(UNFINISHED, is_open)
    uploads, size = connection.execute(statement).one()
    return int(uploads), int(size)


def reserve(connection: Connection, owner: str, size: int, quota: Quota) -> None:
    """Count one more image of `size` bytes. Raises QuotaExceeded if over a limit."""
    _check_image_size(size, quota)
    _ensure_row(connection, owner)
    _add(connection, owner, images=1, size=size, quota=quota)
    # The owner's row is locked now, so no other upload of this owner can start concurrently.
    _check_open_uploads(connection, owner, quota)


def resize(connection: Connection, owner: str, before: int, size: int, quota: Quota) -> None:
    """Count an image with `size` instead of `before` bytes. Raises QuotaExceeded if over a limit."""
    _check_image_size(size, quota)
    _add(connection, owner, images=0, size=size - before, quota=quota)


def release(connection: Connection, owner: str, size: int) -> None:
    """Stop counting an image of `size` bytes."""
    changes = {"images": UsageRow.images - 1, "bytes": UsageRow.bytes - size}
    connection.execute(update(UsageRow).where(UsageRow.owner == owner).values(**changes))


def add_stored(connection: Connection, owner: str, size: int, quota: Quota) -> None:
    """Count `size` more bytes of an owner's deltas, or fewer. Raises QuotaExceeded if over a limit.

    The owner of an image has a row already; another user's is made by the first delta.
    """
    if size and not _added(connection, owner, images=0, size=size, quota=quota):
        _ensure_row(connection, owner)
        _add(connection, owner, images=0, size=size, quota=quota)


def _check_image_size(size: int, quota: Quota) -> None:
    limit = quota.bytes_per_image
    if limit is not None and size > limit:
        raise QuotaExceeded(f"an image may have at most {limit} bytes; this one has {size}")


def _check_open_uploads(connection: Connection, owner: str, quota: Quota) -> None:
    if quota.open_uploads is None:
        return
    statement = select(func.count()).select_from(ImageRow).where(ImageRow.owner == owner, UNFINISHED)
    if (connection.execute(statement).scalar() or 0) >= quota.open_uploads:
        raise QuotaExceeded(
            f"at most {quota.open_uploads} uploads may be open at a time: complete or abort one first"
        )


def _ensure_row(connection: Connection, owner: str) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(UsageRow).values(owner=owner, images=0, bytes=0)
    connection.execute(statement.on_conflict_do_nothing())


def _add(connection: Connection, owner: str, *, images: int, size: int, quota: Quota) -> None:
    if not _added(connection, owner, images=images, size=size, quota=quota):
        raise QuotaExceeded(_explain_excess(read_usage(connection, owner), images, size, quota))


def _added(connection: Connection, owner: str, *, images: int, size: int, quota: Quota) -> bool:
    """Add to the usage by one guarded UPDATE; its row lock serializes concurrent reservations."""
    statement = update(UsageRow).where(UsageRow.owner == owner)
    if quota.images is not None and images > 0:
        statement = statement.where(UsageRow.images + images <= quota.images)
    if quota.bytes is not None and size > 0:
        statement = statement.where(UsageRow.bytes + size <= quota.bytes)
    changes = {"images": UsageRow.images + images, "bytes": UsageRow.bytes + size}
    return connection.execute(statement.values(**changes)).rowcount == 1


def _explain_excess(usage: Usage, images: int, size: int, quota: Quota) -> str:
    if quota.images is not None and usage.images + images > quota.images:
        return f"at most {quota.images} images are allowed and {usage.images} are there: delete one first"
    return (
        f"at most {quota.bytes} bytes are allowed, {usage.bytes} are in use and {size} more are needed: "
        "delete images or deltas first"
    )
