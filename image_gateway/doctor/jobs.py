"""Checks of what `image-gateway worker` needs on its machine."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.conversion.qemu import find_programs
from image_gateway.domain.findings import Check
from image_gateway.errors import ConverterUnavailable
from image_gateway.settings import Settings

SUBJECT = "jobs"


def check_jobs(settings: Settings) -> Iterator[Check]:
    """Tell whether this machine could run conversions; only machines with a worker need to."""
    try:
        found = find_programs()
    except ConverterUnavailable as error:
        reason = f"{error.message}, if a worker runs here"
        yield Check(SUBJECT, "programs for conversions", skipped=reason)
        return
    yield Check(
        SUBJECT,
        "programs for conversions",
        f"{', '.join(found)}; WORKER_CONCURRENCY={settings.worker_concurrency}",
    )
