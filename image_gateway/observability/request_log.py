"""Request ids, and one log line per request when its body has ended."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, g, has_request_context, request
from structlog.contextvars import bind_contextvars, clear_contextvars

from image_gateway.observability.masking import mask
from image_gateway.observability.metrics import record_request

MAX_PATH = 200
QUIET = frozenset({"/health", "/healthz", "/readyz", "/metrics"})
_ENTRY = "image_gateway.request_log"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_log = logging.getLogger("image_gateway.request")


def install_request_log(app: Flask) -> None:
    """Log every request of this app; call it before other hooks are added and before ProxyFix."""
    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way to wrap

    @app.before_request
    def describe() -> None:
        environ = request.environ
        entry: Entry = environ.get(_ENTRY) or Entry(environ)
        g.request_id = entry.request_id
        rule = request.url_rule
        if rule is not None:
            entry.matched(rule.rule, rule.endpoint, request.view_args or {})


def note(**facts: str | int | None) -> None:
    """Add fields to the current request's line; `user` also to every later line of the request."""
    entry: Entry | None = request.environ.get(_ENTRY) if has_request_context() else None
    if entry is None:
        return
    entry.facts.update(facts)
    if facts.get("user") is not None:
        bind_contextvars(user=facts["user"])


def record_ranges() -> None:
    """Let `note_range` add to the current request's line."""
    entry: Entry | None = request.environ.get(_ENTRY)
    if entry is not None:
        entry.records_ranges = True


def note_range(start: int, stop: int) -> None:
    """Add bytes [start, stop) of a disk to the line of a request whose ranges are recorded.

    Of ranges that do not continue each other only the first is added.
    """
    entry: Entry | None = request.environ.get(_ENTRY) if has_request_context() else None
    if entry is None or not entry.records_ranges:
        return
    if entry.facts.get("range_stop", start) == start:
        entry.facts.setdefault("range_start", start)
        entry.facts["range_stop"] = stop


class Stream(Protocol):
    """A body that is sent only as long as `check` does not raise."""

    def check(self) -> None: ...

    def release(self) -> None: ...


def attach_stream(stream: Stream) -> None:
    """Check the stream before each block of the current request's body, and release it when the body ends."""
    entry: Entry | None = request.environ.get(_ENTRY)
    if entry is None:
        raise RuntimeError("streams need install_request_log")
    entry.stream = stream


def note_edge() -> None:
    """Let the current request be logged and counted as a permission that nginx asks for."""
    entry: Entry | None = request.environ.get(_ENTRY)
    if entry is not None and entry.route is not None:
        entry.route = f"edge {entry.route}"


