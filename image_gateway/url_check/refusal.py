"""Checks that a URL is refused to whoever lacks the credentials that were given."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.client.verify_requests import RANGED
from image_gateway.url_check.codes import Fault, Tried
from image_gateway.url_check.opening import is_page
from image_gateway.url_check.prober import Prober
from image_gateway.url_check.target import Target

_PAGE_START = 512


def check_refusal(target: Target, prober: Prober, url: str) -> Iterator[Tried]:
    """Read without the given headers, and without the signature or lease in the URL."""
    name = "without credentials"
    if target.credential_headers:
        yield _try_without(prober, url, "without the given headers")
    elif target.url_without_secrets is not None:
        yield _try_without(prober, target.url_without_secrets, "without the secret in the URL")
    else:
        yield Tried("access", name, skipped="no credentials were given")


def _try_without(prober: Prober, url: str, name: str) -> Tried:
    headers = {**RANGED, "Range": "bytes=0-0"}
    answer = prober.send(
        "GET", url, headers, read=min(_PAGE_START, prober.bytes_left), with_credentials=False
    )
    if is_page(answer):
        return Tried("access", name, "an HTML page, such as one to sign in at")
    is_open = answer.status in (200, 206)
    what = f"a read {name} was answered with HTTP {answer.status}"
    faults = (Fault("open-without-credentials", what),) if is_open else ()
    return Tried("access", name, f"HTTP {answer.status}", faults)
