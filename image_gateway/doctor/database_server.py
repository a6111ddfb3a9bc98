"""Checks of a PostgreSQL server: version, standby, connections, clock and statement timeout."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.catalog.inspection import PostgresFacts
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.settings import Settings

SUBJECT = "database"
# As docs/how-to/postgresql.md says.
LEAST_VERSION = 14
CLOCK_SECONDS = 5
# For `image-gateway db upgrade`, the sweeper and an administrator.
SPARE_CONNECTIONS = 3


def check_postgres(facts: PostgresFacts, settings: Settings) -> Iterator[Check]:
    """Check what a PostgreSQL server says of itself."""
    version = f"PostgreSQL {facts.version // 10_000}.{facts.version % 10_000}"
    yield Check(SUBJECT, "version", version, _find_old(facts, version))
    yield Check(SUBJECT, "accepts writes", findings=_find_read_only(facts))
    needed = connections_needed(settings)
    detail = f"{needed} needed, {facts.connections_in_use} of {facts.connection_limit} in use"
    yield Check(SUBJECT, "connections", detail, _find_few_connections(facts, settings, needed))
    detail = f"{facts.clock_ahead_seconds:+.1f} s"
    yield Check(SUBJECT, "clock", detail, _find_skew(facts))
    detail = f"{facts.statement_timeout_ms / 1000:g} s" if facts.statement_timeout_ms else "none"
    yield Check(SUBJECT, "statement timeout", detail, _find_no_timeout(facts, settings))


def connections_needed(settings: Settings) -> int:
    """Return how many connections one gateway and one worker may open at a time."""
    # The driver is there: a server has answered.
    from image_gateway.catalog.postgres import most_connections

    of_gateway = settings.web_workers * most_connections(settings.web_threads)
    of_worker = most_connections(settings.worker_concurrency)
    of_metrics = 1 if settings.metrics_port is not None else 0
    return of_gateway + of_worker + of_metrics + SPARE_CONNECTIONS


def _find_old(facts: PostgresFacts, version: str) -> tuple[Finding, ...]:
    if facts.version >= LEAST_VERSION * 10_000:
        return ()
    return (
        Finding(
            "database-version",
            Severity.WARNING,
            f"{version} is older than {LEAST_VERSION}",
            "The catalog is not tested with it, and it gets no security updates.",
            f"upgrade the server to PostgreSQL {LEAST_VERSION} or newer",
        ),
    )


def _find_read_only(facts: PostgresFacts) -> tuple[Finding, ...]:
    if not facts.standby and not facts.read_only:
        return ()
    kind = "a standby" if facts.standby else "read-only (default_transaction_read_only)"
    return (
        Finding(
            "database-read-only",
            Severity.BROKEN,
            f"the server is {kind}",
            "Uploads, leases and sign-ins are rows: all of them fail.",
            "set DATABASE_URL to the primary, or add ?target_session_attrs=read-write with all hosts",
        ),
    )


def _find_few_connections(facts: PostgresFacts, settings: Settings, needed: int) -> tuple[Finding, ...]:
    free = facts.connection_limit - facts.connections_in_use
    if needed <= free:
        return ()
    parts = f"{needed} with WEB_WORKERS={settings.web_workers} and one worker for background jobs"
    if needed > facts.connection_limit:
        what = f"one gateway may open {parts}; the server allows {facts.connection_limit}"
        severity = Severity.BROKEN
    else:
        what = (
            f"one gateway may open {parts}; {free} of {facts.connection_limit} are free now "
            "(of the others some may be its own)"
        )
        severity = Severity.WARNING
    why = "Requests that get no connection within five seconds are answered 503 CATALOG_UNAVAILABLE."
    remedy = "raise max_connections or the limit of role or database, lower WEB_WORKERS, or use PgBouncer"
    return (Finding("database-few-connections", severity, what, why, remedy),)


def _find_skew(facts: PostgresFacts) -> tuple[Finding, ...]:
    if abs(facts.clock_ahead_seconds) <= CLOCK_SECONDS + facts.clock_error_seconds:
        return ()
    side = "ahead of" if facts.clock_ahead_seconds > 0 else "behind"
    return (
        Finding(
            "database-clock-skew",
            Severity.WARNING,
            f"the server's clock is {abs(facts.clock_ahead_seconds):.0f} s {side} this machine's",
            "Leases, sessions and jobs of all machines end by their own clocks: a wrong one ends them "
            "early or late.",
            "run an NTP client on both machines, such as chrony",
        ),
    )


def _find_no_timeout(facts: PostgresFacts, settings: Settings) -> tuple[Finding, ...]:
    wanted = settings.catalog_timeout_seconds
    if 0 < facts.statement_timeout_ms <= wanted * 1000:
        return ()
    has = f"{facts.statement_timeout_ms / 1000:g} s" if facts.statement_timeout_ms else "none"
    return (
        Finding(
            "database-statement-timeout",
            Severity.WARNING,
            f"the server's statement timeout is {has}, not CATALOG_TIMEOUT_SECONDS={wanted}",
            "The gateway gives up after that time, and the server goes on with the statement.",
            f"ALTER ROLE … SET statement_timeout = '{wanted}s'; PgBouncer and options in DATABASE_URL "
            "override what the gateway asks for",
        ),
    )
