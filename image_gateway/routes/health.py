"""Liveness, readiness, and the contract file."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request

from image_gateway.errors import ShuttingDown
from image_gateway.routes.http.responses import json_response
from image_gateway.services.readiness import Readiness

# Set by the worker in each request's environ while the server stops.
STOPPING = "image_gateway.stopping"
CONTRACT = Path(__file__).parent.parent / "openapi.yaml"


def make_health_blueprint(readiness: Readiness) -> Blueprint:
    """Routes `health`, `healthz`, `readyz` and `openapi.yaml`; only `readyz` asks anything outside."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health")
    @blueprint.get("/healthz")
    def alive() -> Response:
        return json_response({"ok": True}, secret=True)

    @blueprint.get("/readyz")
    def ready() -> Response:
        if request.environ.get(STOPPING):
            raise ShuttingDown("the server is shutting down")
        readiness.require()
        return json_response({"ok": True}, secret=True)

    @blueprint.get("/openapi.yaml")
    def contract() -> Response:
        return Response(CONTRACT.read_bytes(), mimetype="application/yaml")

    return blueprint
