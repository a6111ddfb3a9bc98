"""What nginx in front reports of the reads that it answered."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

# nginx's own words for what its cache did ($upstream_cache_status); `-` where the gateway answered.
_CACHE = frozenset({"HIT", "MISS", "BYPASS", "EXPIRED", "STALE", "UPDATING", "REVALIDATED"})


class EdgeReads(Collector):
    """Counts reads by what nginx's cache had of their first slice, and their bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[str] = Counter()

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
