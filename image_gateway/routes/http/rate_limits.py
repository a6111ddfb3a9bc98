"""Rate limits of creates, leases, redemptions and refused credentials."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from flask import Response, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, RateLimiter

from image_gateway.errors import TooManyRequests
from image_gateway.protocol.addresses import network_of
from image_gateway.routes.http.authentication import peek_caller
from image_gateway.routes.http.schemas import MAX_URLS

# Timeout of Redis for connecting and for each answer; afterwards the worker counts by itself.
STORAGE_SECONDS = 0.5
# Maximum of the exponential backoff before Redis is tried again.
LONGEST_PAUSE_SECONDS = 32.0

_log = logging.getLogger(__name__)
_View = Callable[..., Response]
# The limit, the cost, the key and the scope.
_Hit = tuple[RateLimitItem, int, str, str]


@dataclass(frozen=True)
class LimitRules:
    """Limits such as `60/minute`; counted in `storage_url`, or nowhere when not `enabled`."""

    enabled: bool
    storage_url: str
    create: str
    part_urls: str
    complete: str
    leases: str
    redeem: str
    sign_in: str
    failed_auth: str
    per_address: str


@dataclass(frozen=True)
class _Limit:
    """A rate limit for a scope; `key` names the caller, `cost` is what a request counts."""

    rate: RateLimitItem
    scope: str
    key: Callable[[], str]
    cost: Callable[[], int] = lambda: 1


class Limits:
    """Counts requests per user and per address; above a limit they are answered 429 with Retry-After.

    While a shared storage is down each worker counts in its own memory.
    """

    def __init__(self, rules: LimitRules, timer: Callable[[], float]) -> None:
        self._rules = rules
        self._counters = _Counters(rules.storage_url, timer) if rules.enabled else None
        self._per_address = _Limit(parse(rules.per_address), "address", _address)
        self._refusals = _Limit(parse(rules.failed_auth), "refused", _address)

    def create(self, view: _View) -> _View:
        """Limit a view that makes images."""
        return self._limited(view, self._per_address, self._per_user(self._rules.create, "create"))

    def part_urls(self, view: _View) -> _View:
        """Limit a view that signs part URLs, by their number."""
        limit = _Limit(parse(self._rules.part_urls), "part urls", _user_or_address, _parts_asked)
        return self._limited(view, limit)

    def complete(self, view: _View) -> _View:
        """Limit a view that completes an upload, which may hash it."""
        return self._limited(view, self._per_user(self._rules.complete, "complete"))

    def leases(self, view: _View) -> _View:
        """Limit a view that makes or renews leases."""
        return self._limited(view, self._per_address, self._per_user(self._rules.leases, "leases"))

    def redeem(self, view: _View) -> _View:
        """Limit a view that redeems share links."""
        return self._limited(view, self._per_address, _Limit(parse(self._rules.redeem), "redeem", _address))

    def sign_in(self, view: _View) -> _View:
        """Limit a view that begins or completes a browser's sign-in."""
        return self._limited(view, _Limit(parse(self._rules.sign_in), "sign in", _address))

    def count_refusal(self) -> None:
        """Count a refused credential; raises TooManyRequests above the limit.

        A good credential is never held up by others' bad ones from the same address.
        """
        if self._counters is not None:
            self._counters.count([self._refusals])

    def _limited(self, view: _View, *limits: _Limit) -> _View:
        counters = self._counters
        if counters is None:
            return view
        # The shortest window first: a request that it refuses does not count for the next.
        ordered = sorted(limits, key=lambda limit: limit.rate)

        @functools.wraps(view)
        def count_and_view(*args: Any, **kwargs: Any) -> Response:
            counters.count(ordered)
            return view(*args, **kwargs)

        return count_and_view

    def _per_user(self, rate: str, scope: str) -> _Limit:
        return _Limit(parse(rate), scope, _user_or_address)


class _Counters:
    """Counts in the storage of this URL, or in memory while that does not answer."""

    def __init__(self, storage_url: str, timer: Callable[[], float]) -> None:
        self._shared = FixedWindowRateLimiter(open_storage(storage_url))
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._timer = timer
        self._pause = 0.0
        self._ask_again_at = 0.0

    def count(self, limits: Sequence[_Limit]) -> None:
        """Count the current request; raises TooManyRequests for the first limit that it exceeds."""
        hits = [(limit.rate, limit.cost(), limit.key(), limit.scope) for limit in limits]
        reset_at = self._hit(hits)
        if reset_at is not None:
            raise _too_many(reset_at)

    def _hit(self, hits: Sequence[_Hit]) -> float | None:
        """Return when the exceeded limit resets; None when none is exceeded."""
        if self._pause and self._timer() < self._ask_again_at:
            return _hit_all(self._own, hits)
        was_down = self._pause > 0
        if was_down:
            # Other requests count in memory while this one tries the storage.
            self._put_off()
        try:
            reset_at = _hit_all(self._shared, hits)
        except StorageError:
            if not self._pause:
                _log.warning("Rate limit storage unreachable: counting in the memory of this worker")
                self._put_off()
            return _hit_all(self._own, hits)
        if was_down:
            self._pause = 0.0
            _log.info("Rate limit storage recovered")
        return reset_at

    def _put_off(self) -> None:
        self._pause = min(max(1.0, 2 * self._pause), LONGEST_PAUSE_SECONDS)
        self._ask_again_at = self._timer() + self._pause


def _hit_all(counter: RateLimiter, hits: Sequence[_Hit]) -> float | None:
    """Count hits up to the first limit that is exceeded; return when that resets."""
    for rate, cost, *names in hits:
        if not counter.hit(rate, *names, cost=cost):
            return counter.get_window_stats(rate, *names).reset_time
    return None


def open_storage(storage_url: str, *, wrap_exceptions: bool = True) -> Storage:
    """Return the storage of a URL, with timeouts and without connecting.

    Its methods raise StorageError, or the driver's own errors without `wrap_exceptions`. Raises
    ConfigurationError if the scheme is unknown or its driver is missing.
    """
    seconds = {"socket_connect_timeout": STORAGE_SECONDS, "socket_timeout": STORAGE_SECONDS}
    bounds: dict[str, Any] = {} if storage_url == "memory://" else seconds
    return cast(Storage, storage_from_string(storage_url, wrap_exceptions=wrap_exceptions, **bounds))


def _too_many(reset_at: float) -> TooManyRequests:
    # Redis reports whole seconds: one more, so that no client retries too early.
    wait = max(1, math.ceil(int(reset_at + 1) - time.time()))
    return TooManyRequests(f"too many requests: try again in {wait} seconds", retry_after=wait)


def _parts_asked() -> int:
    """Return the number of URLs that a request asks for, at most MAX_URLS."""
    body = request.get_json(silent=True)
    numbers = body.get("partNumbers") if isinstance(body, dict) else None
    return min(len(numbers), MAX_URLS) if isinstance(numbers, list) and numbers else 1


def _address() -> str:
    return f"address:{network_of(request.remote_addr)}"


def _user_or_address() -> str:
    caller = peek_caller()
    return f"user:{caller.user}" if caller.user is not None else _address()
