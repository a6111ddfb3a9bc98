"""The views of an image that clients read by ranges: CheerpX's bytes, sql.js-httpvfs, and native tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from image_gateway.client.verify_requests import with_path
from image_gateway.client.verify_view_reads import (
    Head,
    Rules,
    ViewReader,
    check_size,
    count_blocks,
    length_of,
    linked,
    name_of,
    positive_number,
    total_of,
)
from image_gateway.protocol.verification import Problem, WrongAnswer
from image_gateway.protocol.view_verification import ViewBlock, ViewLayout, ViewSection

_WEBVM_BLOCK, _NATIVE_READ = 128 * 1024, 256 * 1024
# sql.js-httpvfs reads pages, and more at a time while it reads on.
_READ_AHEAD = 16


class HttpBytesDevice:
    """CheerpX's `HttpBytesDevice`: a probe of two bytes, then ranges of 128 KiB; the last is not clipped."""

    def __init__(self, reader: ViewReader, url: str) -> None:
        self.where = name_of(url)
        self._reader = reader
        self._url = url

    def open(self, size: int | None) -> ViewLayout:
        head = self._reader.probe(self._url, Rules(exposed=("content-range",)), "bytes=0-1")
        total = total_of(head.headers.get("content-range"))
        if not total:
            raise WrongAnswer("range", "Content-Range does not tell the size")
        problems = head.problems + check_size(self.where, total, size)
        if not any(self._reader.can_read(head, name) for name in ("etag", "last-modified")):
            text = "neither ETag nor Last-Modified can be read"
            problems.append(Problem(self.where, "etag", text))
        rules = Rules(exposed=("content-range",), size=total, etag=head.headers.get("etag"))
        section = _ranges(self._reader, self._url, total, _WEBVM_BLOCK, rules, is_clipped=False)
        return ViewLayout(total, [section], problems)


class HttpVfs:
    """sql.js-httpvfs with a configuration: ranges of the whole file, or of numbered pieces."""

    def __init__(self, reader: ViewReader, url: str) -> None:
        self.where = name_of(url)
        self._reader = reader
        self._url = url

    def open(self, size: int | None) -> ViewLayout:
        content, problems = self._reader.document(self._url)
        page = positive_number(content, "requestChunkSize")
        mode = content.get("serverMode")
        if mode == "full":
            url = linked(self._url, content.get("url"))
            layout = _open_plain(self._reader, url, size, page * _READ_AHEAD)
        elif mode == "chunked":
            layout = self._open_pieces(content, page, size)
        else:
            raise WrongAnswer("schema", "serverMode must be full or chunked")
        return ViewLayout(layout.size, layout.sections, problems + layout.problems)

    def _open_pieces(self, content: Mapping[str, Any], page: int, size: int | None) -> ViewLayout:
        total = positive_number(content, "databaseLengthBytes")
        piece = positive_number(content, "serverChunkSize")
        width = positive_number(content, "suffixLength")
        if width > 20:
            raise WrongAnswer("schema", "suffixLength must be at most 20")
        prefix = linked(self._url, content.get("urlPrefix"))

        def piece_url(number: int) -> str:
            return f"{prefix}{number:0{width}d}"

        def read(first: int, last: int) -> ViewBlock:
            number, start = divmod(first, piece)
            url, stop = piece_url(number), start + last - first
            return ViewBlock(
                f"{name_of(url)} bytes {start}-{stop}",
                (first,),
                last - first + 1,
                lambda: self._reader.byte_range(url, start, stop, Rules()),
            )

        def block(index: int) -> ViewBlock:
            first = index * length
            return read(first, min(first + length, total) - 1)

        def read_over_end(index: int) -> ViewBlock:
            """A page before the end of a piece, and one after it."""
            end = (index + 1) * piece
            return read(max(end - page, end - piece), min(end + page, total) - 1)

        length = page * _READ_AHEAD
        count = count_blocks(total, piece)
        image = ViewSection(
            count_blocks(total, length),
            block,
            check_end=lambda: self._reader.check_absent(piece_url(count)),
        )
        ends = ViewSection(count - 1, read_over_end, is_image=False)
        sections = [image, ends] if ends.count else [image]
        return ViewLayout(total, sections, check_size(self.where, total, size))


class NativeReader:
    """qemu, nbdkit and rclone: HEAD, then ranges."""

    def __init__(self, reader: ViewReader, url: str) -> None:
        self.where = name_of(url)
        self._reader = reader
        self._url = url

    def open(self, size: int | None) -> ViewLayout:
        return _open_plain(self._reader, self._url, size, _NATIVE_READ)


def full_config(url: str) -> str:
    """Return the URL of the configuration of the mode `full`, given that of the mode `chunked`."""
    folder, _, name = urlsplit(url).path.rpartition("/")
    return with_path(url, f"{folder.rpartition('/')[0]}/full/{name}")


def _open_plain(reader: ViewReader, url: str, size: int | None, length: int) -> ViewLayout:
    """Open a file by HEAD, which must tell its length and that it takes ranges."""
    where = name_of(url)
    head = reader.probe(url, Rules(identity=True, exposed=("accept-ranges",)))
    total = length_of(head.headers.get("content-length"))
    if not total:
        raise WrongAnswer("content-length", "of HEAD does not tell the size")
    problems = head.problems + check_size(where, total, size) + _check_ranges(where, head)
    rules = Rules(identity=True, size=total, etag=head.headers.get("etag"))
    return ViewLayout(total, [_ranges(reader, url, total, length, rules)], problems)


def _check_ranges(where: str, head: Head) -> list[Problem]:
    if head.headers.get("accept-ranges", "").strip().lower() == "bytes":
        return []
    return [Problem(where, "accept-ranges", "must be bytes")]


def _ranges(
    reader: ViewReader, url: str, size: int, length: int, rules: Rules, *, is_clipped: bool = True
) -> ViewSection:
    """Return ranges that make up a file; without `is_clipped` the last one goes on beyond its end."""

    def block(index: int) -> ViewBlock:
        first = index * length
        stop = min(first + length, size)
        last = (stop if is_clipped else first + length) - 1
        return ViewBlock(
            f"{name_of(url)} bytes {first}-{last}",
            (first,),
            stop - first,
            lambda: reader.byte_range(url, first, last, rules),
        )

    beyond = f"bytes={size}-{size + length - 1}"
    return ViewSection(count_blocks(size, length), block, check_end=lambda: reader.check_absent(url, beyond))
