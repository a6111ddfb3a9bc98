"""Which program it is."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


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
