"""Statements that list a user's images, and those shared with a user."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, func, or_, select, text

from image_gateway.catalog.models import ImageRow, ShareRow
from image_gateway.domain.images import ListQuery, Visibility

_COLUMNS = ImageRow.__table__.columns
_IS_NOT_DELETED = text("state <> 'deleted'")


def list_statement(query: ListQuery) -> Select[Any]:
    """Return the statement of a page; its values come from `list_values`."""
    return _statement(
        shared=query.shared,
        any_state=query.state is None,
        has_name=bool(query.name),
        has_cursor=query.after is not None,
    )


def list_values(query: ListQuery) -> dict[str, Any]:
    """Return the values of the statement's parameters."""
    values: dict[str, Any] = {"user": query.user, "limit": query.limit}
    if query.state is not None:
        values["state"] = query.state.value
    if query.name:
        values["name"] = _escape_like(query.name.lower())
    if query.after:
        values["created_at"], values["image_id"] = query.after
    return values


@cache
def _statement(*, shared: bool, any_state: bool, has_name: bool, has_cursor: bool) -> Select[Any]:
    """Build the list of a user's images, or of those shared with the user. Cached: at most 16 statements."""
    visible = _shared_with(bindparam("user")) if shared else _COLUMNS.owner == bindparam("user")
    statement = select(*_COLUMNS).where(visible)
    statement = statement.where(_IS_NOT_DELETED if any_state else _COLUMNS.state == bindparam("state"))
    if has_name:
        statement = statement.where(func.lower(_COLUMNS.name).contains(bindparam("name"), escape="/"))
    if has_cursor:
        moment: BindParameter[datetime] = bindparam("created_at")
        same_moment = and_(_COLUMNS.created_at == moment, _COLUMNS.image_id < bindparam("image_id"))
        statement = statement.where(
            _COLUMNS.created_at <= moment, or_(_COLUMNS.created_at < moment, same_moment)
        )
    newest_first = statement.order_by(_COLUMNS.created_at.desc(), _COLUMNS.image_id.desc())
    return newest_first.limit(bindparam("limit"))


def _escape_like(text: str) -> str:
    """Escape the wildcards of LIKE, with `/` as the escape character."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _shared_with(user: ColumnElement[str]) -> ColumnElement[bool]:
    shared = select(ShareRow.image_id).where(ShareRow.user_id == user)
    return and_(_COLUMNS.visibility != Visibility.PRIVATE.value, _COLUMNS.image_id.in_(shared))
