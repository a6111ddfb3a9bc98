"""Lists, shows, renames and deletes images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEntry, AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageRecord, ImageState, ListQuery, Quota, Usage, Visibility
from image_gateway.domain.permissions import Action, Role
from image_gateway.errors import HasDeltas, PreconditionFailed
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.purging import Purger
from image_gateway.services.reading.access import Access

# Maximum number of objects that one DELETE request deletes; the sweeper deletes the rest.
PURGED_AT_ONCE = 5000
# How often deltas are deleted anew when others were created meanwhile.
CASCADES = 5


@dataclass(frozen=True)
class VisibleImage:
    """An image, and the role by which the caller sees it."""

    record: ImageRecord
    role: Role


@dataclass(frozen=True)
class Page:
    """One page of a list; `next` is the start of the following page, None on the last one."""

    images: Sequence[VisibleImage]
    next: tuple[datetime, str] | None


class Images:
    """Manages complete and incomplete images."""

    def __init__(
        self,
        catalog: Catalog,
        purger: Purger,
        access: Access,
        quota: Quota,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._purger = purger
        self._access = access
        self._quota = quota
        self._trail = trail
        self._clock = clock

    def list(self, query: ListQuery, *, admin: bool = False) -> Page:
        """Return a page of the user's images, or of those shared with the user, newest first."""
        found = self._catalog.list(replace(query, limit=query.limit + 1))
        records = found[: query.limit]
        more = len(found) > query.limit
        roles = self._shared_roles(records, query.user, admin) if query.shared else {}
        images = [VisibleImage(record, roles.get(record.image_id, Role.OWNER)) for record in records]
        return Page(images, (records[-1].created_at, records[-1].image_id) if more else None)

    def find(self, image_id: str, caller: Caller) -> VisibleImage:
        """Return an image that the caller may see, in any state but deleted."""
        return VisibleImage(*self._access.find_with_role(image_id, caller, Action.SHOW))

    def usage(self, owner: str) -> tuple[Usage, Quota]:
        """Return the owner's usage and quota."""
        return self._catalog.usage(owner), self._quota

    def describe(
        self,
        image_id: str,
        caller: Caller,
        *,
        name: str | None,
        visibility: Visibility | None,
        revision: int | None,
    ) -> VisibleImage:
        """Change name or visibility; PreconditionFailed when `revision` is given and not the current one."""
        found = self._access.find(image_id, caller, Action.DESCRIBE)
        changed = self._catalog.describe(
            found.image_id, name=name, visibility=visibility, revision=revision, now=now_of(self._clock)
        )
        if changed:
            self._note_changes(found, name, visibility, caller)
        record, role = self._access.find_with_role(found.image_id, caller, Action.DESCRIBE)
        if not changed:
            raise stale_revision(record)
        return VisibleImage(record, role)

    def activity(
        self, image_id: str, caller: Caller, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[AuditEntry]:
        """Return up to `limit` audit entries of an image, also of a deleted one, newest first."""
        record = self._access.find_even_deleted(image_id, caller, Action.AUDIT)
        return self._catalog.audit_entries.list(record.image_id, after=after, limit=limit)

    def delete(self, image_id: str, caller: Caller, *, revision: int | None, cascade: bool = False) -> None:
        """Delete an image permanently; idempotent.

        The record and the owner's usage change immediately. Objects that the store does not delete now, or
        that are too many for one request, are left to the sweeper.

        Args:
            image_id: The image.
            caller: Who wants it.
            revision: PreconditionFailed when given and not the current one, as for `describe`.
            cascade: Delete the image's deltas, too, whoever owns them.

        Raises:
            HasDeltas: The image has deltas, and `cascade` is false or others are created all the time.
        """
        record = self._access.find_even_deleted(image_id, caller, Action.DELETE)
        if record.state is not ImageState.DELETED:
            if self._end(record, caller, revision, cascade):
                role = self._access.role_of(caller, record)
                self._trail.note(AuditEvent.IMAGE_DELETED, record.image_id, user=caller.user, role=role)
            self._catalog.jobs.cancel_of_image(record.image_id, now_of(self._clock))
        elif record.purged_at is not None:
            return
        self._purger.purge_or_leave(record, at_most=PURGED_AT_ONCE)

    def _end(self, record: ImageRecord, caller: Caller, revision: int | None, cascade: bool) -> bool:
        """Move an image to `deleted`, its deltas before. Return False if another request did so."""
        for _ in range(CASCADES):
            if self._catalog.delete(record.image_id, now_of(self._clock), revision=revision):
                return True
            current = self._catalog.find(record.image_id) or record
            if revision not in (None, current.revision):
                raise stale_revision(current)
            if current.state is ImageState.DELETED:
                return False
            deltas = self._catalog.deltas.count_active(record.image_id)
            if deltas and not cascade:
                number = "1 delta" if deltas == 1 else f"{deltas} deltas"
                raise HasDeltas(f"the image has {number}: ?cascade=true deletes them, too")
            self._delete_deltas(record, caller, deltas)
        raise HasDeltas("deltas of the image are being created: try again")

    def _delete_deltas(self, record: ImageRecord, caller: Caller, count: int) -> None:
        role = self._access.role_of(caller, record)
        for delta in self._catalog.deltas.find_active(record.image_id, limit=count):
            if self._catalog.deltas.delete(delta.delta_id, now_of(self._clock), with_image=True):
                self._trail.note(
                    AuditEvent.DELTA_DELETED,
                    record.image_id,
                    user=caller.user,
                    role=role,
                    delta=delta.delta_id,
                    reason="image deleted",
                )

    def _shared_roles(self, records: Sequence[ImageRecord], user: str, admin: bool) -> Mapping[str, Role]:
        """Return the user's role for each of these images, which others share with the user."""
        if admin:
            return {record.image_id: Role.ADMIN for record in records}
        image_ids = [record.image_id for record in records]
        writable = self._catalog.shares.find_writable(image_ids, user)
        return {name: Role.WRITER if name in writable else Role.READER for name in image_ids}

    def _note_changes(
        self, before: ImageRecord, name: str | None, visibility: Visibility | None, caller: Caller
    ) -> None:
        changes = (
            (AuditEvent.IMAGE_RENAMED, before.name, name),
            (AuditEvent.VISIBILITY_CHANGED, before.visibility.value, visibility and visibility.value),
        )
        for event, old, new in changes:
            if new not in (None, old):
                self._trail.note(event, before.image_id, user=caller.user, before=old, after=new)


def stale_revision(record: ImageRecord) -> PreconditionFailed:
    """Return the error for an If-Match that does not match the record's revision."""
    etag = f'"{record.revision}"'
    return PreconditionFailed(
        "If-Match does not match the current revision: get the image again", headers={"ETag": etag}
    )
