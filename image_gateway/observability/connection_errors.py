"""Tells in words why a request of urllib3 had no response."""

from __future__ import annotations

from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)


def describe_connection_error(error: Exception) -> str:
    """Return the reason without the error's message, which may contain the URL."""
    # Both are kinds of ConnectTimeoutError.
    if isinstance(error, NameResolutionError):
        return "the host name cannot be resolved"
    if isinstance(error, NewConnectionError):
        return getattr(error.__cause__, "strerror", None) or "the connection failed"
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError, TimeoutError)):
        return "no answer in time"
    return type(error).__name__
