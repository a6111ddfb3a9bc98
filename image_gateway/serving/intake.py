"""What has come of a request, and whether it is all there: what is not yet whole gets no thread."""

from __future__ import annotations

import re
from enum import Enum, auto

from image_gateway.routes.bounds import MAX_JSON_BYTES

MAX_HEAD = 128 * 1024
MAX_BODY = MAX_JSON_BYTES
_MAX_LINE = 8 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n")
_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,12}")


class Progress(Enum):
    """MORE is needed; it is WHOLE; it can be judged but is only a PART; its head is TOO_LONG."""

    MORE = auto()
    WHOLE = auto()
    PART = auto()
    TOO_LONG = auto()


class Intake:
    """Collects one request. It only finds the end; gunicorn parses, and refuses what is wrong.

    A body too large for the gateway, and one whose length cannot be known, is handed on as a PART.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.wants_continue = False
        self._body: _Length | _Chunks | None = None

    def add(self, block: bytes) -> Progress:
        """Take more of the request."""
        self.data += block
        if self._body is None:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return self._without_head()
            self._body = self._plan(end)
        return Progress.PART if self._body is None else self._body.progress(self.data)

    def take(self) -> bytes:
        """Everything that came; the next request begins."""
        data = bytes(self.data)
        self.__init__()  # type: ignore[misc]  # as new
        return data

    def _without_head(self) -> Progress:
        if self.data.count(b"\n") != self.data.count(b"\r\n"):
            return Progress.PART
        return Progress.TOO_LONG if len(self.data) > MAX_HEAD else Progress.MORE

    def _plan(self, end: int) -> _Length | _Chunks | None:
        """How the body's end will be known; None when only gunicorn can say what is wrong."""
        head = bytes(self.data[: end + 2]).lower()
        self.wants_continue = _CONTINUE.search(head) is not None
        lengths, chunked = head.count(b"\r\ncontent-length"), b"\r\ntransfer-encoding" in head
        if not lengths:
            return _Chunks(end + 4) if chunked else _Length(end + 4)
        length = _LENGTH.search(head)
        if lengths > 1 or chunked or length is None or int(length[1]) > MAX_BODY:
            return None
        return _Length(end + 4 + int(length[1]))


class _Length:
    """A body of known length, or none."""

    def __init__(self, end: int) -> None:
        self._end = end

    def progress(self, data: bytearray) -> Progress:
        return Progress.WHOLE if len(data) >= self._end else Progress.MORE


class _Chunks:
    """A chunked body; each chunk is looked at once."""

    def __init__(self, begin: int) -> None:
        self._begin = self._next = begin

    def progress(self, data: bytearray) -> Progress:
        while self._next <= len(data):
            end = data.find(b"\r\n", self._next, self._next + _MAX_LINE)
            if end < 0:
                return Progress.PART if len(data) - self._next >= _MAX_LINE else Progress.MORE
            size = _SIZE.fullmatch(data[self._next : end].partition(b";")[0].rstrip(b" \t"))
            if size is None:
                return Progress.PART
            if int(size[0], 16) == 0:
                return self._trailers(data, end)
            self._next = end + 2 + int(size[0], 16) + 2
        return Progress.PART if self._next - self._begin > MAX_BODY else Progress.MORE

    def _trailers(self, data: bytearray, end: int) -> Progress:
        if data.find(b"\r\n\r\n", end) >= 0:
            return Progress.WHOLE
        return Progress.PART if len(data) - end > MAX_HEAD else Progress.MORE
