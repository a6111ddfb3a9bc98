"""A request's numbers, recorded when its body has ended; cheap, as every request pays for it."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import Counter, Histogram

from image_gateway.metrics.instruments import BYTES_SENT, FIRST_BYTE_SECONDS, REQUEST_SECONDS, REQUESTS

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
