"""A lease as a credential: renewed before its end, and made anew by its link when its session is over."""

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
from image_gateway.client.credentials import Proof, bearer, is_address, nobody
from image_gateway.client.errors import ApiError

SPARE_SECONDS = 60.0
LEAST_WAIT = 5.0
LONGEST_LINK = 4096
_LEASE_TOKEN = re.compile(r"igl~[A-Za-z0-9_-]+~([A-Za-z0-9_-]+)~[A-Za-z0-9_-]+", re.ASCII)
_LEASE_URL = re.compile(r"(https?://.+)/v1/l/([^/]+)(/.*)?", re.ASCII)
_SHARE_LINK = re.compile(r"[!-~]{1,256}", re.ASCII)


class BadLink(ValueError):
    """What was given is no link; the text does not tell what it is."""


@dataclass(frozen=True)
class Link:
    """A share link's token, or a lease with its ids; `api` is the gateway that it belongs to."""

    api: str
    token: str = field(repr=False)
    lease_id: str | None = None
    image_id: str | None = None


def read_link(text: str, api: str) -> Link:
    """Read a share link's token, a lease's URL or a lease's token.

    Only a URL names its gateway. Raises BadLink, which does not tell the text.
    """
    text = text.strip()
    url = _LEASE_URL.fullmatch(text)
    if url and is_address(url[1]):
        api, text = url[1].rstrip("/"), url[2]
    elif "/" in text:
        raise BadLink("is neither a share link's token nor the URL of a lease")
    lease = _LEASE_TOKEN.fullmatch(text)
    if lease:
        return Link(api, text, *_ids(lease[1]))
    if url or not _SHARE_LINK.fullmatch(text):
        raise BadLink("is neither a share link's token nor the URL of a lease")
    return Link(api, text)


def _ids(claims: str) -> tuple[str, str]:
    """A lease's id and its image's: nobody else tells them to whoever has but the lease."""
    try:
        lease_id, image_id, *_ = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return str(UUID(lease_id)), str(UUID(image_id))
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise BadLink("holds a lease that makes no sense") from None


class Leased:
    """Whoever has a link. Raises ApiError when it is refused, at the first and at every later renewal.

    Time is the server's: a lease lasts from the answer's own Date to its end.
    """

    def __init__(self, link: Link, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = GatewayClient(link.api, nobody())
        self._link, self._clock = link, clock
        self._lock = threading.Lock()
        asked = clock()
        if link.lease_id is None:
            self._take(self._client.redeem(link.token), asked)
        else:
            self._take(self._client.renew(link.lease_id, bearer(link.token)), asked)

    @property
    def image_id(self) -> str:
        return self._lease.image_id

    def proof(self) -> Proof:
        with self._lock:
            if self._clock() >= self._renew_at:
                self._renew_in_time()
            return self._proof

    def replaces(self, used: Proof, refusal: ApiError) -> bool:
        # The answer to a HEAD has no code. A clock that stood still while the machine slept is why a lease
        # may lapse unnoticed; one that is over for reading can still be renewed until its session ends.
        lapsed = refusal.status == 503 and refusal.code in ("LEASE_LAPSED", None)
        if refusal.status != 401 and not lapsed:
            return False
        with self._lock:
            if self._proof is used:
                self._renew()
            return True

    def _renew_in_time(self) -> None:
        try:
            self._renew()
        except ApiError as error:
            if not error.retryable or self._clock() >= self._ends_at:
                raise
            self._renew_at = self._clock() + max(LEAST_WAIT, error.retry_after or 0)

    def _renew(self) -> None:
        asked = self._clock()
        try:
            lease = self._client.renew(self._lease.lease_id, self._proof)
        except ApiError as error:
            if error.code != "LEASE_EXPIRED" or self._link.lease_id is not None:
                raise
            lease = self._client.redeem(self._link.token)
        if lease.image_id != self._lease.image_id:
            raise ApiError("the gateway gave a lease of another image")
        self._take(lease, asked)

    def _take(self, lease: Lease, asked: float) -> None:
        self._lease, self._proof = lease, lease.proof
        self._ends_at = asked + lease.lifetime
        wait = max(lease.lifetime - min(SPARE_SECONDS, lease.lifetime / 3), 1.0)
        # The end of its session cannot be moved.
        self._renew_at = math.inf if lease.final else asked + wait
