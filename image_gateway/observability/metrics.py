"""Prometheus metrics, and the functions by which other layers record them."""

from __future__ import annotations

import collections
import platform
import threading
from collections.abc import Iterable, Mapping
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

# No `_created` series: they are not used and not supported in multiprocess mode.
disable_created_metrics()  # type: ignore[no-untyped-call]

# A request lasts until the end of its body, so the upper buckets cover whole images.
_REQUEST_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600)
_FIRST_BYTE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter(
    "image_gateway_requests",
    "Finished requests, including aborted ones.",
    ["route", "method", "status"],
)
REQUEST_SECONDS = Histogram(
    "image_gateway_request_seconds",
    "Time from receiving a request to the end of the response body.",
    ["route", "method", "class"],
    buckets=_REQUEST_BUCKETS,
)
FIRST_BYTE_SECONDS = Histogram(
    "image_gateway_first_byte_seconds",
    "Time from receiving a request to the first byte of the response body.",
    ["route"],
    buckets=_FIRST_BYTE_BUCKETS,
)
BYTES_SENT = Counter("image_gateway_sent_bytes", "Bytes of response bodies sent to clients.", ["route"])

STORE_CALLS = Counter(
    "image_gateway_store_calls", "Requests to the store that open a body, including resumes."
)
BODY_RESUMES = Counter("image_gateway_body_resumes", "Bodies resumed after an error of the store.")
BODY_GIVE_UPS = Counter("image_gateway_body_give_ups", "Bodies aborted because resuming failed.")
STALLS = Counter("image_gateway_stalls", "Stalled clients that were disconnected.")
ACTIVE_STREAMS = Gauge("image_gateway_active_streams", "Bodies being streamed.", multiprocess_mode="livesum")
STREAMS_REFUSED = Counter("image_gateway_streams_refused", "Reads answered 503 because of the stream limits.")
POOL_CONNECTIONS = Gauge(
    "image_gateway_pool_connections", "Connections to the store in use.", multiprocess_mode="livesum"
)
CACHE_HITS = Counter("image_gateway_cache_hits", "Blocks served from the block cache.")
CACHE_MISSES = Counter("image_gateway_cache_misses", "Blocks that the block cache did not have.")
CACHE_FILLS = Counter("image_gateway_cache_fills", "Blocks read from the store into the block cache.")
READ_AHEAD_FILLS = Counter(
    "image_gateway_read_ahead_fills", "Blocks read into the block cache ahead of a reader."
)
READ_AHEAD_USES = Counter(
    "image_gateway_read_ahead_uses", "Blocks read ahead that the same worker's readers then read."
)
READ_AHEAD_DROPS = Counter(
    "image_gateway_read_ahead_drops", "Blocks not read ahead: the queue was full, or too late, or an error."
)
ZERO_READS = Counter("image_gateway_zero_reads", "Bodies of zeros that were not read from the store.")
ZERO_BYTES = Counter("image_gateway_zero_bytes", "Bytes of these bodies handed to clients.")
DELTA_COMMITS = Counter("image_gateway_delta_commits", "Commits to deltas by their result.", ["result"])
DELTA_BYTES = Counter("image_gateway_delta_bytes", "Bytes of the segments that commits stored.")
DELTA_CHECKPOINTS = Counter("image_gateway_delta_checkpoints", "Checkpoints of deltas that were written.")
SIGNATURES_MADE = Counter("image_gateway_signatures_made", "CloudFront signatures made.")
SIGNATURES_REUSED = Counter("image_gateway_signatures_reused", "CloudFront signatures reused.")
CACHE_EVICTIONS = Counter("image_gateway_cache_evictions", "Blocks evicted from the block cache.")
CACHE_BYTES = Gauge(
    "image_gateway_cache_bytes", "Bytes of blocks in the block cache.", multiprocess_mode="mostrecent"
)


UNMATCHED = "unmatched"
OTHER = "OTHER"
# Clients choose methods and paths, so only known ones become labels: the number of series must be bounded.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Series(NamedTuple):
    """The child metrics for one combination of labels."""

    requests: Counter
    seconds: Histogram
    first_byte: Histogram
    sent: Counter


_series: dict[tuple[str, str, int], _Series] = {}


def record_request(
    route: str | None, method: str, status: int, *, seconds: float, first_byte: float | None, sent: int
) -> None:
    """Record a finished request; `route` is the rule's template, or None if no rule matched."""
    series = _series.get((route or UNMATCHED, method, status)) or _create_series(
        route or UNMATCHED, method, status
    )
    series.requests.inc()
    series.seconds.observe(seconds)
    if sent:
        series.sent.inc(sent)
    if first_byte is not None:
        series.first_byte.observe(first_byte)


def _create_series(route: str, method: str, status: int) -> _Series:
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


# The result is cached this long, however many clients scrape.
# How long a scrape waits for another one whose query hangs.


def write_sweep(file: Path, results: Mapping[str, int], *, finished_at: float, seconds: float) -> None:
    """Atomically replace the file with the results of a sweep, by the field names of its report."""
    registry = CollectorRegistry()
    found = Gauge(
        "image_gateway_sweep_results", "What the last sweep found and did.", ["kind"], registry=registry
    )
    for kind, number in results.items():
        found.labels(kind).set(number)
    Gauge(
        "image_gateway_sweep_finished_timestamp_seconds",
        "When the last sweep finished.",
        registry=registry,
    ).set(finished_at)
    Gauge("image_gateway_sweep_seconds", "Duration of the last sweep.", registry=registry).set(seconds)
    write_to_textfile(str(file), registry)


# Values of nginx's $upstream_cache_status; `-` if the gateway answered.
_CACHE_STATUSES = frozenset({"HIT", "MISS", "BYPASS", "EXPIRED", "STALE", "UPDATING", "REVALIDATED"})


class EdgeReads(Collector):
    """Counts reads and bytes by nginx's cache status for the first slice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: collections.Counter[tuple[str, str]] = collections.Counter()
        self._bytes: collections.Counter[str] = collections.Counter()

    def count(self, status: int, cache: str, sent: int) -> None:
        """Count one finished read that sent `sent` bytes."""
        kind = cache.lower() if cache in _CACHE_STATUSES else "none"
        with self._lock:
            self._reads[kind, f"{status // 100}xx"] += 1
            self._bytes[kind] += sent

    def collect(self) -> Iterable[Metric]:
        reads = CounterMetricFamily(
            "image_gateway_edge_reads", "Reads that nginx answered.", labels=["cache", "class"]
        )
        sent = CounterMetricFamily(
            "image_gateway_edge_sent_bytes", "Bytes that nginx sent for these reads.", labels=["cache"]
        )
        with self._lock:
            for (kind, status), number in self._reads.items():
                reads.add_metric([kind, status], number)
            for kind, number in self._bytes.items():
                sent.add_metric([kind], number)
        return [reads, sent]


class BuildInfo(Collector):
    """A gauge with the constant value 1 and the versions as labels."""

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
