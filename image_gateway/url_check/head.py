"""Checks of HEAD (RFC 9110 section 9.3.2): it is answered, without a body, with the headers of GET."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.client import HTTPException
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from image_gateway.client.verify_requests import RANGED
from image_gateway.url_check.answers import Answer, quote_header
from image_gateway.url_check.codes import Fault, Tried
from image_gateway.url_check.target import FileState

_COMPARED = ("ETag", "Last-Modified", "Content-Type", "Content-Encoding", "Cache-Control")
_MOST_READ = 64 * 1024
# A body that comes with the headers is there at once.
_QUIET_SECONDS, _MOST_SECONDS = 1.0, 5.0


def check_head(file: FileState) -> Iterator[Tried]:
    """Compare the answer to HEAD with that to GET."""
    answer = file.send("HEAD")
    if answer.status != 200:
        what = f"HEAD was answered with HTTP {answer.status}, GET with {file.opened.status}"
        yield Tried("HEAD", "answer", faults=(Fault("head-refused", what),))
        return
    yield Tried("HEAD", "Content-Length", faults=tuple(_length_faults(file, answer)))
    yield Tried("HEAD", "headers", faults=tuple(_header_faults(file, answer)))
    if answer.hops:
        yield Tried("HEAD", "no body", skipped="the URL redirects")
    else:
        yield _try_body(file)


def _length_faults(file: FileState, answer: Answer) -> Iterator[Fault]:
    size = file.opened.length
    if answer.length is None:
        yield Fault(
            "head-length-missing", f"Content-Length of HEAD is {quote_header(answer, 'Content-Length')}"
        )
    elif size is None:
        file.size = answer.length
    elif answer.length != size:
        yield Fault("head-length-differs", f"Content-Length is {answer.length} of HEAD and {size} of GET")


def _header_faults(file: FileState, answer: Answer) -> Iterator[Fault]:
    differing = [name for name in _COMPARED if answer.get(name) != file.opened.get(name)]
    if "ETag" in differing and file.send("HEAD").get("ETag") != answer.get("ETag"):
        # It changes with each request, which is another finding.
        differing.remove("ETag")
    if differing:
        yield Fault("head-headers-differ", f"HEAD and GET differ in {', '.join(differing)}")
    if file.opened.get("Accept-Ranges") and not answer.get("Accept-Ranges"):
        yield Fault("accept-ranges-missing", "Accept-Ranges is absent in the answer to HEAD")


def _try_body(file: FileState) -> Tried:
    received = _exchange(file)
    extra = len(received.partition(b"\r\n\r\n")[2])
    faults = (Fault("head-has-body", f"{extra} bytes follow the headers of HEAD"),) if extra else ()
    return Tried("HEAD", "no body", faults=faults)


def _exchange(file: FileState) -> bytes:
    """Return all that comes after HEAD: clients of HTTP stop reading at the end of the headers."""
    connection = file.prober.connect(file.url)
    parts = urlsplit(file.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    received = bytearray()
    file.prober.requests += 1
    try:
        connection.request(
            "HEAD", target, headers={**file.prober.credentials, **RANGED, "Connection": "close"}
        )
        deadline = time.monotonic() + _MOST_SECONDS
        connection.sock.settimeout(_MOST_SECONDS)
        while len(received) < _MOST_READ and time.monotonic() < deadline:
            block = connection.sock.recv(_MOST_READ)
            if not block:
                break
            received += block
            if b"\r\n\r\n" in received:
                connection.sock.settimeout(_QUIET_SECONDS)
    except (HTTPError, HTTPException, OSError):
        # A reset or silence after the headers is no body.
        return bytes(received)
    finally:
        connection.close()
    return bytes(received)
