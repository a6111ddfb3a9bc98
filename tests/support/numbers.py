"""Metrics in tests: what was added to this process's since a moment, and a page of Prometheus's text."""

from __future__ import annotations

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Numbers:
    """The instruments' values are the process's, so tests look at differences."""

    def __init__(self) -> None:
        self._before = self._now()

    def added(self, name: str, **labels: str) -> float:
        key = (f"image_gateway_{name}", frozenset(labels.items()))
        return self._now().get(key, 0.0) - self._before.get(key, 0.0)

    def new(self, name: str) -> set[frozenset[tuple[str, str]]]:
        """The label sets of a metric's series that have appeared."""
        return {
            labels for full, labels in self._now().keys() - self._before if full == f"image_gateway_{name}"
        }

    @staticmethod
    def _now() -> Samples:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }


def parse_page(text: str) -> Samples:
    """The samples of a page."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels, by its name without the prefix."""
    wanted = set(labels.items())
    return sum(
        value
        for (full, found), value in samples.items()
        if full == f"image_gateway_{name}" and wanted <= found
    )
