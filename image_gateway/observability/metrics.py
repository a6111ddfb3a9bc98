"""Instruments of Prometheus, and the functions that the other layers call to count."""

from __future__ import annotations

import collections
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    write_to_textfile,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from image_gateway.errors import GatewayError

# A series beside each counter that says when it was made: nobody asks, and processes that share have none.
disable_created_metrics()  # type: ignore[no-untyped-call]

# A request lasts as long as its body, so the upper ones are those of whole images.
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600)
_FIRST_BYTE = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter(
    "image_gateway_requests",
    "Requests whose answer has ended, on whichever way.",
    ["route", "method", "status"],
)
REQUEST_SECONDS = Histogram(
    "image_gateway_request_seconds",
    "Time from a request's arrival to the end of its body.",
    ["route", "method", "class"],
    buckets=_SECONDS,
)
FIRST_BYTE_SECONDS = Histogram(
    "image_gateway_first_byte_seconds",
    "Time from a request's arrival to the first byte of its body.",
    ["route"],
    buckets=_FIRST_BYTE,
)
BYTES_SENT = Counter("image_gateway_sent_bytes", "Bytes of bodies handed to clients.", ["route"])

STORE_CALLS = Counter("image_gateway_store_calls", "Calls to the store to open a body, resumes included.")
BODY_RESUMES = Counter("image_gateway_body_resumes", "Bodies gone on with after the store broke off.")
BODY_GIVE_UPS = Counter("image_gateway_body_give_ups", "Bodies whose client's connection was broken.")
STALLS = Counter("image_gateway_stalls", "Clients that were let go because they took or sent nothing.")
ACTIVE_STREAMS = Gauge("image_gateway_active_streams", "Bodies being streamed.", multiprocess_mode="livesum")
STREAMS_REFUSED = Counter("image_gateway_streams_refused", "Reads answered 503 as too many were streamed.")
POOL_CONNECTIONS = Gauge(
    "image_gateway_pool_connections", "Connections to the store in use.", multiprocess_mode="livesum"
)
CACHE_HITS = Counter("image_gateway_cache_hits", "Blocks served from the block cache.")
CACHE_MISSES = Counter("image_gateway_cache_misses", "Blocks that the block cache did not have.")
CACHE_FILLS = Counter("image_gateway_cache_fills", "Blocks read from the store into the block cache.")
SIGNATURES_MADE = Counter("image_gateway_signatures_made", "CloudFront signatures made.")
SIGNATURES_REUSED = Counter("image_gateway_signatures_reused", "CloudFront signatures handed out again.")
CACHE_EVICTIONS = Counter("image_gateway_cache_evictions", "Blocks that the block cache let go to make room.")
CACHE_BYTES = Gauge(
    "image_gateway_cache_bytes", "Bytes of blocks in the block cache.", multiprocess_mode="mostrecent"
)


UNMATCHED = "unmatched"
OTHER = "OTHER"
# Clients choose methods and paths: what is not in a list of ours would make series without end.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Series(NamedTuple):
    """Where the numbers of one kind of request go."""

    requests: Counter
    seconds: Histogram
    first_byte: Histogram
    sent: Counter


_series: dict[tuple[str, str, int], _Series] = {}


def record_request(
    route: str | None, method: str, status: int, *, seconds: float, first_byte: float | None, sent: int
) -> None:
    """Count a request that is over; `route` is its rule's template, None when it met none."""
    series = _series.get((route or UNMATCHED, method, status)) or _resolve(route or UNMATCHED, method, status)
    series.requests.inc()
    series.seconds.observe(seconds)
    if sent:
        series.sent.inc(sent)
    if first_byte is not None:
        series.first_byte.observe(first_byte)


