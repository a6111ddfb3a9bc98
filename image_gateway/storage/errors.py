"""Translates botocore's errors to those of the gateway."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError

from image_gateway.errors import (
    GatewayError,
    ObjectChanged,
    ObjectMissing,
    PartsRejected,
    StoreError,
    StoreUnavailable,
    UploadMissing,
)

_log = logging.getLogger(__name__)

_BY_CODE: Mapping[str, type[Exception]] = {
    "NoSuchKey": ObjectMissing,
    "404": ObjectMissing,
    "PreconditionFailed": ObjectChanged,
    "412": ObjectChanged,
    # Requested ranges lie within the recorded size, so a smaller object is another version.
    "InvalidRange": ObjectChanged,
    "416": ObjectChanged,
    "NoSuchUpload": UploadMissing,
}
_PART_ERRORS = {
    "InvalidPart": "a part is not in the store, or its ETag does not match",
    "InvalidPartOrder": "the parts are not in ascending order",
    "EntityTooSmall": "a part other than the last is below the store's minimum size",
    "EntityTooLarge": "the object would be larger than the store allows",
    "InvalidRequest": "the store rejected the list of parts",
    "MalformedXML": "the store rejected the list of parts",
}
_RETRYABLE_CODES = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "Throttling",
    "503",
    "500",
}


# Raised by botocore, or by reading fields that a store omitted.
STORE_ERRORS = (
    BotoCoreError,
    ClientError,
    KeyError,
    RecursionError,
    ResponseParserError,
    ValueError,
)


@contextmanager
def translate_errors(
    operation: str, *, missing: type[Exception] | None = None, parts: bool = False
) -> Iterator[None]:
    """Translate botocore errors raised inside the block; arguments as for `translate_error`."""
    try:
        yield
    except STORE_ERRORS as error:
        raise translate_error(operation, error, missing=missing, parts=parts) from error


def translate_error(
    operation: str, error: Exception, *, missing: type[Exception] | None = None, parts: bool = False
) -> Exception:
    """Return the gateway's error for one of STORE_ERRORS and log the cause.

    Args:
        operation: The S3 operation that failed.
        error: One of STORE_ERRORS.
        missing: The error for a 404 without an error code.
        parts: Whether the operation sends a list of parts, which the store may reject.
    """
    if isinstance(error, ClientError):
        return _translate_client_error(operation, error, missing, parts=parts)
    if isinstance(error, NoCredentialsError):
        _log.error("%s: no credentials for the store", operation)
        return StoreError("the gateway has no credentials for the store")
    if isinstance(error, (KeyError, ValueError, ResponseParserError)):
        _log.error("%s: invalid response from the store: %s", operation, type(error).__name__)
        return StoreError("the store sent an invalid response")
    if isinstance(error, RecursionError):
        # The SDK looks up the bucket's region and follows the redirect of that response, too.
        _log.error("%s: redirect loop: the store does not name the region; check AWS_REGION", operation)
        return StoreError("the store redirected without naming the region")
    _log.warning("%s failed: %s", operation, type(error).__name__)
    return StoreUnavailable("the store did not answer; try again")


def _translate_client_error(
    operation: str, error: ClientError, missing: type[Exception] | None, *, parts: bool
) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    # A proxy's HTML page and the response to a HEAD have no error code.
    fact = _BY_CODE.get(code or str(status))
    if fact is ObjectMissing and missing is not None:
        fact = missing
    if fact is not None:
        return fact(f"{operation}: {code}")
    if parts and code in _PART_ERRORS:
        return PartsRejected(_PART_ERRORS[code])
    return _translate_unexpected(operation, code, status, error.response.get("ResponseMetadata", {}))


def _translate_unexpected(
    operation: str, code: str, status: int, metadata: Mapping[str, Any]
) -> GatewayError:
    # AWS support asks for these request ids; they are not secret.
    ids = {"store_request_id": metadata.get("RequestId"), "store_host_id": metadata.get("HostId")}
    known = {name: value for name, value in ids.items() if value}
    _log.warning("%s failed: the store answered %s %s", operation, status, code, extra=known)
    if code in _RETRYABLE_CODES or status in (429, 500, 502, 503, 504):
        return StoreUnavailable("the store is temporarily unavailable; try again")
    return StoreError(f"the store rejected {operation}")
