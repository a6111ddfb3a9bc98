"""What a check found: checks with findings, facts, and a verdict for each client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.url_check.clients import CLIENTS, Client, Effect, UrlKind, severity_of
from image_gateway.url_check.codes import CODES, Fault, Tried

# Right by the standards, and fatal for one client: a finding only if this is the client that counts.
_FOR_ONE_ONLY = frozenset({"content-encoding-identity"})


class Verdict(StrEnum):
    """What a client makes of the URL."""

    WORKS = "works"
    SLOW = "works slowly"
    OWN_ORIGIN = "works on pages of the same origin only"
    BREAKS = "breaks"
    NOT_FOR_IT = "reads no such URL"


@dataclass(frozen=True)
class ClientVerdict:
    """The verdict for one client, and why."""

    client: str
    verdict: Verdict
    because: str = ""


@dataclass(frozen=True)
class UrlReport:
    """All that was found out about a URL; nothing in it is secret."""

    kind: UrlKind
    checks: tuple[Check, ...]
    verdicts: tuple[ClientVerdict, ...]
    facts: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    bytes_read: int = 0


def make_report(
    kind: UrlKind,
    tried: Sequence[Tried],
    *,
    client: str | None,
    page_counts: bool,
    facts: dict[str, str],
    requests: int,
    bytes_read: int,
    hide: Callable[[str], str],
) -> UrlReport:
    """Return the report for one client, or for all clients that read such URLs.

    Args:
        hide: Removes secrets from a text: the server may have echoed them.
        page_counts: Faults of CORS are findings; without it, they only limit the verdicts.
    """
    readers = [each for each in CLIENTS.values() if kind in each.reads]
    if client is not None:
        readers = [CLIENTS[client]]
    tried = [_without_secrets(item, hide) for item in tried]
    facts = {name: hide(text) for name, text in facts.items()}
    checks = _make_checks(tried, readers, only=client is not None, page_counts=page_counts)
    names = [client] if client is not None else list(CLIENTS)
    verdicts = tuple(_judge(CLIENTS[name], kind, tried, page_counts=page_counts) for name in names)
    return UrlReport(kind, tuple(checks), verdicts, facts, requests, bytes_read)


def _without_secrets(item: Tried, hide: Callable[[str], str]) -> Tried:
    faults = tuple(replace(fault, what=hide(fault.what)) for fault in item.faults)
    return replace(item, name=hide(item.name), detail=hide(item.detail), faults=faults)


def is_of_page(item: Tried, fault: Fault) -> bool:
    """Return whether a fault matters to pages of another origin only."""
    return item.subject == "CORS" or fault.code == "corp-missing"


def _make_checks(
    tried: Iterable[Tried], readers: Sequence[Client], *, only: bool, page_counts: bool
) -> Iterable[Check]:
    """Yield the checks; one whose faults are all left out is shown as skipped, with them as the reason."""
    told: set[tuple[str, Severity]] = set()
    for item in tried:
        findings, notes = [], []
        for fault in item.faults:
            finding = _finding_of(fault, readers, only=only)
            if finding is None:
                notes.append(_why_left_out(fault, readers, only=only))
            elif is_of_page(item, fault) and not page_counts:
                notes.append(f"{fault.code} concerns pages of other origins, see --origin")
            elif (fault.code, finding.severity) in told:
                notes.append(f"{fault.code} as above")
            else:
                told.add((fault.code, finding.severity))
                findings.append(finding)
        skipped = item.skipped if findings or not notes else "; ".join(dict.fromkeys(notes))
        yield Check(item.subject, item.name, item.detail, tuple(findings), skipped)


def _why_left_out(fault: Fault, readers: Sequence[Client], *, only: bool) -> str:
    if only:
        return f"{fault.code} does not concern {readers[0].name}"
    broken = [client.name for client in readers if client.effect(fault) is Effect.BREAKS]
    return f"{fault.code} is right by the standards and breaks {', '.join(broken) or 'nobody'}"


def _finding_of(fault: Fault, readers: Sequence[Client], *, only: bool) -> Finding | None:
    """Return the finding, or None if it concerns nobody that counts."""
    effects = {client.name: client.effect(fault) for client in readers}
    if (only and not any(effects.values())) or (not only and fault.code in _FOR_ONE_ONLY):
        return None
    breaks = tuple(name for name, effect in effects.items() if effect is Effect.BREAKS)
    severity = severity_of(fault, readers)
    if only and not breaks:
        severity = Severity.WARNING
    code = CODES[fault.code]
    return Finding(fault.code, severity, fault.what, code.why, code.remedy, breaks)


def _judge(client: Client, kind: UrlKind, tried: Sequence[Tried], *, page_counts: bool) -> ClientVerdict:
    if kind not in client.reads:
        return ClientVerdict(client.name, Verdict.NOT_FOR_IT, f"it needs {client.wants}")
    reasons: dict[Verdict, dict[str, str]] = {Verdict.BREAKS: {}, Verdict.OWN_ORIGIN: {}, Verdict.SLOW: {}}
    for item in tried:
        for fault in item.faults:
            of_page = is_of_page(item, fault)
            effect = client.effect(fault)
            if of_page and not client.in_browser:
                continue
            if effect is Effect.BREAKS:
                verdict = Verdict.OWN_ORIGIN if of_page and not page_counts else Verdict.BREAKS
                reasons[verdict][fault.code] = client.breaks[fault.code]
            elif effect is Effect.SLOWS:
                reasons[Verdict.SLOW][fault.code] = client.slows[fault.code]
    for verdict, found in reasons.items():
        if found:
            because = "; ".join(f"{reason} [{code}]" for code, reason in found.items())
            return ClientVerdict(client.name, verdict, because)
    is_unfinished = any(item.is_unfinished for item in tried)
    return ClientVerdict(client.name, Verdict.WORKS, "as far as it was tried" if is_unfinished else "")