class Entry:
    """The log line of a request; written once, when the body has ended, failed or been closed."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.request_id = _request_id(environ)
        self.route: str | None = None
        self.facts: dict[str, Any] = {}
        self.sent: int | None = 0
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.stream: Stream | None = None
        self.records_ranges = False
        self._environ = environ
        self._began = time.perf_counter()
        self._first_byte: float | None = None
        self._written = False

    def matched(self, route: str, action: str, arguments: Mapping[str, str]) -> None:
        """Record the route by its template: the path itself may contain a token."""
        self.route = route
        self.facts["action"] = action
        for name in ("image", "delta"):
            given = arguments.get(f"{name}_id", "")
            if _UUID.fullmatch(given):
                self.facts[name] = given

    def answer(self, status: str, headers: list[tuple[str, str]]) -> None:
        """Record status and headers of the response."""
        self.status = int(status[:3])
        self.headers = headers

    def begin_body(self) -> None:
        """Record the time to the first byte."""
        self._first_byte = time.perf_counter() - self._began

    def announced_length(self) -> int | None:
        """The Content-Length of the answer, where there is one."""
        lengths = [int(value) for name, value in self.headers if name.lower() == "content-length"]
        return lengths[0] if lengths else None

    def end(self, reason: str | None = None) -> None:
        """Release the stream and write the line; `reason` says why the body was not sent to its end."""
        if self.stream is not None:
            self.stream.release()
        if self._written:
            return
        self._written = True
        seconds = time.perf_counter() - self._began
        self._record(seconds)
        level = self._level()
        if _log.isEnabledFor(level):
            # Not by log(), which would walk the stack to find this line.
            facts = {"request": self._describe(seconds, reason)}
            _log.handle(_log.makeRecord(_log.name, level, __file__, 0, "request", (), None, extra=facts))

    def _record(self, seconds: float) -> None:
        method = self._environ.get("REQUEST_METHOD", "")
        first_byte = self._first_byte
        record_request(
            self.route, method, self.status, seconds=seconds, first_byte=first_byte, sent=self.sent or 0
        )

    def _level(self) -> int:
        if self.status >= 500:
            return logging.WARNING
        return logging.DEBUG if self.route in QUIET else logging.INFO

    def _describe(self, seconds: float, reason: str | None) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "method": self._environ.get("REQUEST_METHOD"),
            "route": self.route or mask(_path_of(self._environ))[:MAX_PATH],
            "status": self.status,
            "bytes": self.sent,
            "duration_ms": round(seconds * 1000, 2),
            "complete": reason is None,
            **({} if reason is None else {"reason": reason}),
            "address": self._environ.get("REMOTE_ADDR"),
            **{name: value for name, value in self.facts.items() if value is not None},
        }


class RequestLog:
    """WSGI middleware: only it sees the end of bodies that werkzeug passes through."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Threads are reused, and a body that was never closed leaves its context behind.
        clear_contextvars()
        entry = environ[_ENTRY] = Entry(environ)
        bind_contextvars(request_id=entry.request_id)

        def note_answer(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            entry.answer(status, headers)
            return start_response(status, _with_own_headers(entry, headers), exc_info)

        try:
            body = self._app(environ, note_answer)
        except BaseException as error:
            entry.status = entry.status or 500
            entry.end(type(error).__name__)
            clear_contextvars()
            raise
        file_wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
            _watch_file(body, entry)
            return body
        return ResponseBody(body, entry)


class ResponseBody:
    """The body of every response: counts its bytes, checks its stream, and ends both when it ends."""

    __slots__ = ("_blocks", "_body", "_entry", "_sent", "_stream")

    def __init__(self, body: Iterable[bytes], entry: Entry) -> None:
        self._body = body
        self._blocks = iter(body)
        self._entry = entry
        self._stream = entry.stream
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._stream is not None:
                self._stream.check()
            block = next(self._blocks)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(type(error).__name__)
            raise
        if not self._sent:
            self._entry.begin_body()
        self._sent += len(block)
        return block

    def close(self) -> None:
        reason = _failure() or "closed"
        try:
            _close(getattr(self._body, "close", None))
        finally:
            self._end(reason)

    def _end(self, reason: str | None) -> None:
        self._entry.sent = self._sent
        self._entry.end(reason)


def _with_own_headers(entry: Entry, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    own = [("X-Request-Id", entry.request_id)]
    if "referrer-policy" not in [name.lower() for name, _ in headers]:
        own.append(("Referrer-Policy", "no-referrer"))
    return headers + own


def _watch_file(body: Any, entry: Entry) -> None:
    """Write the line when the server closes a file that it sends by itself."""
    entry.begin_body()
    close = getattr(body, "close", None)

    def close_and_write() -> None:
        reason = _failure()
        entry.sent = entry.announced_length() if reason is None else None
        try:
            _close(close)
        finally:
            entry.end(reason)

    body.close = close_and_write


def _close(close: Callable[[], object] | None) -> None:
    try:
        if close is not None:
            close()
    finally:
        clear_contextvars()


def _failure() -> str | None:
    """Return the error of sending: servers close bodies in a `finally`, where it is still current."""
    error = sys.exc_info()[1]
    return type(error).__name__ if error is not None else None


def _request_id(environ: WSGIEnvironment) -> str:
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _path_of(environ: WSGIEnvironment) -> str:
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1", "replace").decode("utf-8", "replace")
