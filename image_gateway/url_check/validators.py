"""Checks of ETag, Last-Modified and conditional requests (RFC 9110 sections 8.8 and 13)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from image_gateway.url_check.answers import quote_header
from image_gateway.url_check.codes import NOBODY, Fault, Tried
from image_gateway.url_check.target import FileState

_ETAG = re.compile(r'(W/)?"[!#-~\x80-\xff]*"')
_IMF_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT", re.ASCII
)
# An ETag that no server has made.
_OTHER = '"image-gateway-check-other-version"'
_MOST_CLOCK_SKEW = timedelta(days=1)


def check_validators(file: FileState) -> Iterator[Tried]:
    """Try validators and conditional requests; those that need what the server does not send are left out."""
    file.send("GET")
    yield Tried("validators", "ETag", quote_header(file.opened, "ETag"), tuple(_etag_faults(file)))
    yield Tried(
        "validators", "Last-Modified", quote_header(file.opened, "Last-Modified"), tuple(_date_faults(file))
    )
    if file.etag is not None:
        yield _try_none_match(file, file.etag)
        yield _try_match(file)
        if file.takes_ranges:
            yield _try_if_range(file)
    if _parse_date(file.last_modified) is not None:
        yield _try_modified_since(file, file.last_modified or "")


def _etag_faults(file: FileState) -> Iterator[Fault]:
    etag = file.etag
    if etag is None:
        # One validator is enough for those that need one.
        yield Fault("etag-missing", "there is no ETag", NOBODY if file.last_modified else None)
        return
    if len(set(file.etags)) > 1:
        yield Fault("etag-unstable", f"{len(file.etags)} answers have {len(set(file.etags))} different ETags")
    match = _ETAG.fullmatch(etag)
    if match is None:
        yield Fault("etag-unquoted", f"ETag is {quote_header(file.opened, 'ETag')}")
    elif match[1]:
        yield Fault("etag-weak", f"ETag is {quote_header(file.opened, 'ETag')}")


def _date_faults(file: FileState) -> Iterator[Fault]:
    if file.last_modified is None:
        yield Fault("last-modified-missing", "there is no Last-Modified")
        return
    date = _parse_date(file.last_modified)
    if date is None:
        yield Fault("last-modified-invalid", f"Last-Modified is {quote_header(file.opened, 'Last-Modified')}")
    elif date > datetime.now(UTC) + _MOST_CLOCK_SKEW:
        yield Fault(
            "last-modified-invalid",
            f"Last-Modified is in the future: {quote_header(file.opened, 'Last-Modified')}",
        )


def _parse_date(value: str | None) -> datetime | None:
    if value is None or not _IMF_DATE.fullmatch(value.strip()):
        return None
    try:
        return parsedate_to_datetime(value)
    except ValueError:
        return None


def _try_none_match(file: FileState, etag: str) -> Tried:
    answer = file.send("GET", {"If-None-Match": etag})
    faults: tuple[Fault, ...] = ()
    if answer.status == 200:
        faults = (
            Fault("if-none-match-ignored", "If-None-Match with the current ETag was answered with 200"),
        )
    elif answer.status != 304:
        faults = (Fault("if-none-match-ignored", f"If-None-Match was answered with HTTP {answer.status}"),)
    elif answer.get("ETag") is None:
        faults = (Fault("not-modified-without-validators", "the 304 has no ETag, the 200 has"),)
    return Tried("validators", "If-None-Match", f"HTTP {answer.status}", faults)


def _try_match(file: FileState) -> Tried:
    answer = file.send("GET", {"If-Match": _OTHER})
    what = f"If-Match with another ETag was answered with HTTP {answer.status}, not 412"
    faults = (Fault("if-match-ignored", what),) if answer.status != 412 else ()
    return Tried("validators", "If-Match", f"HTTP {answer.status}", faults)


def _try_if_range(file: FileState) -> Tried:
    answer = file.send("GET", {"If-Range": _OTHER, "Range": "bytes=0-0"})
    what = f"If-Range with another ETag was answered with HTTP {answer.status}, not 200 and the whole file"
    faults = (Fault("if-range-ignored", what),) if answer.status != 200 else ()
    return Tried("validators", "If-Range", f"HTTP {answer.status}", faults)


def _try_modified_since(file: FileState, date: str) -> Tried:
    answer = file.send("GET", {"If-Modified-Since": date})
    what = f"If-Modified-Since with the date of Last-Modified was answered with HTTP {answer.status}, not 304"
    faults = (Fault("if-modified-since-ignored", what),) if answer.status != 304 else ()
    return Tried("validators", "If-Modified-Since", f"HTTP {answer.status}", faults)
