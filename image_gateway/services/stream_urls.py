"""URLs from which clients read images, with the cookies or signatures that they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from image_gateway.cdn.cookies import CookieRules, SignedCookie, cookie_attributes, make_cookies
from image_gateway.cdn.signer import CloudFrontSigner, SignedPolicy
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import ImageRecord, Visibility
from image_gateway.domain.leases import ChunksFrom, Scope
from image_gateway.services.leases import IssuedLease, Leases

LEASE_COOKIE = "ImageLease"


@dataclass(frozen=True)
class Cdn:
    """A CloudFront distribution: host, signer, and whether it takes signed URLs instead of cookies."""

    domain: str
    signs_urls: bool
    signer: CloudFrontSigner
    cookie_rules: CookieRules

    def url(self, key: str) -> str:
        return f"https://{self.domain}/{key}"

    def sign_policy(self, record: ImageRecord) -> SignedPolicy:
        """Return a signed policy for all objects of this version of the image."""
        return self.signer.sign_policy(f"https://{self.domain}{record.location.path}")


@dataclass(frozen=True)
class LeaseCarrier:
    """Whether the gateway's URLs carry leases in a cookie too, or only in the path."""

    by_cookie: bool
    cookie_rules: CookieRules

    def cookies(self, issued: IssuedLease, gateway_root: str) -> tuple[SignedCookie, ...]:
        """The cookie of a lease if cookies are used; its Path separates the cookies of different images."""
        lease = issued.lease
        if not self.by_cookie or Scope.DISK_READ not in lease.scopes or lease.delta is not None:
            return ()
        attributes = cookie_attributes(
            f"/v1/images/{lease.image_id}/",
            lease.session_ends_at,
            self.cookie_rules,
            secure=gateway_root.startswith("https:") or self.cookie_rules.same_site == "None",
        )
        return (SignedCookie(LEASE_COOKIE, issued.token, attributes),)


@dataclass(frozen=True)
class StreamUrl:
    """The answer to stream-url; `url` is a secret when `auth_type` is "url".

    `views_root` is the URL of all views, where those need nothing else to be read.
    """

    url: str = field(repr=False)
    auth_type: Literal["cookie", "url", "none"]
    expires_at: datetime | None = None
    cookies: tuple[SignedCookie, ...] = ()
    manifest_url: str | None = field(default=None, repr=False)
    lease_id: str | None = None
    views_root: str | None = field(default=None, repr=False)


class Delivery:
    """Makes URLs of images; `cdn` is None where the gateway itself serves the bytes.

    The gateway's own URLs carry leases, unless `leases` is None: without users no lease is needed.
    """

    def __init__(self, cdn: Cdn | None, leases: Leases | None, carrier: LeaseCarrier) -> None:
        self._cdn = cdn
        self._leases = leases
        self._carrier = carrier

    def stable_url(self, record: ImageRecord, gateway_root: str) -> str:
        """Return the image's URL without credentials."""
        if self._cdn is None:
            return f"{_gateway_image(record, gateway_root)}/range"
        return self._cdn.url(record.location.disk_key)

    def stream_url(self, record: ImageRecord, caller: Caller, gateway_root: str) -> StreamUrl:
        """Return the URL to stream from, with the cookies or the signature that it needs."""
        if self._cdn is not None:
            return self._cdn_url(self._cdn, record, caller, gateway_root)
        if self._leases is None:
            return StreamUrl(
                self.stable_url(record, gateway_root),
                "none",
                manifest_url=_gateway_manifest(record, gateway_root),
                views_root=self._open_views(record, gateway_root),
            )
        return self._leased_url(self._leases.make_for_session(record, caller), gateway_root)

    def redirect_url(self, record: ImageRecord, key: str) -> str | None:
        """Return the CDN's URL of one of the image's objects; None when the gateway serves it."""
        if self._cdn is None:
            return None
        url = self._cdn.url(key)
        return self._cdn.sign_policy(record).sign_url(url) if self._cdn.signs_urls else url

    def lease_urls(self, issued: IssuedLease, gateway_root: str) -> StreamUrl:
        """Return the URLs with a lease in their path, and its cookie if cookies are used."""
        root = f"{gateway_root}/v1/l/{issued.token}"
        has_manifest = issued.record.chunked is not None and issued.lease.delta is None
        return StreamUrl(
            url=f"{root}/disk.img",
            auth_type="url",
            expires_at=issued.lease.expires_at,
            cookies=self._carrier.cookies(issued, gateway_root),
            manifest_url=f"{root}/manifest.json" if has_manifest else None,
            lease_id=issued.lease.lease_id,
            views_root=root if Scope.DISK_READ in issued.lease.scopes else None,
        )

    def _leased_url(self, issued: IssuedLease, gateway_root: str) -> StreamUrl:
        urls = self.lease_urls(issued, gateway_root)
        if not urls.cookies:
            return urls
        record = issued.record
        return StreamUrl(
            url=self.stable_url(record, gateway_root),
            auth_type="cookie",
            expires_at=urls.expires_at,
            cookies=urls.cookies,
            manifest_url=_gateway_manifest(record, gateway_root),
            lease_id=urls.lease_id,
            views_root=urls.views_root,
        )

    def _cdn_url(self, cdn: Cdn, record: ImageRecord, caller: Caller, gateway_root: str) -> StreamUrl:
        url, policy = cdn.url(record.location.disk_key), cdn.sign_policy(record)
        if cdn.signs_urls:
            manifest, views_root = self._redirecting_urls(record, caller, gateway_root)
            return StreamUrl(
                policy.sign_url(url), "url", policy.expires_at, manifest_url=manifest, views_root=views_root
            )
        cookies = make_cookies(policy, f"{record.location.path}/", cdn.cookie_rules)
        cdn_manifest = cdn.url(record.location.manifest_key) if record.chunked else None
        views_root = self._open_views(record, gateway_root)
        return StreamUrl(url, "cookie", policy.expires_at, cookies, cdn_manifest, views_root=views_root)

    def _redirecting_urls(
        self, record: ImageRecord, caller: Caller, gateway_root: str
    ) -> tuple[str | None, str | None]:
        """The URLs of manifest and views if the CDN requires signed URLs.

        Relative URLs do not inherit the query string, so the gateway serves the manifest with a lease in the
        path, and redirects each chunk to its own signed URL. An image without chunks has no manifest, and
        needs no lease.
        """
        if record.chunked is None or self._leases is None:
            return _gateway_manifest(record, gateway_root), self._open_views(record, gateway_root)
        issued = self._leases.make_for_session(record, caller, ChunksFrom.CDN)
        urls = self.lease_urls(issued, gateway_root)
        return urls.manifest_url, urls.views_root

    def _open_views(self, record: ImageRecord, gateway_root: str) -> str | None:
        """The URL of all views of an image that everybody may read; None for any other image."""
        if self._leases is not None and record.visibility is not Visibility.PUBLIC:
            return None
        return f"{_gateway_image(record, gateway_root)}/views"


def _gateway_image(record: ImageRecord, gateway_root: str) -> str:
    return f"{gateway_root}/v1/images/{record.image_id}"


def _gateway_manifest(record: ImageRecord, gateway_root: str) -> str | None:
    return f"{_gateway_image(record, gateway_root)}/chunked/manifest" if record.chunked else None
