"""What the catalog knows of open uploads, asked when somebody scrapes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from image_gateway.errors import GatewayError

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