def _resolve(route: str, method: str, status: int) -> _Series:
    known = method if method in METHODS else OTHER
    key = (route, known, status)
    if key not in _series:
        _series[key] = _Series(
            REQUESTS.labels(route, known, str(status)),
            REQUEST_SECONDS.labels(route, known, f"{status // 100}xx"),
            FIRST_BYTE_SECONDS.labels(route),
            BYTES_SENT.labels(route),
        )
    return _series[key]


# However many scrape.
KEPT_SECONDS = 15
# A scrape does not wait behind one whose question hangs.
PATIENCE_SECONDS = 5


class OpenUploads(Collector):
    """Asks at most every 15 seconds; while the catalog does not answer only that is told."""

    def __init__(
        self, count: Callable[[], tuple[int, int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._answer: tuple[int, int] | None = None

    def collect(self) -> Iterable[Metric]:
        answer = self._current()
        yield GaugeMetricFamily(
            "image_gateway_catalog_up", "Whether the catalog answered.", float(answer is not None)
        )
        if answer is not None:
            uploads, size = answer
            yield GaugeMetricFamily("image_gateway_open_uploads", "Uploads that have not ended.", uploads)
            yield GaugeMetricFamily("image_gateway_open_upload_bytes", "Bytes that they announced.", size)

    def _current(self) -> tuple[int, int] | None:
        if self._lock.acquire(timeout=PATIENCE_SECONDS):
            try:
                self._ask_when_old()
            finally:
                self._lock.release()
        return self._answer

    def _ask_when_old(self) -> None:
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < KEPT_SECONDS:
            return
        self._asked_at = now
        try:
            self._answer = self._count()
        except GatewayError:
            self._answer = None


def write_sweep(file: Path, results: Mapping[str, int], *, finished_at: float, seconds: float) -> None:
    """Replace the file at once with what a sweep found, by the names of its report."""
    registry = CollectorRegistry()
    found = Gauge(
        "image_gateway_sweep_results", "What the last sweep found and did.", ["kind"], registry=registry
    )
    for kind, number in results.items():
        found.labels(kind).set(number)
    Gauge(
        "image_gateway_sweep_finished_timestamp_seconds",
        "When the last sweep came to its end.",
        registry=registry,
    ).set(finished_at)
    Gauge("image_gateway_sweep_seconds", "How long the last sweep took.", registry=registry).set(seconds)
    write_to_textfile(str(file), registry)


# nginx's own words for what its cache did ($upstream_cache_status); `-` where the gateway answered.
_CACHE = frozenset({"HIT", "MISS", "BYPASS", "EXPIRED", "STALE", "UPDATING", "REVALIDATED"})


class EdgeReads(Collector):
    """Counts reads by what nginx's cache had of their first slice, and their bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: collections.Counter[tuple[str, str]] = collections.Counter()
        self._bytes: collections.Counter[str] = collections.Counter()

    def count(self, status: int, cache: str, sent: int) -> None:
        """Count one read that ended with so many bytes sent."""
        kind = cache.lower() if cache in _CACHE else "none"
        with self._lock:
            self._reads[kind, f"{status // 100}xx"] += 1
            self._bytes[kind] += sent

    def collect(self) -> Iterable[Metric]:
        reads = CounterMetricFamily(
            "image_gateway_edge_reads", "Reads of bytes that nginx answered.", labels=["cache", "class"]
        )
        sent = CounterMetricFamily(
            "image_gateway_edge_sent_bytes", "Bytes that nginx sent for them.", labels=["cache"]
        )
        with self._lock:
            for (kind, status), number in self._reads.items():
                reads.add_metric([kind, status], number)
            for kind, number in self._bytes.items():
                sent.add_metric([kind], number)
        return [reads, sent]


class BuildInfo(Collector):
    """A gauge that is always 1, with the versions as labels."""

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "image_gateway_build_info", "Versions of gateway and Python.", labels=["version", "python"]
        )
        family.add_metric([_version(), platform.python_version()], 1)
        return [family]


def _version() -> str:
    try:
        return version("image-gateway")
    except PackageNotFoundError:
        return "unknown"
