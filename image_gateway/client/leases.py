"""Lease credentials: renewed before expiry, and re-created from the share link after the session."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from image_gateway.client.answers import Lease
from image_gateway.client.api import GatewayClient
from image_gateway.client.credentials import Credentials, bearer, is_address, nobody
from image_gateway.client.errors import ApiError

RENEWAL_MARGIN_SECONDS = 60.0
MIN_RETRY_SECONDS = 5.0
LONGEST_LINK = 4096
_LEASE_TOKEN = re.compile(r"igl~[A-Za-z0-9_-]+~([A-Za-z0-9_-]+)~[A-Za-z0-9_-]+", re.ASCII)
_LEASE_URL = re.compile(r"(https?://.+)/v1/l/([^/]+)(/.*)?", re.ASCII)
_SHARE_LINK = re.compile(r"[!-~]{1,256}", re.ASCII)


class BadLink(ValueError):
    """The input is not a valid link; the message does not contain the input."""


@dataclass(frozen=True)
class Link:
    """A share link's token, or a lease token with its ids; `api` is the URL of its gateway."""

    api: str
    token: str = field(repr=False)
    lease_id: str | None = None
    image_id: str | None = None


def read_link(text: str, api: str) -> Link:
    """Parse a share link's token, a lease URL or a lease token.

    Args:
        text: The input; surrounding whitespace is ignored.
        api: URL of the gateway, used unless `text` is a URL.

    Raises:
        BadLink: The text has none of these formats.
    """
    text = text.strip()
    url = _LEASE_URL.fullmatch(text)
    if url and is_address(url[1]):
        api, text = url[1].rstrip("/"), url[2]
    elif "/" in text:
        raise BadLink("is neither a share link's token nor a lease URL")
    lease = _LEASE_TOKEN.fullmatch(text)
    if lease:
        return Link(api, text, *_parse_claims(lease[1]))
    if url or not _SHARE_LINK.fullmatch(text):
        raise BadLink("is neither a share link's token nor a lease URL")
    return Link(api, text)


def _parse_claims(claims: str) -> tuple[str, str]:
    """Return the lease id and image id from the claims of a lease token."""
    try:
        lease_id, image_id, *_ = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return str(UUID(lease_id)), str(UUID(image_id))
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise BadLink("holds a malformed lease token") from None


class RenewedLease:
    """Credential of a lease, which it renews before the lease expires; thread-safe.

    The lifetime is measured from the response's Date header, so that the clocks need not agree.

    Args:
        client: Client of the lease's gateway.
        lease: The lease as it was received.
        requested_at: Time by `clock` at which the lease was requested.

    Raises:
        ApiError: The gateway refuses a renewal.
    """

    def __init__(
        self,
        client: GatewayClient,
        lease: Lease,
        requested_at: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._clock = client, clock
        self._lock = threading.Lock()
        self._store(lease, requested_at)

    @property
    def lease_id(self) -> str:
        return self._lease.lease_id

    @property
    def image_id(self) -> str:
        return self._lease.image_id

    def credentials(self) -> Credentials:
        with self._lock:
            if self._clock() >= self._renew_at:
                self._renew_before_expiry()
            return self._credentials

    def replaces(self, used: Credentials, refusal: ApiError) -> bool:
        # Responses to HEAD have no error code. The monotonic clock stops while the machine is suspended, so a
        # lease can lapse unnoticed; a lapsed lease can be renewed until its session ends.
        lapsed = refusal.status == 503 and refusal.code in ("LEASE_LAPSED", None)
        if refusal.status != 401 and not lapsed:
            return False
        with self._lock:
            if self._credentials is used:
                self._renew()
            return True

    def _renew_before_expiry(self) -> None:
        try:
            self._renew()
        except ApiError as error:
            if not error.retryable or self._clock() >= self._ends_at:
                raise
            self._renew_at = self._clock() + max(MIN_RETRY_SECONDS, error.retry_after or 0)

    def _renew(self) -> None:
        requested_at = self._clock()
        lease = self._request_renewal()
        if lease.image_id != self._lease.image_id:
            raise ApiError("the gateway returned a lease for another image")
        self._store(lease, requested_at)

    def _request_renewal(self) -> Lease:
        return self._client.renew(self._lease.lease_id, self._credentials)

    def _store(self, lease: Lease, requested_at: float) -> None:
        self._lease, self._credentials = lease, lease.credentials
        self._ends_at = requested_at + lease.lifetime
        wait = max(lease.lifetime - min(RENEWAL_MARGIN_SECONDS, lease.lifetime / 3), 1.0)
        # A lease that ends with its session cannot be renewed.
        self._renew_at = math.inf if lease.final else requested_at + wait


class Leased(RenewedLease):
    """Credential that reads by a link: a lease, which is re-created from a share link after its session.

    Raises:
        ApiError: The link or lease is rejected, here or at a later renewal.
    """

    def __init__(self, link: Link, *, clock: Callable[[], float] = time.monotonic) -> None:
        client, requested_at = GatewayClient(link.api, nobody()), clock()
        if link.lease_id is None:
            lease = client.redeem(link.token)
        else:
            lease = client.renew(link.lease_id, bearer(link.token))
        self._link = link
        super().__init__(client, lease, requested_at, clock=clock)

    def _request_renewal(self) -> Lease:
        try:
            return super()._request_renewal()
        except ApiError as error:
            if error.code != "LEASE_EXPIRED" or self._link.lease_id is not None:
                raise
            return self._client.redeem(self._link.token)
