"""Requests to hold against tests/support/rfc9110.py: what is valid, on the edge, or garbage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from hypothesis import strategies as st

from tests.support.rfc9110 import Answer, Entity

Case = tuple[str, dict[str, str]]


@st.composite
def cases(draw: st.DrawFn, entity: Entity, *, overlong: bool = True) -> Case:
    """A method, and headers that may be sent to read an entity."""
    sources = {
        "Range": ranges(len(entity.data)),
        "If-Range": st.one_of(etag_lists(entity.etag), dates(entity.modified)),
        "If-Match": etag_lists(entity.etag),
        "If-None-Match": etag_lists(entity.etag),
        "If-Modified-Since": dates(entity.modified),
        "If-Unmodified-Since": dates(entity.modified),
    }
    # Half of all cases have no more than a Range and one condition: many at once decide early.
    chosen = draw(st.sampled_from(_CHOICES))
    headers = {name: draw(sources[name]) for name in chosen}
    if overlong and draw(st.integers(0, 40)) == 0 and headers:
        name = draw(st.sampled_from(sorted(headers)))
        headers[name] += draw(st.sampled_from([" ", "x", ","])) * draw(st.sampled_from([130, 260, 17_000]))
    return draw(st.sampled_from(["GET", "GET", "GET", "HEAD"])), headers


# Around it are the dates that are sent to what has none.
_SOME_TIME = 1_795_374_001
_CONDITIONS = ["If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"]
_CHOICES: list[list[str]] = [
    *[["Range"]] * 6,
    *[["Range", "If-Range"]] * 4,
    *([name] for name in _CONDITIONS),
    *(["Range", name] for name in _CONDITIONS),
    *(["Range", first, second] for first in _CONDITIONS for second in _CONDITIONS if first < second),
    ["If-None-Match", "If-Modified-Since"],
    ["If-Match", "If-Unmodified-Since"],
    ["Range", *_CONDITIONS],
    _CONDITIONS,
]

_DIGITS = st.sampled_from(
    ["0", "00", "9" * 20, "9" * 4400, "18446744073709551616", "1e3", "+1", "0x1", "²", "٣"]
)
_UNITS = st.sampled_from(
    ["bytes"] * 12 + ["Bytes", "BYTES", " bytes", "bytes\t", "items", "byte", "", "b ytes"]
)
_ODD_RANGES = [
    "",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=--1",
    "bytes=1",
    "bytes=0-0,",
    "bytes=,0-0",
    "bytes=0-0,-1",
    "bytes=0-1,3-4, 5-",
    "bytes=0 -1",
    "bytes==0-1",
    "bytes: 0-1",
    "bytes=0-1;q=1",
    "bytes 0-1/5",
    "bytes=*",
    "=0-1",
    "nonsense",
    "items=0-1",
    "none",
]


@lru_cache
def ranges(size: int) -> st.SearchStrategy[str]:
    """Ranges in bytes around the edges of a body, in odd spellings and of odd units."""
    edges = st.sampled_from([0, 1, size // 2, max(size - 1, 0), size, size + 1, 10 * size, 2**63, 2**64])
    numbers = st.one_of(st.integers(0, size + 2).map(str), edges.map(str), edges.map(lambda n: f"000{n}"))
    number = st.one_of(numbers, numbers, numbers, _DIGITS.map(_latin))
    both = st.tuples(_UNITS, number, number).map(lambda t: f"{t[0]}={t[1]}-{t[2]}")
    first = st.tuples(_UNITS, number).map(lambda t: f"{t[0]}={t[1]}-")
    suffix = st.tuples(_UNITS, number).map(lambda t: f"{t[0]}=-{t[1]}")
    padded = both.map(lambda text: "\t" + text.replace("=", " = ") + " ")
    several = st.lists(both, min_size=2, max_size=3).map(",".join)
    return st.one_of(
        both, both, both, first, first, suffix, padded, several, st.sampled_from(_ODD_RANGES), _garbage()
    )


def _latin(text: str) -> str:
    """Bytes of UTF-8 as WSGI hands them on."""
    return text.encode().decode("latin-1")


def _garbage() -> st.SearchStrategy[str]:
    alphabet = st.sampled_from('abzBW/"*,;=- 0159\t:~\xe9\xff')
    return st.text(alphabet, max_size=20)


@lru_cache
def etag_lists(etag: str) -> st.SearchStrategy[str]:
    """Lists of entity tags, some of them the current one, and what looks like it."""
    right = [etag, f"W/{etag}"]
    others = ['"other"', 'W/"other"', '""', 'W/""', '"a,b"', '"\xe9"', '"W/"', '"*"', etag.upper(), '"a b"']
    odd = [
        "*",
        "W/*",
        f"w/{etag}",
        f"W/ {etag}",
        etag.strip('"'),
        etag[:-1],
        etag[1:],
        f"{etag}x",
        f'"{etag}"',
    ]
    odd += [f"'{etag}'", f"W{etag}", f"{etag}{etag}", f'"x" {etag}', "garbage", "", f'"\\{etag}']
    member = st.sampled_from(right * 3 + others * 2)
    separator = st.sampled_from([", ", ", ", ",", " , ", ",,", ",\t, "])
    lists = st.tuples(st.lists(member, min_size=1, max_size=5), separator).map(lambda t: t[1].join(t[0]))
    dangling = st.tuples(separator, lists, separator).map("".join)
    mixed = st.tuples(st.lists(st.one_of(member, st.sampled_from(odd)), max_size=4), separator)
    return st.one_of(
        st.sampled_from(right),
        st.sampled_from(right),
        st.just("*"),
        lists,
        lists,
        dangling,
        st.sampled_from(["*", " * ", *odd]),
        mixed.map(lambda t: t[1].join(t[0])),
        _garbage(),
    )


_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def imf(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


def rfc850(moment: datetime) -> str:
    return moment.strftime("%A, %d-%b-%y %H:%M:%S GMT")


def asctime(moment: datetime) -> str:
    return moment.strftime(f"%a %b {moment.day:2d} %H:%M:%S %Y")


_FORMATS: list[Callable[[datetime], str]] = [
    imf,
    imf,
    imf,
    rfc850,
    asctime,
    lambda moment: f" {imf(moment)}\t",
    lambda moment: imf(moment).lower(),
    lambda moment: imf(moment).replace("GMT", "+0000"),
    lambda moment: imf(moment).replace("GMT", "+0100"),
    lambda moment: imf(moment).replace("GMT", "UTC"),
    lambda moment: imf(moment).removesuffix(" GMT"),
    lambda moment: imf(moment)[5:],
    lambda moment: imf(moment + timedelta(days=1))[:3] + imf(moment)[3:],
    lambda moment: imf(moment)[:-6] + "60 GMT",
    lambda moment: imf(moment).replace(" 2", " 92", 1),
    lambda moment: f"{imf(moment)}, {imf(moment)}",
    lambda moment: moment.isoformat(),
    lambda moment: str(int(moment.timestamp())),
]
_OFFSETS = [0, 0, 1, -1, 59, -59, 3600, -3600, 86_400, -86_400, 400 * 86_400, -400 * 86_400]
_FIXED = [
    "",
    "0",
    "-1",
    "not a date",
    "yesterday",
    "GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "Mon, 30 Feb 2026 00:00:00 GMT",
    "Sun, 22 Nov 2026 24:00:00 GMT",
    "Sun, 22 Nov 2026 19:60:00 GMT",
    "Sun, 22 Nov 99999999999999999999 19:00:00 GMT",
    '"Sun, 22 Nov 2026 19:00:01 GMT"',
    "*",
    '"etag"',
]


@lru_cache
def dates(modified: int | None) -> st.SearchStrategy[str]:
    """Dates around a moment in the three formats of HTTP, in others, and what is none."""
    moment = datetime.fromtimestamp(_SOME_TIME if modified is None else modified, UTC)
    near = st.tuples(st.sampled_from(_OFFSETS), st.sampled_from(_FORMATS)).map(
        lambda drawn: drawn[1](moment + timedelta(seconds=drawn[0]))
    )
    return st.one_of(near, near, near, near, st.sampled_from(_FIXED), _garbage())


def seen(status: int, headers: object, body: bytes) -> Answer:
    """An answer as the model tells it."""
    if status in (412, 413):
        return Answer(status)
    get: Callable[[str], str | None] = headers.get  # type: ignore[attr-defined]
    return Answer(status, get("Content-Range"), get("Content-Length"), get("ETag"), body)
