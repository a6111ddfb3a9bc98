"""Stores shares and share links in the catalog."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from image_gateway.catalog.models import ImageRow, ShareLinkRow, ShareRow
from image_gateway.catalog.prepared import PreparedSelects
from image_gateway.catalog.transaction import Transactions
from image_gateway.domain.images import ImageState, Visibility
from image_gateway.domain.shares import Permission, Share, ShareLink
from image_gateway.errors import QuotaExceeded

_SHARES, _LINKS = ShareRow.__table__.columns, ShareLinkRow.__table__.columns
_LINK_COLUMNS = [column for column in _LINKS if column.name != "token_sha256"]
_LINK_NAMES = [column.name for column in _LINK_COLUMNS]
_FIND_PERMISSION = select(_SHARES.permission).where(
    _SHARES.image_id == bindparam("image_id"), _SHARES.user_id == bindparam("user")
)
_FIND_LINK = select(*_LINK_COLUMNS).where(_LINKS.link_id == bindparam("link_id"))


class ShareRepository:
    """Stores shares and share links in SQL. Each method runs in one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)
        self._prepared = PreparedSelects(engine)

    def find_permission(self, image_id: str, user: str) -> Permission | None:
        """Return the user's permission by a share, or None."""
        found = self._prepared.first(_FIND_PERMISSION, {"image_id": image_id, "user": user})
        return Permission(found[0]) if found else None

    def find_writable(self, image_ids: Collection[str], user: str) -> frozenset[str]:
        """Return the ids of those of these images that a share lets the user write."""
        chosen = select(_SHARES.image_id).where(_SHARES.image_id.in_(image_ids), _SHARES.user_id == user)
        statement = chosen.where(_SHARES.permission == Permission.WRITE.value)
        with self._transactions.reading() as connection:
            return frozenset(connection.execute(statement).scalars())

    def share(self, share: Share, *, most: int | None = None) -> None:
        """Create or update a share. A private image becomes shared.

        Raises:
            QuotaExceeded: The image would have more than `most` shares.
        """
        values = {
            "image_id": share.image_id,
            "user_id": share.user,
            "permission": share.permission.value,
            "created_at": share.created_at,
        }
        with self._transactions.writing() as connection:
            self._lock_image(connection, share.image_id)
            if not self._is_shared(connection, share):
                shares = select(func.count()).where(ShareRow.image_id == share.image_id)
                _check_count(connection, shares, most, "shares", "take one back first")
            upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            statement = upsert(ShareRow).values(**values)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["image_id", "user_id"], set_={"permission": share.permission.value}
                )
            )
            connection.execute(_make_shared(share.image_id, share.created_at))

    def unshare(self, image_id: str, user: str) -> bool:
        """Delete a share. Return False if there was none."""
        statement = delete(ShareRow).where(ShareRow.image_id == image_id, ShareRow.user_id == user)
        with self._transactions.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def list_shares(self, image_id: str, *, after: str, limit: int) -> Sequence[Share]:
        """Return up to `limit` shares of an image, ordered by user id, after the user id `after`."""
        statement = select(*ShareRow.__table__.columns).where(ShareRow.image_id == image_id)
        statement = statement.where(ShareRow.user_id > after).order_by(ShareRow.user_id).limit(limit)
        with self._transactions.reading() as connection:
            rows = connection.execute(statement).all()
        return [Share(row.image_id, row.user_id, Permission(row.permission), row.created_at) for row in rows]

    def add_link(self, link: ShareLink, token_sha256: str, *, most: int | None = None) -> None:
        """Insert a new share link. A private image becomes shared.

        Raises:
            QuotaExceeded: The image would have more than `most` active links.
        """
        statement = insert(ShareLinkRow).values(
            link_id=link.link_id,
            image_id=link.image_id,
            token_sha256=token_sha256,
            created_at=link.created_at,
            expires_at=link.expires_at,
            max_uses=link.max_uses,
            uses=0,
            label=link.label,
        )
        row = ShareLinkRow
        active_links = select(func.count()).where(row.image_id == link.image_id, row.revoked_at.is_(None))
        active_links = active_links.where(or_(row.expires_at.is_(None), row.expires_at > link.created_at))
        with self._transactions.writing() as connection:
            self._lock_image(connection, link.image_id)
            _check_count(connection, active_links, most, "share links", "revoke one first")
            connection.execute(statement)
            connection.execute(_make_shared(link.image_id, link.created_at))

    def _is_shared(self, connection: Connection, share: Share) -> bool:
        chosen = select(ShareRow.user_id).where(
            ShareRow.image_id == share.image_id, ShareRow.user_id == share.user
        )
        return connection.execute(chosen).first() is not None

    def _lock_image(self, connection: Connection, image_id: str) -> None:
        """Lock the image's row, so that concurrent requests do not exceed the limits on shares and links."""
        connection.execute(select(ImageRow.image_id).where(ImageRow.image_id == image_id).with_for_update())

    def find_link(self, link_id: str) -> ShareLink | None:
        """Return the link, also when it is revoked, or None."""
        row = self._prepared.first(_FIND_LINK, {"link_id": link_id})
        return _link_from_row(row) if row else None

    def list_links(
        self, image_id: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ShareLink]:
        """Return an image's unrevoked links, oldest first, after the cursor (created at, link id)."""
        row = ShareLinkRow
        statement = select(*_LINK_COLUMNS).where(row.image_id == image_id, row.revoked_at.is_(None))
        if after:
            created_at, link_id = after
            same_moment = and_(row.created_at == created_at, row.link_id > link_id)
            statement = statement.where(
                row.created_at >= created_at, or_(row.created_at > created_at, same_moment)
            )
        statement = statement.order_by(row.created_at, row.link_id).limit(limit)
        with self._transactions.reading() as connection:
            return [_link_from_row(found) for found in connection.execute(statement)]

    def revoke_link(self, link_id: str, now: datetime) -> bool:
        """Revoke a link. Return False if it was already revoked."""
        statement = update(ShareLinkRow).where(
            ShareLinkRow.link_id == link_id, ShareLinkRow.revoked_at.is_(None)
        )
        with self._transactions.writing() as connection:
            return connection.execute(statement.values(revoked_at=now)).rowcount == 1

    def revoke_all_links(self, now: datetime, *, dry_run: bool = False) -> int:
        """Revoke every link that can be redeemed, and return their number; `dry_run` only counts."""
        row = ShareLinkRow
        valid = and_(row.revoked_at.is_(None), or_(row.expires_at.is_(None), row.expires_at > now))
        if not dry_run:
            with self._transactions.writing() as connection:
                return connection.execute(update(row).where(valid).values(revoked_at=now)).rowcount
        with self._transactions.reading() as connection:
            return connection.execute(select(func.count()).where(valid)).scalar() or 0

    def find_link_by_token(self, token_sha256: str) -> ShareLink | None:
        """Return the link whose token has this SHA-256 (hex), or None."""
        statement = select(*_LINK_COLUMNS).where(ShareLinkRow.token_sha256 == token_sha256)
        with self._transactions.reading() as connection:
            row = connection.execute(statement).first()
        return _link_from_row(row) if row else None

    def use_link(self, link_id: str, now: datetime) -> bool:
        """Count one redemption. Return False if the link is revoked, expired or used up."""
        row = ShareLinkRow
        statement = update(row).where(row.link_id == link_id, row.revoked_at.is_(None))
        statement = statement.where(or_(row.expires_at.is_(None), row.expires_at > now))
        statement = statement.where(or_(row.max_uses.is_(None), row.uses < row.max_uses))
        with self._transactions.writing() as connection:
            return connection.execute(statement.values(uses=row.uses + 1)).rowcount == 1


def _check_count(
    connection: Connection, counting: Select[int], most: int | None, noun: str, remedy: str
) -> None:
    if most is not None and (connection.execute(counting).scalar() or 0) >= most:
        raise QuotaExceeded(f"an image may have at most {most} {noun}: {remedy}")


def _make_shared(image_id: str, now: datetime) -> Update:
    statement = update(ImageRow).where(
        ImageRow.image_id == image_id,
        ImageRow.visibility == Visibility.PRIVATE.value,
        ImageRow.state != ImageState.DELETED.value,
    )
    return statement.values(
        visibility=Visibility.SHARED.value, revision=ImageRow.revision + 1, updated_at=now
    )


def _link_from_row(row: Sequence[Any]) -> ShareLink:
    return ShareLink(**dict(zip(_LINK_NAMES, row, strict=True)))
