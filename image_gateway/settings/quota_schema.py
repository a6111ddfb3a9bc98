"""Settings for quotas per owner and per image."""

from __future__ import annotations

from marshmallow import Schema

from image_gateway.settings.fields import doc, number


class QuotaSchema(Schema):
    """Quotas per owner and per image."""

    quota_images = number(
        0,
        10**9,
        data_key="QUOTA_IMAGES",
        load_default=None,
        metadata=doc("Maximum images per owner; no limit when empty"),
    )
    quota_bytes = number(
        0,
        10**18,
        data_key="QUOTA_BYTES",
        load_default=None,
        metadata=doc("Maximum total bytes of one owner's images; no limit when empty"),
    )
    quota_bytes_per_image = number(
        0,
        10**18,
        data_key="QUOTA_BYTES_PER_IMAGE",
        load_default=None,
        metadata=doc("Maximum bytes per image; no limit when empty"),
    )
    quota_open_uploads = number(
        1,
        10**6,
        data_key="QUOTA_OPEN_UPLOADS",
        load_default=100,
        metadata=doc("Maximum open uploads per owner, with images that are being processed"),
    )
    quota_shares_per_image = number(
        0,
        10**6,
        data_key="QUOTA_SHARES_PER_IMAGE",
        load_default=200,
        metadata=doc("Maximum users that an image can be shared with"),
    )
    quota_links_per_image = number(
        0,
        10**6,
        data_key="QUOTA_LINKS_PER_IMAGE",
        load_default=100,
        metadata=doc("Maximum share links per image"),
    )
