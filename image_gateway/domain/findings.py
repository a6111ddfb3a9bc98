"""Findings about a set-up or a URL: what was tried, what is wrong, why it matters and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    BROKEN = "broken"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: Stable name for scripts, such as `store-clock-skew`; documented in docs/reference/findings.md.
        what: What was seen, with the wrong value; no secrets.
        why: Why it matters: the RFC section, or what fails.
        remedy: The command or setting that mends it.
        breaks: Reader clients that fail because of it.
    """

    code: str
    severity: Severity
    what: str
    why: str
    remedy: str
    breaks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes:
        subject: What it is about, such as `store`.
        name: What was tried, such as `a range of an object`.
        detail: What was seen, for people.
        findings: What is wrong; empty if nothing is.
        skipped: Why it was not tried, or None.
    """

    subject: str
    name: str
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    skipped: str | None = None


def exit_status(checks: Iterable[Check], *, strict: bool) -> int:
    """Return 0 if nothing is wrong, 1 if something is broken, 2 if there are warnings and `strict`."""
    severities = {finding.severity for check in checks for finding in check.findings}
    if Severity.BROKEN in severities:
        return 1
    return 2 if strict and Severity.WARNING in severities else 0
