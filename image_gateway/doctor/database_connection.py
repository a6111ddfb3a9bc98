"""Tells why connecting to the database failed."""

from __future__ import annotations

import re

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from image_gateway.doctor.shown_settings import shown
from image_gateway.domain.findings import Finding, Severity
from image_gateway.observability.masking import MASKED, mask
from image_gateway.settings import Settings

_WHY = "Each request of the API asks the database; without it clients get 503 CATALOG_UNAVAILABLE."
_LOCATION = "set DATABASE_URL to the server's address, start the server, or open the port in its firewall"
_FILE = "set DATABASE_URL to the catalog's file, or restore that file from a backup"
# libpq gives no SQLSTATE for a connection that fails: only the text tells.
_CAUSES = [
    ("database-refused", r"connection refused", "refuses connections", _LOCATION),
    (
        "database-host-unknown",
        r"failed to resolve host|could not translate host name|name or service not known",
        "has a host name that cannot be resolved",
        "correct the host name in DATABASE_URL, or the DNS server of this machine",
    ),
    (
        "database-pgbouncer",
        r"startup parameter",
        "does not take the start-up parameter `options`",
        "set ignore_startup_parameters = options in pgbouncer.ini, or use a pooler that passes it on",
    ),
    ("database-timeout", r"timeout|timed out|no answer within", "does not answer in time", _LOCATION),
    (
        "database-name-unknown",
        r'database "[^"]*" does not exist|unknown database',
        "has no database of this name",
        "create the database, or correct its name in DATABASE_URL",
    ),
    (
        "database-connections-used-up",
        r"too many clients|too many connections|remaining connection slots",
        "has no connection left",
        "raise max_connections or the limit of the role, or lower WEB_WORKERS",
    ),
    (
        "database-authentication",
        r'authentication failed|no password supplied|pg_hba\.conf|not permitted|role "[^"]*" does not exist',
        "does not let this user in",
        "correct user and password in DATABASE_URL, and pg_hba.conf of the server",
    ),
    (
        "database-tls",
        r"\bssl\b|certificate|\btls\b",
        "does not agree on TLS",
        "set sslmode and sslrootcert in DATABASE_URL as the server needs them",
    ),
]


def explain_connection_failure(settings: Settings, error: DBAPIError) -> Finding:
    """Return the finding for a database that could not be connected to; it has no secrets."""
    message, place = str(error.orig), shown(settings, "DATABASE_URL")
    for code, pattern, text, remedy in _CAUSES:
        if re.search(pattern, message, re.IGNORECASE):
            return Finding(code, Severity.BROKEN, f"{place} {text}", _WHY, remedy)
    what = f"{place} cannot be used: {describe_error(settings.database_url, error)}"
    remedy = _FILE if make_url(settings.database_url).get_backend_name() == "sqlite" else _LOCATION
    return Finding("database-unusable", Severity.BROKEN, what, _WHY, remedy)


def describe_error(database_url: str, error: DBAPIError) -> str:
    """Return the first line of the driver's message, without user, password and query of the URL."""
    url = make_url(database_url)
    text = next(iter(str(error.orig).splitlines()), type(error.orig).__name__)
    # An @ in a password that is not percent-encoded makes its end a part of the host.
    misplaced = url.host if url.host and "@" in url.host else None
    for secret in (url.password, url.username, misplaced, *map(str, url.query.values())):
        if secret:
            text = text.replace(str(secret), MASKED)
    return mask(text)
