"""Between rows and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from image_gateway.catalog.records import (
    ChunkedFacts,
    DiskFacts,
    ImageRecord,
    ImageState,
    Kind,
    UploadPlan,
    Visibility,
)

_Facts = TypeVar("_Facts", DiskFacts, ChunkedFacts)
_NOT_PLAIN = {"plan", "state", "kind", "visibility", "disk", "chunked"}
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


def record_of(row: Mapping[Any, Any]) -> ImageRecord:
    """The record that a row holds."""
    return ImageRecord(
        **{name: row[name] for name in _PLAIN},
        state=ImageState(row["state"]),
        kind=Kind(row["kind"]),
        visibility=Visibility(row["visibility"]),
        plan=UploadPlan(
            upload_id=row["upload_id"],
            part_size=row["part_size"],
            size=row["declared_size"],
            sha256=row["declared_sha256"],
            expires_at=row["upload_expires_at"],
        ),
        disk=_facts(DiskFacts, "disk_", row) if row["disk_size"] is not None else None,
        chunked=_facts(ChunkedFacts, "chunked_", row) if row["chunked_published_at"] is not None else None,
    )


def columns_of(facts: DiskFacts | ChunkedFacts) -> dict[str, Any]:
    """The columns that hold these facts."""
    prefix = "disk_" if isinstance(facts, DiskFacts) else "chunked_"
    return {f"{prefix}{name}": value for name, value in asdict(facts).items()}


def _facts(kind: type[_Facts], prefix: str, row: Mapping[Any, Any]) -> _Facts:
    return kind(**{field.name: row[prefix + field.name] for field in fields(kind)})
