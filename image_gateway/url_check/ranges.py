"""Checks of byte ranges (RFC 9110 section 14): which bytes come, and what the answer says about them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from image_gateway.url_check.answers import Answer, quote_header
from image_gateway.url_check.codes import Fault, Tried
from image_gateway.url_check.target import FileState

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.ASCII)
_BLOCK = 64 * 1024
_MULTIPART_READ = 4096
# Where these are wrong, so is every other range.
_BREAKS_EACH = frozenset(
    {"range-wrong-bytes", "content-range-wrong", "range-length-wrong", "body-shorter", "no-ranges"}
)


def check_ranges(file: FileState) -> Iterator[Tried]:
    """Try ranges: backwards from the end to the start, then beyond the end, and others that are special."""
    if file.size is None:
        yield _learn_size(file)
    if not file.size:
        yield Tried(
            "ranges", "all", skipped="the file is empty" if file.size == 0 else "the size is not known"
        )
        return
    plain = [_try_plain(file, *_last_block(file.size), "last bytes")]
    if file.takes_ranges:
        plain += _try_middle(file, file.size)
    yield from plain
    if not file.takes_ranges:
        return
    if any(fault.code in _BREAKS_EACH for tried in plain for fault in tried.faults):
        yield Tried("ranges", "suffixes, and over the end", skipped="plain ranges are wrong already")
    else:
        yield _try_suffix(file, file.size)
        yield _try_end(file, file.size)
    yield _try_beyond(file, file.size)
    yield _try_several(file, file.size)
    yield _try_reversed(file, file.size)
    yield _check_accept_ranges(file)


def parse_content_range(value: str | None) -> tuple[int, int, int | None] | None:
    """Return first and last byte and the size (None for `*`), or None if the value is malformed."""
    match = _CONTENT_RANGE.fullmatch((value or "").strip())
    if match is None:
        return None
    return int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])


def block_size(size: int) -> int:
    """Return the length of the ranges that are tried."""
    return min(_BLOCK, max(1, size // 4))


def _last_block(size: int) -> tuple[int, int]:
    return size - block_size(size), size - 1


def _learn_size(file: FileState) -> Tried:
    """Learn the size from a range, since no Content-Length tells it."""
    answer = file.read_range("0-0", 1)
    parsed = parse_content_range(answer.get("Content-Range")) if answer.status == 206 else None
    if parsed and parsed[2] is not None:
        file.size = parsed[2]
        return Tried("ranges", "size", f"{file.size} bytes")
    faults = [Fault("size-unknown", "neither Content-Length nor Content-Range tells the size")]
    if parsed:
        faults.append(Fault("content-range-unknown-total", "Content-Range has * in place of the size"))
    if answer.status == 200:
        file.takes_ranges = False
        faults.append(Fault("no-ranges", "bytes=0-0 was answered with 200 and the whole file"))
    return Tried("ranges", "size", faults=tuple(faults))


def _try_plain(file: FileState, first: int, last: int, name: str) -> Tried:
    """Try one range that lies within the file."""
    answer = file.read_range(f"{first}-{last}", last - first + 2)
    faults = _faults_of(file, answer, first, last)
    if answer.status != 206:
        file.takes_ranges = bool(file.takes_ranges)
        return Tried("ranges", name, faults=tuple(faults))
    file.takes_ranges = True
    return Tried("ranges", name, f"bytes {first}-{last}", tuple(faults))


def _faults_of(file: FileState, answer: Answer, first: int, last: int) -> list[Fault]:
    """Return what is wrong with the answer to a range within the file."""
    spec = f"bytes={first}-{last}"
    if answer.status == 200:
        return [Fault("no-ranges", f"{spec} was answered with 200 and the whole file")]
    if answer.status != 206:
        return [Fault("status", f"{spec} was answered with HTTP {answer.status}")]
    faults = [*_content_range_faults(file, answer, first, last), *_length_faults(answer, first, last)]
    if answer.is_encoded:
        return [
            *faults,
            Fault(
                "content-encoding",
                f"{spec} was answered with Content-Encoding {quote_header(answer, 'Content-Encoding')}",
            ),
        ]
    differs = file.differs(first, answer.body[: last - first + 1])
    if differs is not None:
        faults.append(Fault("range-wrong-bytes", f"{spec}: byte {differs} differs from that of another read"))
    return faults


def _content_range_faults(file: FileState, answer: Answer, first: int, last: int) -> Iterator[Fault]:
    value = answer.get("Content-Range")
    parsed = parse_content_range(value)
    if value is None:
        yield Fault("content-range-missing", f"206 to bytes={first}-{last} has no Content-Range")
    elif parsed is None or parsed[:2] != (first, last):
        shown = quote_header(answer, "Content-Range")
        yield Fault("content-range-wrong", f"bytes={first}-{last} was answered with Content-Range {shown}")
    elif parsed[2] is None:
        yield Fault("content-range-unknown-total", "Content-Range has * in place of the size")
    elif parsed[2] != file.size:
        yield Fault(
            "content-range-wrong",
            f"Content-Range says {parsed[2]} bytes, Content-Length of the file {file.size}",
        )


def _length_faults(answer: Answer, first: int, last: int) -> Iterator[Fault]:
    wanted = last - first + 1
    spec = f"bytes={first}-{last}"
    if "Transfer-Encoding" in answer.headers:
        yield Fault("range-chunked", f"206 to {spec} has Transfer-Encoding and no length")
    elif answer.length is None:
        yield Fault("range-chunked", f"206 to {spec} has no Content-Length")
    elif answer.length != wanted:
        yield Fault("range-length-wrong", f"{spec}: Content-Length is {answer.length}, not {wanted}")
        return
    if answer.is_cut:
        yield Fault(
            "body-shorter", f"{spec}: the connection ended after {len(answer.body)} of {wanted} bytes"
        )
    elif len(answer.body) != wanted:
        count = len(answer.body) if len(answer.body) < wanted else f"more than {wanted}"
        yield Fault("range-length-wrong", f"{spec}: the body has {count} bytes")


def _try_middle(file: FileState, size: int) -> list[Tried]:
    """Try a range in the middle, one within it that begins elsewhere, and the first bytes."""
    block = block_size(size)
    start = (size - block) // 2
    inner, second = start + block // 3, min(1, size - 1)
    return [
        _try_plain(file, start, start + block - 1, "bytes in the middle"),
        _try_plain(file, inner, max(inner, start + block - 2), "bytes in the middle, again"),
        _try_plain(file, second, max(block // 2, second), "first bytes but one"),
        _try_plain(file, 0, 0, "first byte"),
    ]


def _try_suffix(file: FileState, size: int) -> Tried:
    faults = []
    for count in (block_size(size), size + 1):
        wanted = min(count, size)
        answer = file.read_range(f"-{count}", min(wanted, _BLOCK))
        problem = _suffix_problem(file, answer, size, wanted)
        if problem:
            faults.append(Fault("suffix-range-wrong", f"bytes=-{count}: {problem}"))
            break
    return Tried("ranges", "last bytes by a suffix", faults=tuple(faults))


def _suffix_problem(file: FileState, answer: Answer, size: int, wanted: int) -> str | None:
    if answer.status == 200 and wanted == size:
        return None
    if answer.status != 206:
        return f"HTTP {answer.status}, not 206"
    value = answer.get("Content-Range")
    parsed = parse_content_range(value)
    if value is not None and (parsed is None or parsed[:2] != (size - wanted, size - 1)):
        return f"Content-Range is {quote_header(answer, 'Content-Range')}"
    if answer.length is not None and answer.length != wanted:
        return f"Content-Length is {answer.length}, not {wanted}"
    if not answer.is_encoded and file.differs(size - wanted, answer.body) is not None:
        return "the bytes are not the last ones"
    return None


def _try_end(file: FileState, size: int) -> Tried:
    """Try a range without an end, and one whose end lies beyond the file."""
    first, last = _last_block(size)
    count = last - first + 1
    faults: list[Fault] = []
    answer = file.read_range(f"{first}-", count + 1)
    faults += _faults_of(file, answer, first, last)
    beyond = last + block_size(size)
    answer = file.read_range(f"{first}-{beyond}", count + 1)
    parsed = parse_content_range(answer.get("Content-Range"))
    length = answer.length if answer.length is not None else count
    is_clipped = answer.status == 206 and (parsed is None or parsed[:2] == (first, last)) and length == count
    if not is_clipped or len(answer.body) != count:
        seen = quote_header(answer, "Content-Range")
        got = f"HTTP {answer.status}, Content-Range {seen}, {len(answer.body)} bytes"
        what = f"bytes={first}-{beyond} of {size}: {got}"
        faults.append(Fault("range-not-clipped", what))
    return Tried("ranges", "to the end, and over it", faults=tuple(faults))


def _try_beyond(file: FileState, size: int) -> Tried:
    answer = file.read_range(f"{size}-{size + 511}", 0)
    faults = []
    if answer.status != 416:
        what = f"bytes={size}-{size + 511} of {size} was answered with HTTP {answer.status}"
        faults.append(Fault("range-beyond-end-not-416", what))
    elif (answer.get("Content-Range") or "").strip() != f"bytes */{size}":
        shown = quote_header(answer, "Content-Range")
        faults.append(
            Fault("unsatisfied-without-size", f"Content-Range of the 416 is {shown}, not 'bytes */{size}'")
        )
    return Tried("ranges", "beyond the end", faults=tuple(faults))


def _try_several(file: FileState, size: int) -> Tried:
    name = "several ranges"
    if size < 64:
        return Tried("ranges", name, skipped="the file is too small")
    answer = file.read_range("0-9,20-29", _MULTIPART_READ)
    if answer.status in (200, 416):
        return Tried("ranges", name, f"HTTP {answer.status}")
    problem = _multipart_problem(file, answer)
    faults = (Fault("multiple-ranges-wrong", f"bytes=0-9,20-29: {problem}"),) if problem else ()
    return Tried("ranges", name, "" if faults else "multipart/byteranges", faults)


def _multipart_problem(file: FileState, answer: Answer) -> str | None:
    kind = (answer.get("Content-Type") or "").partition(";")[0].strip().lower()
    if answer.status != 206:
        return f"HTTP {answer.status}"
    if kind != "multipart/byteranges":
        return f"206 with {quote_header(answer, 'Content-Range')} only"
    start = next((data for first, data in file.seen if first == 0 and len(data) >= 30), None)
    wanted = [start[0:10], start[20:30]] if start else []
    if answer.body.lower().count(b"content-range:") != 2 or not all(part in answer.body for part in wanted):
        return "the parts are not those that were asked for"
    return None


def _try_reversed(file: FileState, size: int) -> Tried:
    if size < 10:
        return Tried("ranges", "a reversed range", skipped="the file is too small")
    answer = file.read_range("9-1", 0)
    faults = (
        (Fault("reversed-range-accepted", "bytes=9-1 was answered with 206"),) if answer.status == 206 else ()
    )
    return Tried("ranges", "a reversed range", f"HTTP {answer.status}", faults)


def _check_accept_ranges(file: FileState) -> Tried:
    value = file.opened.get("Accept-Ranges")
    faults: tuple[Fault, ...] = ()
    if value is None:
        faults = (Fault("accept-ranges-missing", "Accept-Ranges is absent, though there are ranges"),)
    elif value.strip().lower() != "bytes":
        faults = (
            Fault(
                "accept-ranges-none",
                f"Accept-Ranges is {quote_header(file.opened, 'Accept-Ranges')}, though there are ranges",
            ),
        )
    return Tried("ranges", "Accept-Ranges", faults=faults)
