"""What RFC 9110 (§13, §14) and ../shared/spec/http-contract.md say a read must be answered.

Written from these two alone and importing nothing of the gateway. Where they leave it open, because a
header is malformed in a way that a lenient reader could understand, more than one answer is right.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

OWS = " \t"
MAX_RANGE = 16 * 1024
MAX_ETAGS = 16 * 1024
MAX_IF_RANGE = 256
MAX_DATE = 128

YES, NO, OPEN = frozenset({True}), frozenset({False}), frozenset({True, False})
Verdict = frozenset[bool]


@dataclass(frozen=True)
class Entity:
    """The selected representation: its bytes, strong ETag, and Last-Modified in epoch seconds, if it has one.

    Without, dates are ignored (§13.1.3, §13.1.4), and If-Range with a date is false (§13.1.5).
    """

    data: bytes
    etag: str
    modified: int | None


@dataclass(frozen=True)
class Answer:
    """What can be seen of an answer; of refusals only the status."""

    status: int
    content_range: str | None = None
    content_length: str | None = None
    etag: str | None = None
    body: bytes | None = None


def right_answers(method: str, headers: Mapping[str, str], entity: Entity) -> set[Answer]:
    """All right answers to a GET or HEAD; header names as the RFC spells them."""
    if len(headers.get("Range", "")) > MAX_RANGE:
        return {Answer(413)}
    verdicts = product(
        _goes_on(headers, entity), _is_not_modified(headers, entity), _takes_range(headers, entity)
    )
    return {_answer(method, headers, entity, *verdict) for verdict in verdicts}


def _answer(
    method: str,
    headers: Mapping[str, str],
    entity: Entity,
    goes_on: bool,
    not_modified: bool,
    takes_range: bool,
) -> Answer:
    """§13.2.2, the precedence of preconditions."""
    if not goes_on:
        return Answer(412)
    if not_modified:
        return Answer(304, etag=entity.etag, body=b"")
    size = len(entity.data)
    whole = Answer(200, None, str(size), entity.etag, entity.data)
    if method == "HEAD":
        return Answer(200, None, str(size), entity.etag, b"")
    if "Range" not in headers or not takes_range:
        return whole
    wanted = _range(headers["Range"], size)
    if wanted == "ignore":
        return whole
    if wanted is None:
        return Answer(416, f"bytes */{size}", "0", entity.etag, b"")
    first, last = wanted
    data = entity.data[first : last + 1]
    return Answer(206, f"bytes {first}-{last}/{size}", str(len(data)), entity.etag, data)


# §14.2 Range; the contract makes 416 of what the RFC lets a server ignore or refuse


def _range(field: str, size: int) -> tuple[int, int] | str | None:
    """First and last byte; None when there are none to send."""
    unit, _, spec = field.partition("=")
    if unit.strip(OWS).lower() != "bytes":
        return "ignore"
    spec = spec.strip(OWS)
    if re.fullmatch("[0-9]+-[0-9]*", spec):
        first, last = (_decimal(text) for text in spec.split("-"))
        assert first is not None
        if first >= size or (last is not None and last < first):
            return None
        return first, size - 1 if last is None else min(last, size - 1)
    if re.fullmatch("-[0-9]+", spec):
        suffix = _decimal(spec[1:]) or 0
        return (max(size - suffix, 0), size - 1) if suffix and size else None
    return None


def _decimal(digits: str) -> int | None:
    """However many digits; beyond a million bytes it makes no difference how far."""
    if not digits:
        return None
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) < 50 else 10**50


# §13.1 the preconditions


def _goes_on(headers: Mapping[str, str], entity: Entity) -> Verdict:
    """Steps 1 and 2: If-Match, or else If-Unmodified-Since."""
    if "If-Match" in headers:
        return _matches(headers["If-Match"], entity.etag, weakly=False)
    if "If-Unmodified-Since" in headers:
        return _not_after(entity.modified, headers["If-Unmodified-Since"], ignored=YES)
    return YES


def _is_not_modified(headers: Mapping[str, str], entity: Entity) -> Verdict:
    """Steps 3 and 4: If-None-Match, or else If-Modified-Since."""
    if "If-None-Match" in headers:
        return _matches(headers["If-None-Match"], entity.etag, weakly=True)
    if "If-Modified-Since" in headers:
        return _not_after(entity.modified, headers["If-Modified-Since"], ignored=NO)
    return NO


def _takes_range(headers: Mapping[str, str], entity: Entity) -> Verdict:
    """Step 5: If-Range; by the contract a date need not be equal, only not older."""
    if "If-Range" not in headers:
        return YES
    field = headers["If-Range"].strip(OWS)
    if len(headers["If-Range"]) > MAX_IF_RANGE or field.startswith("W/"):
        return NO
    if field.startswith('"'):
        return YES if field == entity.etag else NO
    return _not_after(entity.modified, field, ignored=NO)


# §8.8.3 entity tags

_OPAQUE = '"[\x21\x23-\x7e\x80-\xff]*"'
_MEMBER = f"(?:(?:W/)?{_OPAQUE})?"
_LIST = re.compile(f"[ \t]*{_MEMBER}[ \t]*(?:,[ \t]*{_MEMBER}[ \t]*)*")
_TAG = re.compile(f"(W/)?({_OPAQUE})")


def _matches(field: str, etag: str, *, weakly: bool) -> Verdict:
    if len(field) > MAX_ETAGS:
        return NO
    if field.strip(OWS) == "*":
        return YES
    if _LIST.fullmatch(field) is None:
        # Malformed: nothing has to be found in it, and nothing can be that is not there.
        return OPEN if "*" in field or etag.strip('"') in field else NO
    found = any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(field))
    return YES if found else NO


# §5.6.7 dates

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SHORT = "|".join(day[:3] for day in _DAYS)
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMATS = [
    re.compile(f"(?P<weekday>{_SHORT}), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(
        f"(?P<weekday>{'|'.join(_DAYS)}), (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"
    ),
    re.compile(f"(?P<weekday>{_SHORT}) {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
]
_LIKE_A_DATE = re.compile("|".join(_MONTHS), re.IGNORECASE)


def _not_after(moment: int | None, field: str, *, ignored: Verdict) -> Verdict:
    """Whether a moment is at or before the field's date; `ignored` without a moment or a date."""
    if moment is None or len(field) > MAX_DATE:
        return ignored
    field = field.strip(OWS)
    match = next((found for form in _FORMATS if (found := form.fullmatch(field))), None)
    if match is None:
        # "Recipients of timestamp values are encouraged to be robust."
        return OPEN if _LIKE_A_DATE.search(field) else ignored
    numbers = {name: int(match[name]) for name in ("day", "year", "hour", "minute", "second")}
    if len(match["year"]) == 2:
        numbers["year"] = _year(numbers["year"])
    if numbers["second"] == 60:
        return OPEN
    try:
        date = datetime(month=_MONTHS.index(match["month"]) + 1, tzinfo=UTC, **numbers)
    except ValueError:
        return ignored
    if not _DAYS[date.weekday()].startswith(match["weekday"]):
        return OPEN
    return YES if moment <= calendar.timegm(date.timetuple()) else NO


def _year(two_digits: int) -> int:
    """More than 50 years ahead is the most recent year in the past with the same last two digits."""
    now = datetime.now(UTC).year
    year = now - now % 100 + two_digits
    return year - 100 if year > now + 50 else year
