"""Evaluates conditional requests in the order of RFC 9110 §13.2.2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from werkzeug.http import parse_date, parse_etags, unquote_etag

IF_RANGE_LIMIT = 256
ETAG_LIST_LIMIT = 16 * 1024
DATE_LIMIT = 128
_EARLY_YEAR = re.compile(r" (0[0-9]{3}) ")
_TWO_DIGIT_YEAR = re.compile(r"[0-9]-[A-Za-z]{3}-([0-9]{2}) ")


def quoted(etag: str) -> str:
    """Return an entity tag with its quotes (RFC 9110 §8.8.3), which some stores omit."""
    bare = etag.strip()
    return bare if bare.startswith(('"', 'W/"')) else f'"{bare}"'


class Decision(Enum):
    """The result of evaluating a conditional request."""

    PROCEED = "proceed"
    PROCEED_WHOLE = "proceed, but ignore Range"
    NOT_MODIFIED = "304"
    FAILED = "412"


@dataclass(frozen=True)
class Validators:
    """The validators of the current version: `etag` strong and quoted, `last_modified` aware, in seconds.

    Without a date, conditions with dates are ignored (RFC 9110 §13.1.3, §13.1.4), and If-Range with a date is
    false (§13.1.5).
    """

    etag: str
    last_modified: datetime | None


@dataclass(frozen=True)
class Conditions:
    """The raw values of the conditional headers; None if absent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None
    if_range: str | None = None


def decide(conditions: Conditions, current: Validators) -> Decision:
    """Evaluate the conditions of a GET or HEAD against the current version.

    A header that exceeds its length limit never matches: If-Match fails, If-None-Match and If-Range are
    false. A date that is malformed or too long is ignored (RFC 9110 §13.1.3, §13.1.4).
    """
    if not _if_match_passes(conditions, current):
        return Decision.FAILED
    if _is_unmodified(conditions, current):
        return Decision.NOT_MODIFIED
    if conditions.if_range is not None and not _if_range_matches(conditions.if_range, current):
        return Decision.PROCEED_WHOLE
    return Decision.PROCEED


def _if_match_passes(conditions: Conditions, current: Validators) -> bool:
    if conditions.if_match is not None:
        return _etag_matches(conditions.if_match, current.etag, weakly=False)
    unmodified_since, modified = _parse_date(conditions.if_unmodified_since), current.last_modified
    return unmodified_since is None or modified is None or modified <= unmodified_since


def _is_unmodified(conditions: Conditions, current: Validators) -> bool:
    if conditions.if_none_match is not None:
        return _etag_matches(conditions.if_none_match, current.etag, weakly=True)
    modified_since, modified = _parse_date(conditions.if_modified_since), current.last_modified
    return modified_since is not None and modified is not None and modified <= modified_since


def _if_range_matches(if_range: str, current: Validators) -> bool:
    text = if_range.strip(" \t")
    if len(if_range) > IF_RANGE_LIMIT:
        return False
    if text.startswith('"'):
        return text == current.etag
    date, modified = _parse_date(text), current.last_modified
    return date is not None and modified is not None and modified <= date


def _etag_matches(header: str, etag: str, *, weakly: bool) -> bool:
    if len(header) > ETAG_LIST_LIMIT:
        return False
    tags = parse_etags(header.strip(" \t"))
    value, _ = unquote_etag(etag)
    return tags.contains_weak(value) if weakly else tags.contains(value)


def _parse_date(header: str | None) -> datetime | None:
    if header is None or len(header) > DATE_LIMIT:
        return None
    try:
        date = parse_date(header)
        return date and _correct_year(date, header)
    except (OverflowError, ValueError):
        # The standard library's parser accepts numbers that are out of range for a datetime.
        return None


def _correct_year(date: datetime, header: str) -> datetime:
    """Correct the year by RFC 9110 §5.6.7: the parser misreads two-digit years and 00xx."""
    four_digits = _EARLY_YEAR.search(header)
    if four_digits:
        return date.replace(year=int(four_digits[1]))
    two_digits = _TWO_DIGIT_YEAR.search(header)
    if not two_digits:
        return date
    this_year = datetime.now(UTC).year
    year = this_year // 100 * 100 + int(two_digits[1])
    return date.replace(year=year - 100 if year > this_year + 50 else year)
