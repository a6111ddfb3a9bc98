"""Drafts the record of a new image, however its bytes come: by upload, from a URL, or as zeros."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from image_gateway.domain.images import (
    ImageFormat,
    ImageRecord,
    ImageState,
    Kind,
    Quota,
    UploadPlan,
    Visibility,
)
from image_gateway.errors import BadRequest
from image_gateway.protocol.layout import ImageLocation
from image_gateway.protocol.parts import choose_part_size


@dataclass(frozen=True)
class UploadRules:
    """Defaults and limits of new uploads: sizes in bytes, lifetimes in seconds.

    An idle upload expires after `upload_lifetime`, an active one after `longest_upload`.
    """

    base_path: str
    part_size: int
    max_size: int
    cache_control: str
    url_lifetime: int
    upload_lifetime: int
    longest_upload: int
    quota: Quota


@dataclass(frozen=True)
class NewImage:
    """The properties of a new image; size in bytes and SHA-256 of what is uploaded are None when unknown."""

    name: str = "disk.img"
    kind: Kind = Kind.DISK
    size: int | None = None
    sha256: str | None = None
    format: ImageFormat = ImageFormat.RAW


def draft_image(
    owner: str,
    new: NewImage,
    rules: UploadRules,
    now: datetime,
    state: ImageState = ImageState.UPLOADING,
) -> ImageRecord:
    """Return the record of a new image, without the id of an upload.

    Raises:
        BadRequest: The size is more than the store takes.
    """
    if new.size is not None and new.size > rules.max_size:
        raise BadRequest(f"sizeBytes must be at most {rules.max_size}, not {new.size}")
    location = ImageLocation(rules.base_path, owner, str(uuid.uuid4()), secrets.token_hex(8))
    plan = UploadPlan(
        upload_id="",
        part_size=choose_part_size(new.size, rules.part_size),
        size=new.size,
        sha256=new.sha256,
        expires_at=now + timedelta(seconds=rules.upload_lifetime),
    )
    return ImageRecord(
        image_id=location.image_id,
        owner=owner,
        base_path=location.base_path,
        version=location.version,
        name=new.name,
        kind=new.kind,
        visibility=Visibility.PRIVATE,
        state=state,
        plan=plan,
        created_at=now,
        updated_at=now,
        reserved_bytes=new.size or 0,
        format=new.format,
    )
