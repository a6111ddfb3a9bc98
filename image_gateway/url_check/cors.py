"""Checks of what a page of another origin may read (Fetch standard, CORS protocol)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from image_gateway.client.verify_requests import RANGED
from image_gateway.url_check.answers import Answer, quote_header
from image_gateway.url_check.clients import CLIENTS
from image_gateway.url_check.codes import NOBODY, Fault, Tried
from image_gateway.url_check.prober import Prober
from image_gateway.url_check.target import FileState, Target

# What scripts look for, and who fails without it. Content-Length and Last-Modified are safelisted.
_NEEDED = {"content-range": frozenset({"v86", "webvm"}), "accept-ranges": NOBODY, "etag": NOBODY}
_NEEDS_VALIDATOR = frozenset({"webvm"})
_IN_BROWSERS = frozenset(name for name, client in CLIENTS.items() if client.in_browser)
_ALLOWED = "Access-Control-Allow-Origin"
_V86_HEADERS = ("range", "x-accept-encoding")


def check_file_cors(file: FileState) -> Iterator[Tried]:
    """Try what a page does to read ranges of a file: the preflight, the read, and a read that fails."""
    target = file.target
    names = [name.lower() for name in target.credential_headers if name.lower() != "cookie"]
    if not target.is_same_origin:
        yield try_preflight(target, file.prober, file.url, ["range", *names])
        yield try_preflight(target, file.prober, file.url, [*_V86_HEADERS, *names], frozenset({"v86"}))
    wanted = {"Range": "bytes=0-0"} if file.takes_ranges else {}
    answer = file.send("GET", {**wanted, "Origin": target.page}, read=0)
    read = _check_answer(target, answer, "a read")
    if answer.status not in (200, 206):
        what = f"a read with Origin was answered with HTTP {answer.status}"
        read = replace(read, faults=(*read.faults, Fault("status", what, _IN_BROWSERS)))
    yield read
    if answer.get(_ALLOWED) is None:
        yield Tried("CORS", "exposed headers", skipped="the page may not read the answer")
    else:
        value = quote_header(answer, "Access-Control-Expose-Headers")
        yield Tried("CORS", "exposed headers", value, tuple(_exposure_faults(file, answer)))
    if file.takes_ranges and file.size and not read.faults:
        failed = file.send("GET", {"Range": f"bytes={file.size}-{file.size}", "Origin": target.page})
        if failed.status >= 400:
            yield _check_failed(target, failed)


def check_plain_cors(target: Target, prober: Prober, url: str, what: str) -> Tried:
    """Try what a page does to read a whole file: a GET that needs no preflight."""
    answer = prober.send("GET", url, {**RANGED, "Origin": target.page})
    return _check_answer(target, answer, what)


def try_preflight(
    target: Target, prober: Prober, url: str, names: Iterable[str], clients: frozenset[str] | None = None
) -> Tried:
    """Ask whether a page may send these headers, as `clients` do (None: all)."""
    names = sorted(set(names))
    asked = {
        "Origin": target.page,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": ",".join(names),
    }
    # Browsers send no credentials with it, and follow no redirect.
    answer = prober.send("OPTIONS", url, asked, with_credentials=False, follows=False)
    faults = tuple(_preflight_faults(target, answer, names, clients))
    return Tried("CORS", f"preflight for {', '.join(names)}", f"HTTP {answer.status}", faults)


def _preflight_faults(
    target: Target, answer: Answer, names: list[str], clients: frozenset[str] | None
) -> Iterator[Fault]:
    if not 200 <= answer.status < 300:
        yield Fault("preflight-refused", f"the preflight was answered with HTTP {answer.status}", clients)
        return
    allowed = answer.get(_ALLOWED)
    if allowed not in (target.page, "*"):
        what = f"Access-Control-Allow-Origin of the preflight is {quote_header(answer, _ALLOWED)}"
        yield Fault("preflight-origin-missing", what, clients)
    missing = _not_allowed(target, answer, names)
    if missing:
        what = f"Access-Control-Allow-Headers of the preflight lacks {', '.join(missing)}"
        yield Fault("preflight-header-missing", what, clients)


def _not_allowed(target: Target, answer: Answer, names: Iterable[str]) -> list[str]:
    listed = {name.strip().lower() for name in (answer.get("Access-Control-Allow-Headers") or "").split(",")}
    wildcard = "*" in listed and not _sends_cookies(target)
    # The wildcard does not stand for Authorization (Fetch, CORS-preflight fetch, step 7).
    return [name for name in names if name not in listed and not (wildcard and name != "authorization")]


def _sends_cookies(target: Target) -> bool:
    return any(name.lower() == "cookie" for name in target.headers)


def _check_answer(target: Target, answer: Answer, what: str) -> Tried:
    return Tried("CORS", what, faults=tuple(_origin_faults(target, answer)))


def _origin_faults(target: Target, answer: Answer) -> Iterator[Fault]:
    for hop in answer.hops:
        if hop.is_foreign and hop.headers.get(_ALLOWED) not in (target.page, "*", "null"):
            what = f"the redirect (HTTP {hop.status}) does not allow the page's origin"
            yield Fault("cors-origin-missing", what)
    origin = "null" if answer.hides_page else target.page
    allowed = answer.get(_ALLOWED)
    value = quote_header(answer, _ALLOWED)
    if allowed is None:
        yield Fault("cors-origin-missing", f"Access-Control-Allow-Origin is absent for {origin}")
        return
    if allowed not in (origin, "*"):
        yield Fault("cors-origin-wrong", f"Access-Control-Allow-Origin is {value} for {origin}")
        return
    with_cookies = answer.get("Access-Control-Allow-Credentials") == "true"
    if allowed == "*" and _sends_cookies(target):
        yield Fault("cors-credentials-wildcard", "Access-Control-Allow-Origin is * for a read with cookies")
    elif allowed == "*" and with_cookies:
        what = "Access-Control-Allow-Origin is * with Access-Control-Allow-Credentials: true"
        yield Fault("cors-credentials-wildcard", what, NOBODY)
    elif _sends_cookies(target) and not with_cookies:
        yield Fault(
            "cors-origin-wrong", "Access-Control-Allow-Credentials is not true for a read with cookies"
        )
    varies = {name.strip().lower() for name in (answer.get("Vary") or "").split(",")}
    if allowed != "*" and not varies & {"origin", "*"}:
        yield Fault("vary-origin-missing", f"Vary is {quote_header(answer, 'Vary')}")


def _exposure_faults(file: FileState, answer: Answer) -> list[Fault]:
    value = answer.get("Access-Control-Expose-Headers") or ""
    listed = {name.strip().lower() for name in value.split(",")}
    if "*" in listed and not _sends_cookies(file.target):
        return []
    hidden = [name for name in _NEEDED if name in answer.headers and name not in listed]
    if not hidden:
        return []
    concerned = NOBODY.union(*(_NEEDED[name] for name in hidden))
    if "etag" in hidden and answer.get("Last-Modified") is None:
        concerned |= _NEEDS_VALIDATOR
    return [Fault("cors-not-exposed", f"the page cannot see {', '.join(hidden)}", concerned)]


def _check_failed(target: Target, answer: Answer) -> Tried:
    allowed = answer.get(_ALLOWED)
    what = f"Access-Control-Allow-Origin of HTTP {answer.status} is {quote_header(answer, _ALLOWED)}"
    faults = () if allowed in (target.page, "*", "null") else (Fault("cors-missing-on-errors", what),)
    return Tried("CORS", "an error", f"HTTP {answer.status}", faults)
