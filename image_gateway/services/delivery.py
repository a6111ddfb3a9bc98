"""Where a browser should read an image from, and with what authority."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from image_gateway.catalog.records import ImageRecord
from image_gateway.cdn.cookies import CookieRules, SignedCookie, make_cookies
from image_gateway.cdn.signer import CloudFrontSigner, Grant


@dataclass(frozen=True)
class Cdn:
    """The distribution: its host, who signs for it, and whether by signed URLs instead of cookies."""

    domain: str
    signs_urls: bool
    signer: CloudFrontSigner
    cookie_rules: CookieRules

    def url(self, key: str) -> str:
        return f"https://{self.domain}/{key}"

    def grant(self, record: ImageRecord) -> Grant:
        """Permission to read everything of this version of the image."""
        return self.signer.grant(f"https://{self.domain}{record.location.path}")


@dataclass(frozen=True)
class StreamUrl:
    """The answer to stream-url; `url` is a secret when `auth_type` is "url"."""

    url: str = field(repr=False)
    auth_type: Literal["cookie", "url", "none"]
    expires_at: datetime | None = None
    cookies: tuple[SignedCookie, ...] = ()
    manifest_url: str | None = None


class Delivery:
    """Makes URLs of images; `cdn` is None where the gateway itself serves the bytes."""

    def __init__(self, cdn: Cdn | None) -> None:
        self._cdn = cdn

    def stable_url(self, record: ImageRecord, gateway_root: str) -> str:
        """The image's URL without any authority in it."""
        if self._cdn is None:
            return f"{_gateway_image(record, gateway_root)}/range"
        return self._cdn.url(record.location.disk_key)

    def stream_url(self, record: ImageRecord, gateway_root: str) -> StreamUrl:
        """The URL to stream from with what a browser needs to be let in."""
        url = self.stable_url(record, gateway_root)
        # Query strings do not survive relative resolution, so in URL mode too the manifest is the
        # gateway's, which redirects each chunk to its own signed URL.
        manifest = f"{_gateway_image(record, gateway_root)}/chunked/manifest" if record.chunked else None
        if self._cdn is None:
            return StreamUrl(url, "none", manifest_url=manifest)
        grant = self._cdn.grant(record)
        if self._cdn.signs_urls:
            return StreamUrl(grant.sign_url(url), "url", grant.expires_at, manifest_url=manifest)
        cookies = make_cookies(grant, f"{record.location.path}/", self._cdn.cookie_rules)
        cdn_manifest = self._cdn.url(record.location.manifest_key) if record.chunked else None
        return StreamUrl(url, "cookie", grant.expires_at, cookies, cdn_manifest)

    def redirect_url(self, record: ImageRecord, key: str) -> str | None:
        """Where to send a reader of one of the image's objects; None when the gateway serves it."""
        if self._cdn is None:
            return None
        url = self._cdn.url(key)
        return self._cdn.grant(record).sign_url(url) if self._cdn.signs_urls else url


def _gateway_image(record: ImageRecord, gateway_root: str) -> str:
    return f"{gateway_root}/v1/images/{record.image_id}"
