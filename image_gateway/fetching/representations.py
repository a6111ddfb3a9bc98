"""Checks the headers of an answer and tells which bytes of which version its body holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from email.message import Message
from email.utils import parsedate_to_datetime

from image_gateway.errors import SourceRefused
from image_gateway.fetching.pinned_connection import Answer

_RETRYABLE = (408, 425, 429, 500, 502, 503, 504)
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,18})", re.IGNORECASE)


@dataclass(frozen=True)
class Representation:
    """What an answer's headers say.

    Args:
        start: Offset of the body's first byte.
        length: Bytes of the body; None when only the end of the chunked body tells.
        size: Bytes of the whole file, when known.
        etag: The ETag, when it is a strong one.
        last_modified: `Last-Modified`, when it identifies a version (RFC 9110 §8.8.2.2).
        accepts_ranges: The server says that it answers ranges.
    """

    start: int
    length: int | None
    size: int | None
    etag: str | None
    last_modified: str | None
    accepts_ranges: bool


def represent(answer: Answer, *, is_range: bool) -> Representation:
    """Return what an answer with status 200 or, to a range, 206 holds.

    Raises:
        SourceRefused: The status, the encoding or the lengths cannot be used.
    """
    if answer.status not in ((200, 206) if is_range else (200,)):
        retryable = answer.status in _RETRYABLE
        raise SourceRefused(f"{answer.host} answered with status {answer.status}", retryable=retryable)
    _check_encoding(answer)
    length = _content_length(answer)
    start, size = 0, length
    if answer.status == 206:
        start, length, size = _content_range(answer, length)
    accepts = answer.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
    return Representation(
        start,
        length,
        size,
        _etag(answer.headers),
        _last_modified(answer.headers),
        accepts or answer.status == 206,
    )


def unsatisfied_size(answer: Answer) -> int | None:
    """Return the size of the file that a 416 tells (RFC 9110 §14.4)."""
    match = _UNSATISFIED.fullmatch(answer.headers.get("Content-Range", "").strip())
    return int(match[1]) if match else None


def _check_encoding(answer: Answer) -> None:
    encodings = [value.strip().lower() for value in answer.headers.get_all("Content-Encoding", [])]
    if any(value not in ("", "identity") for value in encodings):
        raise _refused(answer, "a Content-Encoding that was not asked for")
    if "Transfer-Encoding" in answer.headers and not answer.is_chunked:
        raise _refused(answer, "a Transfer-Encoding other than chunked")


def _content_length(answer: Answer) -> int | None:
    # RFC 9112 §6.3: a chunked body has no other length.
    if answer.is_chunked:
        return None
    values = {value.strip() for value in answer.headers.get_all("Content-Length", [])}
    if not values:
        # The end of such a body looks like a broken connection.
        raise _refused(answer, "a body without a length")
    value = values.pop()
    if values or not _LENGTH.fullmatch(value):
        raise _refused(answer, "an invalid Content-Length")
    return int(value)


def _content_range(answer: Answer, length: int | None) -> tuple[int, int, int]:
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if match is None:
        raise _refused(answer, "status 206 without a usable Content-Range")
    start, last = int(match[1]), int(match[2])
    # Ranges without an end were asked for, so a range ends where the file does.
    size = last + 1 if match[3] == "*" else int(match[3])
    if start > last or last != size - 1 or length not in (None, last + 1 - start):
        raise _refused(answer, "a Content-Range that contradicts the request or the length")
    return start, last + 1 - start, size


def _etag(headers: Message) -> str | None:
    etag = str(headers.get("ETag", "")).strip()
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def _last_modified(headers: Message) -> str | None:
    value, sent = str(headers.get("Last-Modified", "")).strip(), str(headers.get("Date", ""))
    try:
        modified = parsedate_to_datetime(value)
        # A file that changes twice in one second has one date for two versions.
        return value if modified <= parsedate_to_datetime(sent) - timedelta(seconds=1) else None
    except (ValueError, TypeError):
        return None


def _refused(answer: Answer, what: str) -> SourceRefused:
    return SourceRefused(f"{answer.host} sent {what}", retryable=False)
