"""Short ways to say which findings checks have."""

from __future__ import annotations

from collections.abc import Iterable

from image_gateway.domain.findings import Check, Finding


def stopped_timer() -> float:
    """A timer for which nothing takes any time, on a busy machine either."""
    return 0.0


def findings_of(checks: Iterable[Check]) -> list[Finding]:
    return [finding for check in checks for finding in check.findings]


def codes_of(checks: Iterable[Check]) -> list[str]:
    """The codes of all findings, each with its severity: `broken store-clock-skew`."""
    return [f"{finding.severity} {finding.code}" for finding in findings_of(checks)]


def only_finding(checks: Iterable[Check]) -> Finding:
    (finding,) = findings_of(checks)
    return finding


def skipped_of(checks: Iterable[Check]) -> dict[str, str]:
    """Why checks were left out, by their names."""
    return {check.name: check.skipped for check in checks if check.skipped is not None}
