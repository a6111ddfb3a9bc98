"""What can go wrong, by name: one table from fact to code, status and a line for the client.

`GatewayError` and its children are answered to the client as
`{"error": {"code", "message"}}`. The facts below `StoreFact` are what storage tells the
services; a service turns each into an answer, none reaches a client by itself.
"""

from __future__ import annotations

from collections.abc import Mapping


class GatewayError(Exception):
    """An answer to the client: `code`, HTTP `status`, one line of text, extra headers."""

    code = "INTERNAL"
    status = 500

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})


class TryAgain(GatewayError):
    """It cannot be answered now; the client may ask again after `retry_after` seconds."""

    status = 503
    retry_after = 2

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": str(self.retry_after)})


class BadRequest(GatewayError):
    code, status = "BAD_REQUEST", 400


class Unauthenticated(GatewayError):
    """No credential, or a bad one; a 401 must name a scheme (RFC 9110 §15.5.2)."""

    code, status = "UNAUTH", 401

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer", **(headers or {})})


class Forbidden(GatewayError):
    code, status = "FORBIDDEN", 403


class LeaseExpired(Unauthenticated):
    """The lease has lapsed, or its session is over (RFC 6750 §3.1, invalid_token)."""

    code = "LEASE_EXPIRED"

    def __init__(self, message: str) -> None:
        challenge = 'Bearer error="invalid_token", error_description="the lease has expired"'
        super().__init__(message, headers={"WWW-Authenticate": challenge})


class LeaseRevoked(Forbidden):
    """The lease, or what it stood on, was taken back."""

    code = "LEASE_REVOKED"


class LeaseLapsed(TryAgain):
    """The lease waits for its renewal; a reader that tries again goes on when that has come."""

    code = "LEASE_LAPSED"


class TooManyRequests(GatewayError):
    code, status = "TOO_MANY_REQUESTS", 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class QuotaExceeded(GatewayError):
    """The owner's limit would be passed; the text names limit and use."""

    code, status = "QUOTA_EXCEEDED", 403


class NotFound(GatewayError):
    code, status = "NOT_FOUND", 404


class InvalidState(GatewayError):
    code, status = "INVALID_STATE", 409


class PreconditionFailed(GatewayError):
    code, status = "PRECONDITION_FAILED", 412


class TooLarge(GatewayError):
    code, status = "TOO_LARGE", 413


class UrlTooLong(GatewayError):
    code, status = "URL_TOO_LONG", 414


class UnsupportedMediaType(GatewayError):
    code, status = "UNSUPPORTED_MEDIA_TYPE", 415


class StoreError(GatewayError):
    """The store answered something that must not be passed on; the cause is in the log."""

    code, status = "S3_ERROR", 502


class StoreUnavailable(TryAgain):
    """The store did not answer in time, or said that it cannot now; trying again may help."""

    code = "S3_UNAVAILABLE"


class CatalogUnavailable(TryAgain):
    """The database of image records cannot be used now; trying again may help."""

    code = "CATALOG_UNAVAILABLE"


class IdentityUnavailable(TryAgain):
    """The identity provider's keys were never obtained; trying again may help."""

    code = "IDENTITY_UNAVAILABLE"


class Overloaded(TryAgain):
    """As many bodies are being streamed as may be; one that ends makes room."""

    code = "OVERLOADED"
    retry_after = 1


class ShuttingDown(TryAgain):
    """The server was told to stop; another one, or the next, will answer."""

    code = "SHUTTING_DOWN"


class StoreFact(Exception):
    """Something the store said that a service decides about."""


class ObjectMissing(StoreFact):
    """No object has this key."""


class ObjectChanged(StoreFact):
    """The object is not the version that the read was tied to."""


class UploadMissing(StoreFact):
    """The store knows no such multipart upload (completed, aborted or expired)."""


class PartsRejected(StoreFact):
    """The store refused the list of parts; the text says why in the client's words."""
