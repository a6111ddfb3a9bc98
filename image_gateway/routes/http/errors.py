"""Error responses: every error, the framework's included, is {"error": {"code", "message"}}."""

from __future__ import annotations

import logging

from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from image_gateway.errors import GatewayError
from image_gateway.routes.http.responses import json_response

_log = logging.getLogger(__name__)
_FRAMEWORK_CODES = {
    400: ("BAD_REQUEST", "the request is malformed"),
    404: ("NOT_FOUND", "there is no such route"),
    405: ("METHOD_NOT_ALLOWED", "method not allowed on this route"),
    413: ("TOO_LARGE", "the request body is too large"),
    414: ("URL_TOO_LONG", "the URL is too long"),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json"),
    429: ("TOO_MANY_REQUESTS", "too many requests; try again later"),
}


def install_error_handlers(app: Flask) -> None:
    """Register the error handlers of the app."""
    app.register_error_handler(GatewayError, answer_gateway_error)
    app.register_error_handler(HTTPException, _answer_framework_error)
    app.register_error_handler(Exception, _answer_surprise)


def error_document(code: str, message: str) -> dict[str, dict[str, str]]:
    """Return the JSON object of an error."""
    return {"error": {"code": code, "message": message}}


def answer_gateway_error(error: GatewayError) -> Response:
    """Return the response of an error with its headers; logs server errors."""
    if error.status >= 500:
        _log.warning("%s", error.message, extra={"code": error.code})
    response = json_response(error_document(error.code, error.message), error.status, secret=True)
    response.headers.extend(error.headers)
    return response


def _answer_framework_error(error: HTTPException) -> Response:
    status = error.code or 500
    code, message = _FRAMEWORK_CODES.get(status, ("BAD_REQUEST", "the request is invalid"))
    response = json_response(error_document(code, message), status, secret=True)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def answer_malformed_body(_: Exception) -> Response:
    """Answer 400; the server finds a malformed chunk only while the body is read."""
    return json_response(
        error_document("BAD_REQUEST", "the request body has invalid chunked encoding"), 400, secret=True
    )


def _answer_surprise(error: Exception) -> Response:
    _log.error("the request failed", exc_info=error)
    text = f"internal error; see the log for request ID {g.get('request_id')}"
    return json_response(error_document("INTERNAL", text), 500, secret=True)
