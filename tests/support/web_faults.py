"""Faults of content types, CORS, redirects, caching, permissions and chunks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.support.fault_table import Faults, actual, preflight, reads
from tests.support.range_server import Request, Respond, Response

FAULTS = Faults()
# What the server asks for where it needs credentials.
TOKEN = "secret-token"
PAGE = b"<!doctype html><title>Not found</title><p>This page does not exist.</p>"
PUBLIC = "public, max-age=31536000, immutable, no-transform"
_CHUNK, _PART = "/chunks/00000002.bin", "/disk-0-65536.img"


# Pages and types in place of images

FAULTS.with_headers("content-type-wrong", reads, content_type="text/plain; charset=utf-8")


def _page(request: Request, right: Respond, status: int) -> Response:
    if request.method == "OPTIONS":
        return right(request)
    shown = right(request.with_headers(range=None)).with_headers(content_type="text/html; charset=utf-8")
    page = shown.with_headers(accept_ranges=None, etag=None, last_modified=None).with_body(PAGE)
    return Response(status, page.headers, b"" if request.method == "HEAD" else PAGE)


@FAULTS.fault("not-an-image")
def _not_an_image(request: Request, right: Respond) -> Response:
    """Whatever is asked for, the page of a web application comes."""
    return _page(request, right, 200)


@FAULTS.fault("status")
def _status(request: Request, right: Respond) -> Response:
    return _page(request, right, 404)


@FAULTS.fault("status (503)")
def _status_unavailable(request: Request, right: Respond) -> Response:
    return _page(request, right, 503)


# The Fetch standard: preflights and CORS


@FAULTS.fault("preflight-refused")
def _preflight_refused(request: Request, right: Respond) -> Response:
    if request.method != "OPTIONS":
        return right(request)
    return Response(405, {"Allow": "GET, HEAD", "Content-Length": "0"})


FAULTS.with_headers("preflight-header-missing", preflight, access_control_allow_headers="content-type")
FAULTS.with_headers("preflight-origin-missing", preflight, access_control_allow_origin=None)
FAULTS.with_headers("cors-origin-missing", actual, access_control_allow_origin=None)
FAULTS.with_headers("cors-origin-wrong", actual, access_control_allow_origin="https://other.example")
FAULTS.with_headers("cors-not-exposed", actual, access_control_expose_headers=None)
FAULTS.with_headers("cors-credentials-wildcard", actual, access_control_allow_credentials="true")
FAULTS.with_headers(
    "cors-missing-on-errors",
    lambda request, response: actual(request, response) and response.status >= 400,
    access_control_allow_origin=None,
    access_control_expose_headers=None,
)
FAULTS.with_headers("corp-missing", actual, cross_origin_resource_policy=None)


@FAULTS.fault("vary-origin-missing")
def _vary_origin_missing(request: Request, right: Respond) -> Response:
    """The origin of the request is echoed."""
    origin = request.headers.get("origin")
    return right(request).with_headers(access_control_allow_origin=origin, vary=None)


# Redirects, caches and permissions


@FAULTS.fault("redirect")
def _redirect(request: Request, right: Respond) -> Response:
    """Files lie in another folder."""
    if request.method == "OPTIONS":
        return right(request)
    if not request.path.startswith("/moved/"):
        return redirected(request, right, f"/moved{request.path}")
    return right(Request(request.method, request.path.removeprefix("/moved"), request.headers))


@FAULTS.fault("redirect-loop")
def _redirect_loop(request: Request, right: Respond) -> Response:
    return right(request) if request.method == "OPTIONS" else redirected(request, right, request.path)


def redirected(request: Request, right: Respond, location: str) -> Response:
    """A 302 with the CORS headers of the answer in whose place it comes."""
    cors = {name: value for name, value in right(request).headers.items() if name.startswith("Access-")}
    return Response(302, {**cors, "Location": location, "Content-Length": "0"})


FAULTS.with_headers("cacheable-private", reads, cache_control=PUBLIC)
FAULTS.with_headers("cache-control-missing", reads, cache_control=None)
FAULTS.with_headers("no-transform-missing", reads, cache_control="public, max-age=31536000, immutable")


@FAULTS.fault("open-without-credentials")
def _open_without_credentials(request: Request, right: Respond) -> Response:
    return right(request.with_headers(authorization=f"Bearer {TOKEN}"))


# Chunks and their manifest


def _on(name: str, end: str, change: Callable[[Response], Response]) -> None:
    """Add a server that changes what it answers for files whose name ends so."""

    @FAULTS.fault(name)
    def spoil(request: Request, right: Respond) -> Response:
        response = right(request)
        spoiled = request.path.endswith(end) and request.method == "GET" and response.status == 200
        return change(response) if spoiled else response


def _edit_manifest(**changes: Any) -> Callable[[Response], Response]:
    return lambda response: response.with_body(json.dumps({**json.loads(response.body), **changes}).encode())


_on("manifest-invalid", "/manifest.json", _edit_manifest(totalSize=-1))
_on("manifest-invalid (no JSON)", "/manifest.json", lambda response: response.with_body(response.body[:-1]))
_on("chunk-size-wrong", _CHUNK, lambda response: response.with_body(response.body[:-1]))
_on("chunk-differs", _CHUNK, lambda response: response.with_body(response.body[::-1]))
_on(
    "chunk-encoded",
    ".bin",
    lambda response: response.with_headers(content_encoding="gzip").with_body(gzip.compress(response.body)),
)


@FAULTS.fault("chunk-missing")
def _chunk_missing(request: Request, right: Respond) -> Response:
    gone = request.path.endswith((_CHUNK, _PART))
    return right(Request(request.method, "/none", request.headers) if gone else request)
