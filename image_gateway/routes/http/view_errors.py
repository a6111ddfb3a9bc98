"""Errors of views: clients take the body of an error for the image's bytes, so it is empty."""

from __future__ import annotations

import re

from flask import Response, request

CODE_HEADER = "X-Error-Code"
_VIEWS = "v86|tinyemu|infinite-mac|webvm|sqlite|raw"
_VIEW_PATH = re.compile(rf"/v1/(?:l/[^/]+/(?:{_VIEWS})|(?:images|deltas)/[^/]+/views)(?:/.*)?", re.DOTALL)


def empty_view_error(response: Response) -> Response:
    """Move the code of an error from the body to X-Error-Code where a view was asked for."""
    if response.status_code < 400 or not _VIEW_PATH.fullmatch(request.path) or not response.is_json:
        return response
    code = response.get_json()["error"]["code"]
    response.set_data(b"")
    del response.headers["Content-Type"]
    response.headers["Content-Length"] = "0"
    response.headers[CODE_HEADER] = code
    return response
