"""The errors of the gateway: one table of error codes, HTTP statuses and messages.

A `GatewayError` becomes the response `{"error": {"code", "message"}}`. Subclasses of `StoreFact` are raised
by the storage package; services translate them, and they never reach a client.
"""

from __future__ import annotations

from collections.abc import Mapping


class GatewayError(Exception):
    """An error response: `code`, HTTP `status`, a one-line message and extra headers."""

    code = "INTERNAL"
    status = 500

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})


class TryAgain(GatewayError):
    """A temporary failure; the client may retry after `retry_after` seconds."""

    status = 503
    retry_after = 2

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": str(self.retry_after)})


class BadRequest(GatewayError):
    code, status = "BAD_REQUEST", 400


class Unauthenticated(GatewayError):
    """Credentials are missing or invalid; a 401 response must name a scheme (RFC 9110 §15.5.2)."""

    code, status = "UNAUTH", 401

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer", **(headers or {})})


class Forbidden(GatewayError):
    code, status = "FORBIDDEN", 403


class LeaseExpired(Unauthenticated):
    """The lease has expired or its session has ended (RFC 6750 §3.1, invalid_token)."""

    code = "LEASE_EXPIRED"

    def __init__(self, message: str) -> None:
        challenge = 'Bearer error="invalid_token", error_description="the lease has expired"'
        super().__init__(message, headers={"WWW-Authenticate": challenge})


class LeaseRevoked(Forbidden):
    """The lease was revoked, or the access that it was based on."""

    code = "LEASE_REVOKED"


class LeaseLapsed(TryAgain):
    """The lease has expired but can still be renewed; a reader that retries continues after the renewal."""

    code = "LEASE_LAPSED"


class TooManyRequests(GatewayError):
    code, status = "TOO_MANY_REQUESTS", 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class QuotaExceeded(GatewayError):
    """The request would exceed a limit of the owner; the message names the limit and the usage."""

    code, status = "QUOTA_EXCEEDED", 403


class NotFound(GatewayError):
    code, status = "NOT_FOUND", 404


class InvalidState(GatewayError):
    code, status = "INVALID_STATE", 409


class HasDeltas(GatewayError):
    """The image has deltas, which would be lost; the message names how many there are."""

    code, status = "HAS_DELTAS", 409


class Fenced(GatewayError):
    """A newer session is the writer of the delta; this one must write nothing more."""

    code, status = "FENCED", 409


class IdempotencyKeyReused(GatewayError):
    """The idempotency key belongs to a commit of other bytes."""

    code, status = "IDEMPOTENCY_KEY_REUSED", 409


class PreconditionRequired(GatewayError):
    """The request needs If-Match (RFC 6585 §3)."""

    code, status = "PRECONDITION_REQUIRED", 428


class TooFragmented(GatewayError):
    """The delta has too many runs of blocks for its map."""

    code, status = "TOO_FRAGMENTED", 409


class PreconditionFailed(GatewayError):
    code, status = "PRECONDITION_FAILED", 412


class TooLarge(GatewayError):
    code, status = "TOO_LARGE", 413


class UrlTooLong(GatewayError):
    code, status = "URL_TOO_LONG", 414


class UnsupportedMediaType(GatewayError):
    code, status = "UNSUPPORTED_MEDIA_TYPE", 415


class StoreError(GatewayError):
    """The store's response cannot be used or passed on; the log has the cause."""

    code, status = "S3_ERROR", 502


class StoreUnavailable(TryAgain):
    """The store timed out or is temporarily unavailable; a retry may succeed."""

    code = "S3_UNAVAILABLE"


class CatalogUnavailable(TryAgain):
    """The database is temporarily unavailable; a retry may succeed."""

    code = "CATALOG_UNAVAILABLE"


class IdentityUnavailable(TryAgain):
    """The identity provider's keys have not been fetched yet; a retry may succeed."""

    code = "IDENTITY_UNAVAILABLE"


class Overloaded(TryAgain):
    """The limit of concurrent streams is reached; a retry succeeds when one has ended."""

    code = "OVERLOADED"
    retry_after = 1


class ShuttingDown(TryAgain):
    """The server is shutting down; another instance or the restarted server will answer."""

    code = "SHUTTING_DOWN"


class FetchFailed(GatewayError):
    """Fetching a URL failed; `retryable` tells whether trying again later may succeed."""

    code, status = "SOURCE_UNREACHABLE", 502

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class SourceRefused(FetchFailed):
    """The source answered with a status or headers that cannot be used."""

    code = "SOURCE_REFUSED"


class SourceChanged(FetchFailed):
    """The source is not the version whose first bytes were read."""

    code = "SOURCE_CHANGED"

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class SourceDamaged(FetchFailed):
    """The compressed source is truncated, corrupt or of another format than its name says."""

    code = "SOURCE_DAMAGED"

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class ConversionError(GatewayError):
    """Reading a disk image failed, and neither the image nor the store is known to be the cause."""

    code, status = "CONVERSION_FAILED", 500


class UnsupportedImage(ConversionError):
    """The image is of a kind that is not read, such as one that needs another file."""

    code, status = "UNSUPPORTED_IMAGE", 422


class InvalidImage(ConversionError):
    """The image is damaged, truncated or not of the declared format; the message says what is wrong."""

    code, status = "INVALID_IMAGE", 422


class ConverterUnavailable(ConversionError):
    """QEMU is not installed or cannot be started on this machine; the message names what is missing."""

    code, status = "CONVERTER_UNAVAILABLE", 503


class StoreFact(Exception):
    """A condition reported by the store that a service must handle."""


class ObjectMissing(StoreFact):
    """There is no object with this key."""


class ObjectChanged(StoreFact):
    """The object is not the version that the read requires."""


class UploadMissing(StoreFact):
    """The store has no such multipart upload (it was completed or aborted, or has expired)."""


class PartsRejected(StoreFact):
    """The store rejected the list of parts; the message is suitable for the client."""
