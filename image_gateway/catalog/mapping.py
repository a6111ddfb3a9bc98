"""Maps ORM rows to domain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from image_gateway.domain.images import (
    ChunkedFacts,
    DiskFacts,
    ImageFormat,
    ImageRecord,
    ImageState,
    Kind,
    SourceFacts,
    UploadPlan,
    Visibility,
)

_CONVERTED_FIELDS = {"plan", "state", "kind", "visibility", "disk", "chunked", "format", "source"}
# A dictionary lookup is faster than calling the enum: a list page maps up to 150 values.
_KINDS = {kind.value: kind for kind in Kind}
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}
_FORMATS = {image_format.value: image_format for image_format in ImageFormat}
_STATES = {state.value: state for state in ImageState}
_PUBLISHED_AT = [field.name for field in fields(ChunkedFacts)].index("published_at")
_UNCHANGED_FIELDS = [field.name for field in fields(ImageRecord) if field.name not in _CONVERTED_FIELDS]


def row_of(record: ImageRecord) -> dict[str, Any]:
    """Return the column values for a new image whose upload is in progress."""
    plan = record.plan
    return {
        **{name: getattr(record, name) for name in _UNCHANGED_FIELDS},
        "state": record.state.value,
        "kind": record.kind.value,
        "visibility": record.visibility.value,
        "format": record.format.value,
        "upload_id": plan.upload_id,
        "part_size": plan.part_size,
        "declared_size": plan.size,
        "declared_sha256": plan.sha256,
        "upload_expires_at": plan.expires_at,
    }


def record_of(row: Sequence[Any]) -> ImageRecord:
    """Return the record for a row that holds all columns in the table's order."""
    (
        image_id,
        owner,
        base_path,
        version,
        name,
        kind,
        visibility,
        state,
        revision,
        reserved_bytes,
        created_at,
        updated_at,
        purged_at,
        *facts,
    ) = row
    upload_id, part_size, declared_size, declared_sha256, upload_expires_at = facts[:5]
    disk, chunked, source = facts[5:9], facts[9:16], facts[17:20]
    image_format, zero_map_bytes = facts[16], facts[20]
    return ImageRecord(
        image_id=image_id,
        owner=owner,
        base_path=base_path,
        version=version,
        name=name,
        kind=_KINDS[kind],
        visibility=_VISIBILITIES[visibility],
        state=_STATES[state],
        plan=UploadPlan(upload_id, part_size, declared_size, declared_sha256, upload_expires_at),
        created_at=created_at,
        updated_at=updated_at,
        revision=revision,
        reserved_bytes=reserved_bytes,
        purged_at=purged_at,
        disk=DiskFacts(*disk) if disk[0] is not None else None,
        chunked=_chunked_from_columns(chunked),
        format=_FORMATS[image_format],
        source=SourceFacts(*source) if source[0] is not None else None,
        zero_map_bytes=zero_map_bytes,
    )


_PREFIXES = {DiskFacts: "disk_", ChunkedFacts: "chunked_", SourceFacts: "source_"}


def columns_of(facts: DiskFacts | ChunkedFacts | SourceFacts) -> dict[str, Any]:
    """Return the column values for `facts`, with the prefix `disk_`, `chunked_` or `source_`."""
    return {f"{_PREFIXES[type(facts)]}{name}": value for name, value in asdict(facts).items()}


def _chunked_from_columns(columns: Sequence[Any]) -> ChunkedFacts | None:
    """Return None until the image is published, although its chunk size is set earlier."""
    return ChunkedFacts(*columns) if columns[_PUBLISHED_AT] is not None else None
