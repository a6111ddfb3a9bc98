"""The sweeper's last results as a file for node_exporter's textfile collector: the sweeper has no port."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile


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
