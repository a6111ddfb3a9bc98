"""Client errors; no message contains a presigned URL or a token."""

from __future__ import annotations

import re
import ssl

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, LocationValueError

_RETRYABLE_STATUSES = (408, 425, 429)
_PERMANENT_STATUSES = (501, 505)
# S3 returns 400 RequestTimeout when the request body arrives too slowly.
_RETRYABLE_STORE_CODES = ("RequestTimeout", "SlowDown", "InternalError", "OperationAborted")
_STORE_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
_MAX_RETRY_AFTER = 86_400


class ApiError(Exception):
    """The gateway or the store returned an error or could not be reached.

    Args:
        status: HTTP status; None when there was no response.
        code: Error code from the response body.
        retryable: Whether a retry may succeed; derived from the status by default.
        retry_after: Seconds to wait before a retry.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retryable = is_retryable(status) if retryable is None else retryable
        self.retry_after = retry_after


class PatienceOver(ApiError):
    """Retries did not succeed within the time limit."""


class Stopped(Exception):
    """The transfer was cancelled by an error in another thread or by Ctrl-C."""


class ClientError(Exception):
    """A local problem prevents the transfer.

    Args:
        message: The problem and what to do about it.
        advice: Further lines to show to the user.
    """

    def __init__(self, message: str, *, advice: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.advice = advice


class FileChanged(ClientError):
    """The local file changed after the upload started."""


def is_retryable(status: int | None) -> bool:
    """Return whether a request that got this HTTP status may succeed on retry."""
    return (
        status is not None
        and status not in _PERMANENT_STATUSES
        and (status >= 500 or status in _RETRYABLE_STATUSES)
    )


def connection_error(method: str, error: HTTPError) -> ApiError:
    """Return the error for a request without a response, such as a timeout or a connection reset."""
    # urllib3's message may contain a presigned URL.
    cause = error.args[0] if error.args else None
    permanent = isinstance(error, LocationValueError) or isinstance(cause, ssl.SSLCertVerificationError)
    return ApiError(f"{method} failed: {type(error).__name__}", retryable=not permanent)


def gateway_error(response: BaseHTTPResponse, *hidden: str | None) -> ApiError:
    """Return the error for an unexpected response of the gateway.

    Args:
        response: The response, whose JSON body has the code and the message.
        hidden: Secrets to mask in the message, in case the server or a proxy echoes them.
    """
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = None, "no error message"
    for secret in filter(None, hidden):
        message = message.replace(secret, "[hidden]")
        code = code and code.replace(secret, "[hidden]")
    return ApiError(
        f"the gateway answered {response.status}: {message}",
        status=response.status,
        code=code,
        retry_after=retry_after(response),
    )


def store_error(response: BaseHTTPResponse) -> ApiError:
    """Return the error for a rejected part; only the error code of the store's response is used."""
    found = _STORE_CODE.search(response.data[:4096])
    code = found[1].decode() if found else None
    return ApiError(
        f"the store answered {response.status}{f' {code}' if code else ''} to a part upload",
        status=response.status,
        code=code,
        retryable=is_retryable(response.status) or code in _RETRYABLE_STORE_CODES,
        retry_after=retry_after(response),
    )


def retry_after(response: BaseHTTPResponse) -> float | None:
    """Return Retry-After in seconds, at most a day; None when missing or a date (RFC 9110 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    return float(min(int(value), _MAX_RETRY_AFTER)) if value.isascii() and value.isdigit() else None
