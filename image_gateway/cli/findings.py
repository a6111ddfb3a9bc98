"""Prints checks and their findings, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

import click

from image_gateway.cli.remote import one_line
from image_gateway.domain.findings import Check, Finding, Severity

_MARKS = {Severity.BROKEN: "FAIL", Severity.WARNING: "warn"}


def print_checks(checks: Iterable[Check]) -> list[Check]:
    """Print each check as it comes, with its findings, and return all checks."""
    printed = []
    for check in checks:
        for line in _check_lines(check):
            click.echo(one_line(line))
        printed.append(check)
    return printed


def summarise(checks: Sequence[Check]) -> str:
    """Return one line that counts what is wrong."""
    findings = [finding for check in checks for finding in check.findings]
    broken = sum(finding.severity is Severity.BROKEN for finding in findings)
    skipped = sum(check.skipped is not None for check in checks)
    tried = count_of(len(checks) - skipped, "check") + (f", {skipped} skipped" if skipped else "")
    if not findings:
        return f"nothing is wrong ({tried})"
    return f"{broken} broken, {count_of(len(findings) - broken, 'warning')} ({tried})"


def count_of(number: int, noun: str) -> str:
    """Return the number with its noun, such as `1 check` and `2 checks`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def checks_document(checks: Sequence[Check]) -> dict[str, object]:
    """Return the checks as an object for --json; `findings` lists all findings once more, worst first."""
    findings = [finding for check in checks for finding in check.findings]
    return {
        "ok": not findings,
        "findings": [asdict(finding) for finding in sorted(findings, key=_badness)],
        "checks": [
            {
                "subject": check.subject,
                "name": check.name,
                "detail": check.detail,
                "skipped": check.skipped,
                "findings": [finding.code for finding in check.findings],
            }
            for check in checks
        ],
    }


def _badness(finding: Finding) -> int:
    return list(Severity).index(finding.severity)


def _check_lines(check: Check) -> Iterator[str]:
    title = f"{check.subject}: {check.name}"
    if check.skipped is not None:
        yield f"--   {title} (skipped: {check.skipped})"
    elif not check.findings:
        yield f"ok   {title}" + (f" ({check.detail})" if check.detail else "")
    for finding in check.findings:
        yield f"{_MARKS[finding.severity]} {title}: {finding.what}  [{finding.code}]"
        yield f"     why: {finding.why}"
        if finding.breaks:
            yield f"     breaks: {', '.join(finding.breaks)}"
        yield f"     do:  {finding.remedy}"
