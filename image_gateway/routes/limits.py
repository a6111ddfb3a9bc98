"""Rate limits on what costs, or could be guessed: creates, leases, redemptions and refused credentials."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from flask import Flask, Response, request
from flask_limiter import Limiter, RateLimitExceeded
from limits import parse
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter

from image_gateway.errors import TooManyRequests
from image_gateway.protocol.addresses import network_of
from image_gateway.routes.error_handlers import answer_gateway_error
from image_gateway.routes.identity import peek_caller
from image_gateway.routes.schemas import MAX_URLS

# For connecting, and for each answer, of a Redis that counts; then the worker counts by itself.
STORAGE_SECONDS = 0.5

_log = logging.getLogger(__name__)
_View = Callable[..., Response]


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
    failed_auth: str
    per_address: str


class _ViewLimiter(Limiter):
    """Checks limits in the views that have one, and costs the others, bytes above all, nothing.

    The extension's hooks on every request are for limits of the whole app and for headers, of which there are
    none here.
    """

    def init_app(self, app: Flask) -> None:
        hooks: list[list[Any]] = [
            app.before_request_funcs[None],
            app.after_request_funcs[None],
            app.teardown_request_funcs[None],
        ]
        others = [list(functions) for functions in hooks]
        super().init_app(app)
        for functions, kept in zip(hooks, others, strict=True):
            functions[:] = kept


class Limits:
    """Counts requests per user and per address; what is over a limit is answered 429 with Retry-After.

    While a shared storage is down each worker counts in its own memory.
    """

    def __init__(self, app: Flask, rules: LimitRules) -> None:
        self._rules = rules
        self._failed_auth = parse(rules.failed_auth)
        self._own_counter = FixedWindowRateLimiter(MemoryStorage())
        self._limiter = _ViewLimiter(
            key_func=_address,
            app=app,
            enabled=rules.enabled,
            storage_uri=rules.storage_url,
            storage_options={"wrap_exceptions": True, **_storage_bounds(rules.storage_url)},
            strategy="fixed-window",
            in_memory_fallback_enabled=rules.storage_url != "memory://",
        )
        app.register_error_handler(RateLimitExceeded, self._answer_exceeded)

    def create(self, view: _View) -> _View:
        """Limit a view that makes images."""
        return self._per_user(self._rules.create, "create", view)

    def part_urls(self, view: _View) -> _View:
        """Limit a view that signs part URLs, by their number."""
        return self._shared(self._rules.part_urls, "part urls", _user_or_address, view, cost=_parts_asked)

    def complete(self, view: _View) -> _View:
        """Limit a view that completes an upload, which may hash it."""
        return self._shared(self._rules.complete, "complete", _user_or_address, view)

    def leases(self, view: _View) -> _View:
        """Limit a view that makes or renews leases."""
        return self._per_user(self._rules.leases, "leases", view)

    def redeem(self, view: _View) -> _View:
        """Limit a view that takes the token of a share link, whoever asks."""
        return self._shared(self._rules.redeem, "redeem", _address, self._per_address(view))

    def count_refusal(self) -> None:
        """Count a credential that was refused; TooManyRequests from the limit on.

        A good credential is never held up by others' bad ones from the same address.
        """
        if not self._rules.enabled:
            return
        try:
            self._count_refusal(self._limiter.limiter)
        except StorageError:
            _log.warning("the storage of rate limits does not answer: this worker counts by itself")
            self._count_refusal(self._own_counter)

    def _count_refusal(self, counter: RateLimiter) -> None:
        key = ("refused", _address())
        if not counter.hit(self._failed_auth, *key):
            reset_at, _ = counter.get_window_stats(self._failed_auth, *key)
            raise _too_many(reset_at)

    def _per_user(self, rate: str, name: str, view: _View) -> _View:
        return self._shared(rate, name, _user_or_address, self._per_address(view))

    def _per_address(self, view: _View) -> _View:
        return self._shared(self._rules.per_address, "address", _address, view)

    def _shared(
        self, rate: str, scope: str, key: Callable[[], str], view: _View, cost: int | Callable[[], int] = 1
    ) -> _View:
        return cast(_View, self._limiter.shared_limit(rate, scope=scope, key_func=key, cost=cost)(view))

    def _answer_exceeded(self, _: RateLimitExceeded) -> Response:
        limit = self._limiter.current_limit
        return answer_gateway_error(_too_many(limit.reset_at if limit else time.time() + 1))


def _storage_bounds(storage_url: str) -> dict[str, Any]:
    if storage_url == "memory://":
        return {}
    return {"socket_connect_timeout": STORAGE_SECONDS, "socket_timeout": STORAGE_SECONDS}


def _too_many(reset_at: float) -> TooManyRequests:
    wait = max(1, math.ceil(reset_at - time.time()))
    return TooManyRequests(f"too many requests: try again in {wait} seconds", retry_after=wait)


def _parts_asked() -> int:
    """How many URLs a request asks for; one that asks for too many is refused for one."""
    body = request.get_json(silent=True)
    numbers = body.get("partNumbers") if isinstance(body, dict) else None
    return min(len(numbers), MAX_URLS) if isinstance(numbers, list) and numbers else 1


def _address() -> str:
    return f"address:{network_of(request.remote_addr)}"


def _user_or_address() -> str:
    caller = peek_caller()
    return f"user:{caller.user}" if caller.user is not None else _address()
