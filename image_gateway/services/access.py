"""Who may do what with an image."""

from __future__ import annotations

import re

from image_gateway.catalog.records import DiskFacts, ImageRecord, ImageState
from image_gateway.catalog.repository import Catalog
from image_gateway.errors import Forbidden, InvalidState, NotFound

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Access:
    """Finds an image for a caller; the owner alone may read or change it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def find(self, image_id: str, caller: str) -> ImageRecord:
        """Return the caller's image; NotFound when there is none, Forbidden when it is someone else's."""
        record = self.look_up(image_id)
        if record is None or record.state is ImageState.DELETED:
            raise NotFound("there is no such image")
        if record.owner != caller:
            raise Forbidden("this image belongs to someone else")
        return record

    def find_even_deleted(self, image_id: str, caller: str) -> ImageRecord:
        """As `find`, but a deleted image of the caller is found."""
        record = self.look_up(image_id)
        if record is not None and record.state is ImageState.DELETED and record.owner == caller:
            return record
        return self.find(image_id, caller)

    def look_up(self, image_id: str) -> ImageRecord | None:
        """Return the record that an id from a client names, whoever asks."""
        canonical = image_id.lower()
        return self._catalog.find(canonical) if _UUID.fullmatch(canonical) else None

    def find_readable(self, image_id: str, caller: str) -> tuple[ImageRecord, DiskFacts]:
        """Return the caller's image and its disk; InvalidState while it is not complete."""
        record = self.find(image_id, caller)
        if record.state is not ImageState.COMPLETE or record.disk is None:
            raise InvalidState(f"the image is not readable: its state is {record.state.value}")
        return record, record.disk
