"""What /metrics answers: the instruments, of all workers where they share, and what is asked at a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

import image_gateway.metrics.instruments  # noqa: F401  # they register themselves
from image_gateway.metrics.build import BuildInfo
from image_gateway.metrics.folder import shared_folder
from image_gateway.metrics.shared import SharedNumbers
from image_gateway.metrics.uploads import OpenUploads

PREFIX = "image_gateway_"


class Page(NamedTuple):
    """A text in Prometheus's format, and its content type."""

    text: bytes
    content_type: str


class Exposition:
    """Renders all metrics; `count_uploads` asks the catalog for open uploads and their bytes.

    Read from `folder` where workers share their numbers, from this process's memory otherwise; `more` are
    what this process alone knows.
    """

    def __init__(
        self,
        count_uploads: Callable[[], tuple[int, int]],
        folder: Path | None = None,
        more: Iterable[Collector] = (),
    ) -> None:
        folder = folder or shared_folder()
        self._registry = CollectorRegistry()
        self._registry.register(SharedNumbers(folder) if folder else OwnNumbers())
        self._registry.register(OpenUploads(count_uploads))
        self._registry.register(BuildInfo())
        for collector in more:
            self._registry.register(collector)

    def render(self) -> Page:
        """The page as it is now."""
        return Page(generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)


class OwnNumbers(Collector):
    """The gateway's instruments in this process, without what the library adds about Python."""

    def collect(self) -> Iterable[Metric]:
        return [metric for metric in REGISTRY.collect() if metric.name.startswith(PREFIX)]
