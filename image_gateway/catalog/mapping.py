"""Between rows and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from image_gateway.domain.images import (
    ChunkedFacts,
    DiskFacts,
    ImageRecord,
    ImageState,
    Kind,
    UploadPlan,
    Visibility,
)

_NOT_PLAIN = {"plan", "state", "kind", "visibility", "disk", "chunked"}
# Quicker than a call of the enumeration: a list has 150.
_KINDS = {kind.value: kind for kind in Kind}
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}
_STATES = {state.value: state for state in ImageState}
_PUBLISHED_AT = [field.name for field in fields(ChunkedFacts)].index("published_at")
_PLAIN = [field.name for field in fields(ImageRecord) if field.name not in _NOT_PLAIN]


def row_of(record: ImageRecord) -> dict[str, Any]:
    """The columns of a new image that is being uploaded."""
    plan = record.plan
    return {
        **{name: getattr(record, name) for name in _PLAIN},
        "state": record.state.value,
        "kind": record.kind.value,
        "visibility": record.visibility.value,
        "upload_id": plan.upload_id,
        "part_size": plan.part_size,
        "declared_size": plan.size,
        "declared_sha256": plan.sha256,
        "upload_expires_at": plan.expires_at,
    }


def record_of(row: Sequence[Any]) -> ImageRecord:
    """The record that a row of all columns holds; they come in the table's order."""
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
    disk, chunked = facts[5:9], facts[9:]
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
        chunked=_chunked_of(chunked),
    )


def columns_of(facts: DiskFacts | ChunkedFacts) -> dict[str, Any]:
    """The columns that hold these facts."""
    prefix = "disk_" if isinstance(facts, DiskFacts) else "chunked_"
    return {f"{prefix}{name}": value for name, value in asdict(facts).items()}


def _chunked_of(columns: Sequence[Any]) -> ChunkedFacts | None:
    """None before the image is published; its chunk size is fixed earlier."""
    return ChunkedFacts(*columns) if columns[_PUBLISHED_AT] is not None else None
