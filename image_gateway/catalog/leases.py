"""Stores leases in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, and_, bindparam, delete, func, insert, select, update

from image_gateway.catalog.models import LeaseRow
from image_gateway.catalog.prepared import PreparedSelects
from image_gateway.catalog.transaction import Transactions
from image_gateway.domain.leases import ChunksFrom, Holder, Lease, LeasedDelta, Scope, WhenLapsed

_COLUMNS = LeaseRow.__table__.columns
_DELTA_COLUMNS = ("delta_id", "delta_generation", "delta_epoch")
_FIND = select(*_COLUMNS).where(_COLUMNS.lease_id == bindparam("lease_id"))
_FIND_EQUIVALENT = (
    select(*_COLUMNS)
    .where(
        _COLUMNS.image_id == bindparam("image_id"),
        _COLUMNS.holder == bindparam("holder"),
        _COLUMNS.created_at > bindparam("made_after"),
        _COLUMNS.version == bindparam("version"),
        _COLUMNS.scopes == bindparam("scopes"),
        _COLUMNS.ttl_seconds == bindparam("ttl_seconds"),
        _COLUMNS.when_lapsed == bindparam("when_lapsed"),
        _COLUMNS.chunks_from == bindparam("chunks_from"),
        _COLUMNS.record == bindparam("record"),
        _COLUMNS.revoked_at.is_(None),
        _COLUMNS.delta_id.is_(None),
    )
    .order_by(_COLUMNS.created_at.desc())
    .limit(1)
)


class LeaseRepository:
    """Stores leases in SQL. Each method runs in one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)
        self._prepared = PreparedSelects(engine)

    def add(self, lease: Lease) -> None:
        """Insert a new lease."""
        with self._transactions.writing() as connection:
            connection.execute(
                insert(LeaseRow).values(
                    lease_id=lease.lease_id,
                    image_id=lease.image_id,
                    version=lease.version,
                    scopes=" ".join(sorted(lease.scopes)),
                    holder=lease.holder.as_text(),
                    created_at=lease.created_at,
                    ttl_seconds=lease.ttl_seconds,
                    expires_at=lease.expires_at,
                    session_ends_at=lease.session_ends_at,
                    when_lapsed=lease.when_lapsed.value,
                    chunks_from=lease.chunks_from.value,
                    record=lease.record,
                    **_delta_columns(lease.delta),
                )
            )

    def find(self, lease_id: str) -> Lease | None:
        """Return the lease, also when it is revoked or expired, or None if there is no such lease."""
        row = self._prepared.first(_FIND, {"lease_id": lease_id})
        return _lease_from_row(row) if row else None

    def find_alike(self, lease: Lease, *, made_after: datetime) -> Lease | None:
        """Return the newest equivalent lease of the same holder, or None.

        Only leases that were created after `made_after` and are not revoked are considered.
        """
        values = {
            "image_id": lease.image_id,
            "holder": lease.holder.as_text(),
            "made_after": made_after,
            "version": lease.version,
            "scopes": " ".join(sorted(lease.scopes)),
            "ttl_seconds": lease.ttl_seconds,
            "when_lapsed": lease.when_lapsed.value,
            "chunks_from": lease.chunks_from.value,
            "record": lease.record,
        }
        found = self._prepared.first(_FIND_EQUIVALENT, values)
        return _lease_from_row(found) if found else None

    def prolong(self, lease_id: str, expires_at: datetime) -> bool:
        """Extend a lease to `expires_at`, but never shorten it. Return False if the lease is revoked."""
        statement = update(LeaseRow).where(LeaseRow.lease_id == lease_id, LeaseRow.revoked_at.is_(None))
        later = statement.where(LeaseRow.expires_at < expires_at).values(expires_at=expires_at)
        with self._transactions.writing() as connection:
            connection.execute(later)
            holds = select(LeaseRow.lease_id).where(
                LeaseRow.lease_id == lease_id, LeaseRow.revoked_at.is_(None)
            )
            return connection.execute(holds).first() is not None

    def revoke(self, lease_id: str, now: datetime) -> bool:
        """Revoke a lease. Return False if it was already revoked."""
        statement = update(LeaseRow).where(LeaseRow.lease_id == lease_id, LeaseRow.revoked_at.is_(None))
        return self._execute_update(statement.values(revoked_at=now)) == 1

    def revoke_all(self, now: datetime, *, dry_run: bool = False) -> int:
        """Revoke every lease whose session has not ended, and return their number; `dry_run` only counts."""
        valid = and_(LeaseRow.revoked_at.is_(None), LeaseRow.session_ends_at > now)
        if not dry_run:
            return self._execute_update(update(LeaseRow).where(valid).values(revoked_at=now))
        with self._transactions.reading() as connection:
            return connection.execute(select(func.count()).where(valid)).scalar() or 0

    def forget(self, ended_before: datetime, *, limit: int) -> int:
        """Delete up to `limit` leases whose session ended before `ended_before`, and return their number."""
        old = select(LeaseRow.lease_id).where(LeaseRow.session_ends_at < ended_before)
        chosen = old.order_by(LeaseRow.session_ends_at).limit(limit)
        return self._execute_update(delete(LeaseRow).where(LeaseRow.lease_id.in_(chosen)))

    def count_old(self, ended_before: datetime) -> int:
        """Return the number of leases that `forget` would delete without a limit."""
        statement = select(func.count()).where(LeaseRow.session_ends_at < ended_before)
        with self._transactions.reading() as connection:
            return connection.execute(statement).scalar() or 0

    def _execute_update(self, statement: Any) -> int:
        with self._transactions.writing() as connection:
            return connection.execute(statement).rowcount


def _delta_columns(delta: LeasedDelta | None) -> dict[str, Any]:
    if delta is None:
        return {}
    return {
        "delta_id": delta.delta_id,
        "delta_generation": delta.generation,
        "delta_epoch": delta.epoch,
    }


def _lease_from_row(row: Sequence[Any]) -> Lease:
    values = dict(zip(_COLUMNS.keys(), row, strict=True))
    scopes = frozenset(Scope(scope) for scope in values["scopes"].split())
    delta_id, generation, epoch = (values.pop(name) for name in _DELTA_COLUMNS)
    kinds = {
        "delta": LeasedDelta(delta_id, generation, epoch) if delta_id is not None else None,
        "holder": Holder.of_text(values["holder"]),
        "when_lapsed": WhenLapsed(values["when_lapsed"]),
        "chunks_from": ChunksFrom(values["chunks_from"]),
    }
    return Lease(**values | {"scopes": scopes} | kinds)
