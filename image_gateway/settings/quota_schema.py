"""The variables about what one owner, or one image, may have."""

from __future__ import annotations

from marshmallow import Schema

from image_gateway.settings.fields import doc, number


class QuotaSchema(Schema):
    """Limits per owner and per image."""

    quota_images = number(
        0,
        10**9,
        data_key="QUOTA_IMAGES",
        load_default=None,
        metadata=doc("Most images that one owner may have; no limit when empty"),
    )
    quota_bytes = number(
        0,
        10**18,
        data_key="QUOTA_BYTES",
        load_default=None,
        metadata=doc("Most bytes that one owner's images may have together; no limit when empty"),
    )
    quota_bytes_per_image = number(
        0,
        10**18,
        data_key="QUOTA_BYTES_PER_IMAGE",
        load_default=None,
        metadata=doc("Most bytes that one image may have; no limit when empty"),
    )
    quota_open_uploads = number(
        1,
        10**6,
        data_key="QUOTA_OPEN_UPLOADS",
        load_default=100,
        metadata=doc("Most uploads that one owner may have open at a time"),
    )
    quota_shares_per_image = number(
        0,
        10**6,
        data_key="QUOTA_SHARES_PER_IMAGE",
        load_default=200,
        metadata=doc("Most users that one image may be shared with"),
    )
    quota_links_per_image = number(
        0,
        10**6,
        data_key="QUOTA_LINKS_PER_IMAGE",
        load_default=100,
        metadata=doc("Most share links that one image may have"),
    )
