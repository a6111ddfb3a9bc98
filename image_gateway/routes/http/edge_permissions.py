"""Permissions for nginx: who may read which object (`auth_request`).

nginx sends a reader's own request with X-Edge-Token (`auth_request`). 200 is a permission, which says in its
headers where the bytes lie and what to answer with them, and in Cache-Control how long it holds. Every other
answer becomes 401, and nginx passes the reader's request on to the gateway, whose answer the reader gets. It
remembers only the 401 of a delta, whose bytes lie in several objects.
"""

from __future__ import annotations

import hmac
import math

from flask import Flask, Response, g, request
from werkzeug.datastructures import Headers

from image_gateway.errors import GatewayError, Unauthenticated
from image_gateway.observability.request_log import note_edge
from image_gateway.routes.http.authentication import asks_for_permission
from image_gateway.routes.http.responses import CREDENTIALS, NO_STORE, BytesResponse, cache_control, http_date
from image_gateway.services.reading.representations import Representation

TOKEN_HEADER = "X-Edge-Token"  # noqa: S105  # the name of a header
# How long nginx may use a permission that it cannot renew, because no gateway answers.
OUTAGE_SECONDS = 30


GATEWAY_HEADER = "X-Edge-Gateway"
# How long nginx does not ask again about a URL that it can never serve.
NEVER_SECONDS = 60


class NotForEdge(GatewayError):
    """nginx cannot answer this request as the API requires."""

    code, status = "UNAUTH", 401


class NeverForEdge(NotForEdge):
    """nginx cannot answer any request for this URL: it passes reads on, and does not limit them."""

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={GATEWAY_HEADER: "reads"})


def install_edge(app: Flask, token: str | None) -> None:
    """Accept requests for permissions that carry this token; None accepts none."""
    expected = None if token is None else token.encode()

    @app.before_request
    def check_token() -> None:
        sent = request.environ.get("HTTP_X_EDGE_TOKEN")
        if sent is None:
            return
        if expected is None or not hmac.compare_digest(sent.encode(), expected):
            raise Unauthenticated(f"{TOKEN_HEADER} does not match EDGE_TOKEN")
        g.asks_for_permission = True
        note_edge()

    @app.after_request
    def refuse_plainly(response: Response) -> Response:
        if response.status_code == 200 or not asks_for_permission():
            return response
        response.close()
        reads = response.headers.get(GATEWAY_HEADER)
        if reads is None:
            return Response(status=401, headers={"Cache-Control": NO_STORE})
        return Response(
            status=401, headers={"Cache-Control": f"max-age={NEVER_SECONDS}", GATEWAY_HEADER: reads}
        )


def permission_response(
    target: Representation, signed: str, lifetime: str, resource_policy: str, *, public: bool
) -> Response:
    """Permit nginx to read `target` by the presigned path and query `signed`.

    Args:
        target: What may be read; its headers are those of the answer.
        signed: Path and query of a presigned GET.
        lifetime: Cache-Control of the permission, as `permission_lifetime` makes it.
        resource_policy: Cross-Origin-Resource-Policy of the answer.
        public: Whether shared caches may keep the answer.
    """
    pin = target.pin
    headers = {
        "X-Edge-Object": signed,
        "X-Edge-Version": f"{target.key} {target.etag}",
        "X-Edge-Pin-Etag": pin.etag or "",
        "X-Edge-Pin-Date": http_date(pin.unmodified_since) if pin.unmodified_since else "",
        "X-Edge-Etag": target.etag,
        "X-Edge-Last-Modified": http_date(target.last_modified) if target.last_modified else "",
        "X-Edge-Cache-Control": cache_control(target, public=public),
        "Vary": "" if public else CREDENTIALS,
        "X-Edge-Resource-Policy": resource_policy,
        "Cache-Control": lifetime,
    }
    return BytesResponse(b"", 200, Headers([(name, value) for name, value in headers.items() if value]))


def permission_lifetime(seconds: float, seconds_left: float) -> str:
    """Return the Cache-Control of a permission: in the second half of its time one reader renews it.

    Args:
        seconds: How long it holds; less than 1 is for this request alone.
        seconds_left: When what it stands on ends. Until then it may be used a while longer where it cannot be
            renewed (RFC 5861 §4).
    """
    whole = math.floor(seconds)
    if whole < 1:
        return NO_STORE
    fresh = math.ceil(whole / 2)
    outage = math.floor(min(OUTAGE_SECONDS, seconds_left - whole))
    return f"max-age={fresh}, stale-while-revalidate={whole - fresh}, stale-if-error={outage}"
