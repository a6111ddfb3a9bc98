"""Metrics that are asked of the catalog: open uploads and background jobs of all instances."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from image_gateway.errors import GatewayError

CACHE_SECONDS = 15.0
LOCK_TIMEOUT_SECONDS = 5.0
# Kind, state, number and total seconds of jobs.
JobNumbers = Sequence[tuple[str, str, int, float]]


class _Answer(NamedTuple):
    uploads: int
    upload_bytes: int
    jobs: JobNumbers


class CatalogNumbers(Collector):
    """Queries the catalog at most every 15 seconds. If it fails, only `catalog_up` is exported."""

    def __init__(
        self,
        count_uploads: Callable[[], tuple[int, int]],
        count_jobs: Callable[[], JobNumbers] = lambda: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count_uploads = count_uploads
        self._count_jobs = count_jobs
        self._clock = clock
        self._lock = threading.Lock()
        self._queried_at: float | None = None
        self._result: _Answer | None = None

    def collect(self) -> Iterable[Metric]:
        answer = self._current()
        yield GaugeMetricFamily(
            "image_gateway_catalog_up", "Whether the catalog answered.", float(answer is not None)
        )
        if answer is None:
            return
        yield GaugeMetricFamily("image_gateway_open_uploads", "Uploads in progress.", answer.uploads)
        yield GaugeMetricFamily(
            "image_gateway_open_upload_bytes", "Declared bytes of uploads in progress.", answer.upload_bytes
        )
        jobs = GaugeMetricFamily("image_gateway_jobs", "Background jobs.", labels=["kind", "state"])
        seconds = GaugeMetricFamily(
            "image_gateway_job_seconds", "Total duration of ended jobs.", labels=["kind", "state"]
        )
        for kind, state, number, duration in answer.jobs:
            jobs.add_metric([kind, state], number)
            seconds.add_metric([kind, state], duration)
        yield from (jobs, seconds)

    def _current(self) -> _Answer | None:
        if self._lock.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            try:
                self._refresh_if_expired()
            finally:
                self._lock.release()
        return self._result

    def _refresh_if_expired(self) -> None:
        now = self._clock()
        if self._queried_at is not None and now - self._queried_at < CACHE_SECONDS:
            return
        self._queried_at = now
        try:
            self._result = _Answer(*self._count_uploads(), self._count_jobs())
        except GatewayError:
            self._result = None
