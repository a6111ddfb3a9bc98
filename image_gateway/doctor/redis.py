"""Checks of the storage that counts rate limits: Redis, or the memory of each worker."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from limits.errors import ConfigurationError
from limits.storage import RedisStorage, Storage

from image_gateway.doctor.shown_settings import is_development, shown
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.routes.http.rate_limits import STORAGE_SECONDS, open_storage
from image_gateway.settings import Settings

SUBJECT = "redis"
MEMORY = "memory://"
SLOW_SECONDS = 0.02
_ROUNDS = 9
_KEY, _KEY_SECONDS = "image-gateway-doctor", 1
_NAME = "RATE_LIMIT_STORAGE_URL"
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+(?::[0-9]{1,5})?)(?:/[0-9]*)?", re.ASCII)
_WHY = "While it does not answer, each worker counts by itself: the limits are higher than you set."


def check_redis(settings: Settings, timer: Callable[[], float] = time.perf_counter) -> Iterator[Check]:
    """Check the storage of the rate limits; counts one hit there, which expires after a second.

    Args:
        timer: Returns monotonic seconds, to measure the latency.
    """
    if not settings.rate_limits:
        yield Check(SUBJECT, "counters of rate limits", skipped="RATE_LIMITS=false")
        return
    if settings.rate_limit_storage_url == MEMORY:
        yield _check_memory(settings)
        return
    try:
        storage = open_storage(settings.rate_limit_storage_url, wrap_exceptions=False)
    except (ConfigurationError, ValueError):
        # The message may contain the URL.
        yield Check(SUBJECT, "URL", findings=(_invalid_url(settings),))
        return
    yield from _check_storage(storage, settings, timer)


def _check_memory(settings: Settings) -> Check:
    name = "counters of rate limits"
    if is_development(settings) or settings.web_workers == 1:
        return Check(SUBJECT, name, skipped=f"{_NAME}=memory://")
    finding = Finding(
        "redis-not-used",
        Severity.WARNING,
        f"{_NAME}=memory:// with WEB_WORKERS={settings.web_workers}",
        f"Each worker counts by itself: a client may do up to {settings.web_workers} times what the "
        "RATE_LIMIT_ settings say, and as much again on each other machine.",
        f"set {_NAME}=redis://host:6379, or WEB_WORKERS=1",
    )
    return Check(SUBJECT, name, findings=(finding,))


def _check_storage(storage: Storage, settings: Settings, timer: Callable[[], float]) -> Iterator[Check]:
    place = _place(settings.rate_limit_storage_url)
    client = storage.get_connection() if isinstance(storage, RedisStorage) else None
    drivers: Any = storage.base_exceptions
    errors: tuple[type[Exception], ...] = (OSError, *(drivers if isinstance(drivers, tuple) else (drivers,)))
    try:
        # Also what the gateway does first: connect, log in, load a script, write.
        storage.incr(_KEY, _KEY_SECONDS)
        yield Check(SUBJECT, "count a hit", place)
        if client is not None:
            yield _check_latency(client, timer)
            yield _check_eviction(client)
    except errors as error:
        yield Check(SUBJECT, "count a hit", findings=(_explain(place, error),))


def _check_latency(client: Any, timer: Callable[[], float]) -> Check:
    times = []
    for _ in range(_ROUNDS):
        before = timer()
        client.ping()
        times.append(timer() - before)
    seconds = statistics.median(times)
    detail = f"PING takes {seconds * 1000:.2g} ms"
    if seconds <= SLOW_SECONDS:
        return Check(SUBJECT, "latency", detail)
    finding = Finding(
        "redis-slow",
        Severity.WARNING,
        f"{detail}; more than {SLOW_SECONDS * 1000:.0f} ms",
        f"Each counted request waits for it, and after {STORAGE_SECONDS:g} s each worker counts by itself.",
        "move gateway and Redis into one network",
    )
    return Check(SUBJECT, "latency", detail, (finding,))


def _check_eviction(client: Any) -> Check:
    memory: Mapping[str, Any] = client.info("memory")
    policy, limit = str(memory.get("maxmemory_policy", "unknown")), int(memory.get("maxmemory", 0))
    detail = f"maxmemory {limit}, {policy}" if limit else "no maxmemory"
    if not limit or policy in ("noeviction", "unknown"):
        return Check(SUBJECT, "eviction", detail)
    finding = Finding(
        "redis-evicts",
        Severity.WARNING,
        f"maxmemory-policy is {policy}, with maxmemory {limit}",
        "Redis drops counters when its memory is full: clients get more than the limits.",
        "CONFIG SET maxmemory-policy noeviction, and give the counters a Redis of their own",
    )
    return Check(SUBJECT, "eviction", detail, (finding,))


def _explain(place: str, error: Exception) -> Finding:
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).upper()
    if names & {"AuthenticationError", "AuthenticationWrongNumberOfArgsError"} or "WRONGPASS" in text:
        return Finding(
            "redis-authentication",
            Severity.WARNING,
            f"{place} refuses the user or password",
            _WHY,
            f"correct user and password in {_NAME}",
        )
    if names & {"ResponseError", "NoPermissionError", "ReadOnlyError", "OutOfMemoryError"}:
        return Finding(
            "redis-refuses-writes",
            Severity.WARNING,
            f"{place} does not count a hit ({type(error).__name__})",
            _WHY,
            "name the primary, free memory, and allow the user EVALSHA, SCRIPT, INCRBY and EXPIRE",
        )
    reason = "no answer in time" if names & {"TimeoutError"} else type(error).__name__
    return Finding(
        "redis-unreachable",
        Severity.WARNING,
        f"{place} cannot be reached: {_cause(error) or reason}",
        _WHY,
        f"start Redis, correct {_NAME}, or open the port in its firewall",
    )


def _place(url: str) -> str:
    """Return the host, if what follows the user and password is one: passwords get misplaced."""
    match = _ADDRESS.fullmatch(url.rpartition("@" if "@" in url else "://")[2])
    return f"the storage at {match[1]}" if match else f"the storage of {_NAME}"


def _cause(error: Exception) -> str | None:
    """Return the operating system's reason, such as `Connection refused`."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return None


def _invalid_url(settings: Settings) -> Finding:
    return Finding(
        "redis-url-invalid",
        Severity.BROKEN,
        f"{shown(settings, _NAME)} is not a URL of a storage, or its driver is not installed",
        "The gateway does not start.",
        f"run pip install 'image-gateway[redis]', and set {_NAME}=redis://host:6379",
    )
