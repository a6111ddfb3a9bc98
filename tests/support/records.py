"""Records as the catalog would hold them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from image_gateway.domain.images import (
    ChunkedFacts,
    DiskFacts,
    ImageRecord,
    ImageState,
    Kind,
    Quota,
    SourceFacts,
    UploadPlan,
    Visibility,
)

NOW = datetime(2026, 11, 22, 19, 0, 1, tzinfo=UTC)
DISK = DiskFacts(100 * 2**30, '"etag-2"', NOW, "private, no-store, no-transform")
SOURCE = SourceFacts(2**30, '"source"', NOW)
CHUNKED = ChunkedFacts(1024, 8, "ab" * 32, 99, '"manifest"', NOW, "no-transform")
FREE = Quota()
IMAGE_ID = "00000000-0000-4000-8000-000000000001"


def make_record(image_id: str = IMAGE_ID, **changes: Any) -> ImageRecord:
    """An image of alice that is being uploaded."""
    record = ImageRecord(
        image_id=image_id,
        owner="alice",
        base_path="/images",
        version="f" * 16,
        name="disk.img",
        kind=Kind.DISK,
        visibility=Visibility.PRIVATE,
        state=ImageState.UPLOADING,
        plan=UploadPlan("u1", 5 * 2**20, None, None, NOW + timedelta(days=7)),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(record, **changes)
