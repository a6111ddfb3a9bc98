"""What can go wrong for a client, by name; no text holds a presigned URL or a token."""

from __future__ import annotations

import re
import ssl

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, LocationValueError

_PASSING_STATUSES = (408, 425, 429)
_NEVER_PASSING = (501, 505)
# S3 says 400 when a body came too slowly.
_RETRYABLE_STORE_CODES = ("RequestTimeout", "SlowDown", "InternalError", "OperationAborted")
_STORE_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
_LONGEST_RETRY_AFTER = 86_400


class ApiError(Exception):
    """The gateway or the store refused, or could not be reached; `status` is None in the latter case.

    `retryable` tells whether trying the same again may help, `retry_after` after how many seconds.
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
    """What may pass has not passed in time."""


class Stopped(Exception):
    """Another thread failed, or Ctrl-C came."""


class ClientError(Exception):
    """Something on this side prevents the transfer; the text says what and what to do.

    `advice` are further lines for people.
    """

    def __init__(self, message: str, *, advice: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.advice = advice


class FileChanged(ClientError):
    """The local file is not the one that the upload began with."""


def is_retryable(status: int | None) -> bool:
    return (
        status is not None and status not in _NEVER_PASSING and (status >= 500 or status in _PASSING_STATUSES)
    )


def unreachable(method: str, error: HTTPError) -> ApiError:
    """The fault of a request that got no answer."""
    # The error's own text may hold a presigned URL.
    cause = error.args[0] if error.args else None
    hopeless = isinstance(error, LocationValueError) or isinstance(cause, ssl.SSLCertVerificationError)
    return ApiError(f"{method} failed: {type(error).__name__}", retryable=not hopeless)


def gateway_fault(response: BaseHTTPResponse, *hidden: str | None) -> ApiError:
    """The fault of an answer of the gateway other than the expected one, with the server's message.

    What is `hidden` does not come back in it, whoever on the way repeats what was sent.
    """
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = None, "no explanation"
    for secret in filter(None, hidden):
        message = message.replace(secret, "[hidden]")
        code = code and code.replace(secret, "[hidden]")
    return ApiError(
        f"the gateway answered {response.status}: {message}",
        status=response.status,
        code=code,
        retry_after=retry_after(response),
    )


def store_fault(response: BaseHTTPResponse) -> ApiError:
    """The fault of a refused part; of the store's answer only its error code is told."""
    found = _STORE_CODE.search(response.data[:4096])
    code = found[1].decode() if found else None
    return ApiError(
        f"the store answered {response.status}{f' {code}' if code else ''} to a part",
        status=response.status,
        code=code,
        retryable=is_retryable(response.status) or code in _RETRYABLE_STORE_CODES,
        retry_after=retry_after(response),
    )


def retry_after(response: BaseHTTPResponse) -> float | None:
    """Seconds of Retry-After, at most a day; None when there is none in seconds."""
    value = response.headers.get("Retry-After", "")
    return float(min(int(value), _LONGEST_RETRY_AFTER)) if value.isascii() and value.isdigit() else None
