"""Translates botocore's errors: what each error code of a store means to the gateway."""

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
    # Ranges are asked within the size on record: an object that has not so many bytes is another one.
    "InvalidRange": ObjectChanged,
    "416": ObjectChanged,
    "NoSuchUpload": UploadMissing,
}
_PART_FAULTS = {
    "InvalidPart": "the store does not have one of the parts, or its etag is another",
    "InvalidPartOrder": "the parts are not in ascending order",
    "EntityTooSmall": "a part other than the last is below the store's least size",
    "EntityTooLarge": "the parts together are larger than the store allows",
    "InvalidRequest": "the store refuses this list of parts",
    "MalformedXML": "the store refuses this list of parts",
}
_RETRYABLE = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "503", "500"}


# What calls of botocore raise, and reading fields that a store left out.
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
    """Raise the errors of botocore within as errors of this package; arguments as for `translate_error`."""
    try:
        yield
    except STORE_ERRORS as error:
        raise translate_error(operation, error, missing=missing, parts=parts) from error


def translate_error(
    operation: str, error: Exception, *, missing: type[Exception] | None = None, parts: bool = False
) -> Exception:
    """Return the error of this package for one of STORE_ERRORS, and log what operators need to know.

    Args:
        operation: The S3 operation that failed.
        error: One of STORE_ERRORS.
        missing: What a bare 404 means to this operation.
        parts: Whether the operation takes a list of parts, which may be refused.
    """
    if isinstance(error, ClientError):
        return _translate_client_error(operation, error, missing, parts=parts)
    if isinstance(error, NoCredentialsError):
        _log.error("%s: there are no credentials for the store", operation)
        return StoreError("the gateway has no credentials for the store")
    if isinstance(error, (KeyError, ValueError, ResponseParserError)):
        _log.error("%s: the store's answer cannot be read: %s", operation, type(error).__name__)
        return StoreError("the store's answer cannot be read")
    if isinstance(error, RecursionError):
        # The SDK asks where the bucket is, and follows that answer's redirect as well.
        _log.error("%s: the store redirects without saying to which region; check AWS_REGION", operation)
        return StoreError("the store redirects without saying where to")
    _log.warning("%s failed: %s", operation, type(error).__name__)
    return StoreUnavailable("the store did not answer; try again")


def _translate_client_error(
    operation: str, error: ClientError, missing: type[Exception] | None, *, parts: bool
) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    # A proxy's HTML, or an answer to HEAD, has no code.
    fact = _BY_CODE.get(code or str(status))
    if fact is ObjectMissing and missing is not None:
        fact = missing
    if fact is not None:
        return fact(f"{operation}: {code}")
    if parts and code in _PART_FAULTS:
        return PartsRejected(_PART_FAULTS[code])
    return _unexpected(operation, code, status, error.response.get("ResponseMetadata", {}))


def _unexpected(operation: str, code: str, status: int, metadata: Mapping[str, Any]) -> GatewayError:
    # What AWS's support asks for; ids of requests are no secrets.
    ids = {"store_request_id": metadata.get("RequestId"), "store_host_id": metadata.get("HostId")}
    known = {name: value for name, value in ids.items() if value}
    _log.warning("%s: the store answered %s %s", operation, status, code, extra=known)
    if code in _RETRYABLE or status in (429, 500, 502, 503, 504):
        return StoreUnavailable("the store cannot answer now; try again")
    return StoreError(f"the store refused {operation}")
