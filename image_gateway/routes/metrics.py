"""Route /metrics on the gateway's port, protected by METRICS_TOKEN."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from flask import Blueprint, Response, request

from image_gateway.errors import Unauthenticated
from image_gateway.observability.metrics_exposition import Page
from image_gateway.routes.http.authentication import refuse
from image_gateway.routes.http.responses import NO_STORE


def make_metrics_blueprint(token: str, render: Callable[[], Page]) -> Blueprint:
    """Route `metrics`; requires a token."""
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        _require(token)
        page = render()
        response = Response(page.text, content_type=page.content_type)
        response.headers["Cache-Control"] = NO_STORE
        return response

    return blueprint


def _require(token: str) -> None:
    refusal = Unauthenticated("authentication required: send METRICS_TOKEN as Authorization: Bearer")
    given = request.authorization
    if given is None or given.type != "bearer" or given.token is None:
        raise refusal
    if not hmac.compare_digest(given.token.encode(), token.encode()):
        refuse(refusal)
