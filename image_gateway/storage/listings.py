"""What listings of a bucket contain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ListedObject:
    """An object in a listing; `last_modified` is aware UTC, in whole seconds."""

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True)
class OpenUpload:
    """A multipart upload in progress; `initiated` is aware UTC."""

    key: str
    upload_id: str
    initiated: datetime
