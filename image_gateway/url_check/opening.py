"""The first read of a URL: whether there is anything to check, and what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from image_gateway.client.verify_requests import RANGED
from image_gateway.url_check.answers import Answer
from image_gateway.url_check.codes import Fault, Tried
from image_gateway.url_check.headers import check_redirects
from image_gateway.url_check.prober import Prober

# A file of this size or smaller is read whole.
_MOST_READ = 256 * 1024
# They learn from a plain GET how much is missing.
_RESUME_BY_GET = frozenset({"aria2"})
_PAGE_STARTS = (b"<!doctype html", b"<html")


def open_url(prober: Prober, url: str) -> tuple[Answer, list[Tried]]:
    """Read the start of the file, without ranges.

    Raises:
        ProbeFailed: There is no answer.
    """
    answer = prober.send("GET", url, RANGED, read=min(_MOST_READ, prober.bytes_left))
    return answer, list(_check_opened(answer, PurePosixPath(urlsplit(url).path).name))


def is_open(tried: list[Tried]) -> bool:
    """Return whether the first read gave a file, whatever else is wrong with it."""
    return not any(fault.code in ("status", "not-an-image") for item in tried for fault in item.faults)


def looks_like_infinite_mac(body: bytes) -> bool:
    """Return whether a document is a manifest of infinite-mac, which has no schema."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "schema" not in content and {"totalSize", "chunks"} <= content.keys()


def _check_opened(answer: Answer, name: str) -> Iterator[Tried]:
    yield check_redirects(answer)
    if answer.status != 200:
        what = f"GET of {name or 'the URL'} was answered with HTTP {answer.status}"
        yield Tried("read", "status", faults=(Fault("status", what),))
        return
    if is_page(answer):
        yield Tried("read", "content", faults=(Fault("not-an-image", "the answer is an HTML page"),))
        return
    yield Tried("read", "whole file", _detail(answer), tuple(_body_faults(answer)))


def is_page(answer: Answer) -> bool:
    """Return whether the answer is an HTML page, such as one to sign in at."""
    kind = (answer.get("Content-Type") or "").partition(";")[0].strip().lower()
    start = answer.body[:64].lstrip().lower()
    return start.startswith(_PAGE_STARTS) or (
        kind in ("text/html", "application/xhtml+xml") and start.startswith(b"<")
    )


def _body_faults(answer: Answer) -> Iterator[Fault]:
    if answer.is_cut:
        promised = f" of {answer.length}" if answer.length is not None else ""
        yield Fault("body-shorter", f"the connection ended after {len(answer.body)}{promised} bytes")
    if answer.length is None:
        yield Fault("size-unknown", "GET has no Content-Length", _RESUME_BY_GET)


def _detail(answer: Answer) -> str:
    return "HTTP 200" + (f", {answer.length} bytes" if answer.length is not None else "")
