"""gunicorn's threaded worker: a thread is for a request that is there, and a client that takes its answer.

Everything else waits in the poller, with a deadline.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http2.negotiation import prior_knowledge_allowed
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import _DEFER, STOP_KEEPALIVE_LINGER, ThreadWorker

from image_gateway.metrics.instruments import STALLS
from image_gateway.serving.connections import Connection, Lobby
from image_gateway.serving.intake import MAX_HEAD, Progress
from image_gateway.serving.lifecycle import raise_descriptor_limit
from image_gateway.serving.refusals import describe_refusal, render_refusal
from image_gateway.serving.requests import serve_request
from image_gateway.serving.sockets import GatewaySocket, Stalled

# How long a client may take to close its side when the gateway has closed its own.
LINGER_SECONDS = 2.0
# How long a server that stops still accepts, while it already says that it is not ready.
DRAIN_SECONDS = 1.0
TIDY_SECONDS = 0.25
UNFINISHED = "a client was let go that did not finish its request"
MAX_HALF_SENT_BYTES = 64 * 1024 * 1024
_FULL = (errno.EMFILE, errno.ENFILE)
_NOTHING_THERE = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED)


class GatewayWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Answers requests that gunicorn cannot parse as JSON instead of HTML, and lets stalled clients go.

    The Origin of what cannot be parsed is looked for in the bytes as they came.
    """

    allowed_origins: tuple[str, ...] = ()
    send_timeout = 30.0
    is_stopping: Callable[[], bool] = staticmethod(lambda: False)

    worker_connections: int
    lobby: Lobby
    _accepts_until: float | None = None
    _notify_at = 0.0
    _tidy_at = 0.0

    def run(self) -> None:
        self.worker_connections = raise_descriptor_limit(self.worker_connections, self.cfg.threads)
        self.lobby = Lobby(self.poller, MAX_HALF_SENT_BYTES)
        super().run()

    def accept(self, listener: Any) -> None:
        """Take a connection, which gets a thread when its request is there."""
        self._accept(listener)

    def _accept(self, listener: Any) -> bool:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in _FULL:
                self._make_room()
            elif error.errno not in _NOTHING_THERE:
                raise
            return False
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        sock = GatewaySocket.adopt(client, self.send_timeout)
        conn = Connection(self.cfg, sock, address, listener.getsockname())
        conn.is_plain = self._is_plain(address)
        if conn.is_plain:
            self._wait(conn, self.cfg.keepalive)
        else:
            self.enqueue_req(conn)
        return True

    def _is_plain(self, address: Any) -> bool:
        """Whether the bytes are HTTP/1 as they come, so that a request's end can be seen."""
        if self.cfg.is_ssl or self.cfg.protocol != "http":
            return False
        return not prior_knowledge_allowed(self.cfg, address)

    def handle(self, conn: Connection) -> Any:
        """Serve a request; runs in a thread, which it leaves when the request is not there yet."""
        if conn.is_plain:
            try:
                progress = conn.gather()
            except OSError:
                progress = None
            if progress is None:
                return False
            if progress is Progress.MORE:
                return _DEFER
            conn.sock.received = conn.parser.unreader.buf.getvalue()[:MAX_HEAD]
            if progress is Progress.TOO_LONG:
                return self._refuse_long_head(conn)
            conn.sock.read_until = time.monotonic() + self.send_timeout
        keep = super().handle(conn)
        if isinstance(conn.sock, GatewaySocket) and conn.sock.fell_silent:
            self._note_stall(UNFINISHED)
        return keep

    def _refuse_long_head(self, conn: Connection) -> bool:
        has_a_line = b"\r\n" in conn.parser.unreader.buf.getvalue()
        error = LimitRequestHeaders("head") if has_a_line else LimitRequestLine(MAX_HEAD, MAX_HEAD)
        self.handle_error(None, conn.sock, conn.client, error)
        return False

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Run the app and send its answer; whether the connection can be used again."""
        if conn.continued:
            req._expected_100_continue, conn.continued = False, False
        try:
            return serve_request(self, req, conn)
        except Stalled as stall:
            self._note_stall(f"a client was let go: {stall}")
            conn.drop()
            return False

    @property
    def is_leaving(self) -> bool:
        """Whether answers must be the last on their connection."""
        return not self.alive or self._accepts_until is not None

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Close instead of answering twice when a body that was not read turns out to be malformed."""
        if conn.is_part:
            return False
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except ParseException as error:
            self.log.warning("closed after a malformed body: %s", type(error).__name__)
            return False

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Decide in the main thread what becomes of the connection; it is counted off exactly once."""
        try:
            result = fs.result()
            if result is _DEFER:
                self._await_request(conn)
            elif not result:
                self._part_from(conn)
            elif conn.parser.unreader.buf.getvalue():
                self.enqueue_req(conn)
            else:
                self._wait(conn, self.cfg.keepalive)
        except Exception:  # noqa: BLE001  # whatever happened, one connection ends, not the worker
            self._forget(conn)

    def _await_request(self, conn: Connection) -> None:
        if conn.begun is None:
            self._wait(conn, self.cfg.keepalive)
            return
        left = conn.begun + self.send_timeout - time.monotonic()
        if left <= 0:
            self._note_stall(UNFINISHED)
            self._forget(conn)
            return
        self._wait(conn, left)
        for largest in self.lobby.too_many_bytes():
            self._evict(largest)

    def _wait(self, conn: Connection, seconds: float) -> None:
        if self.is_leaving:
            seconds = min(seconds, STOP_KEEPALIVE_LINGER)
        self.lobby.enter(conn, time.monotonic() + seconds, partial(self._on_readable, conn))

    def _on_readable(self, conn: Connection, _: Any) -> None:
        if conn not in self.lobby:
            # Let go for another event of the same turn.
            return
        if not conn.is_over:
            self.lobby.leave(conn)
            conn.data_ready = True
            self.enqueue_req(conn)
        elif not conn.has_more_to_discard():
            self._evict(conn)

    def _part_from(self, conn: Connection) -> None:
        """Close, so that the client gets all of the answer; waiting for its side costs no thread."""
        if conn.sock.fileno() >= 0 and conn.hang_up():
            self._wait(conn, LINGER_SECONDS)
        else:
            self._forget(conn)

    def _evict(self, conn: Connection) -> None:
        self.lobby.leave(conn)
        self._forget(conn)

    def _forget(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> None:
        """Give a place that was waited in longest to a new client."""
        longest = self.lobby.longest_waiting()
        if longest is not None:
            self._evict(longest)

    def notify(self) -> None:
        """Tell the master that the main loop turns; several times a request would be too often."""
        now = time.monotonic()
        if now >= self._notify_at:
            self._notify_at = now + TIDY_SECONDS
            super().notify()

    def murder_pending(self) -> None:
        """Called in every turn of the main loop."""
        now = time.monotonic()
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_SECONDS
            self._tidy(now)
        if self._accepts_until is not None and now >= self._accepts_until:
            self.alive = False

    def _tidy(self, now: float) -> None:
        """Let clients go whose time is over."""
        for conn in self.lobby.expired(now):
            if conn.begun is not None:
                self._note_stall(UNFINISHED)
            self._evict(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self.alive and self._accepts_until is not None:
            timeout = max(0.0, min(timeout, self._accepts_until - time.monotonic()))
        super().wait_for_and_dispatch_events(timeout)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: when the server stops, be unready a moment before connections are refused."""
        if not self.is_stopping():
            super().handle_exit(sig, frame)
        elif self._accepts_until is None:
            self._accepts_until = time.monotonic() + min(DRAIN_SECONDS, self.cfg.graceful_timeout / 10)
            self.method_queue.defer(self._hasten)

    def _hasten(self) -> None:
        self.lobby.hasten(time.monotonic() + STOP_KEEPALIVE_LINGER)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker stops: who is in the queue is taken, then connections are refused."""
        self.lobby.hasten(deadline)
        for listener in self.sockets:
            while self.is_stopping() and self._accept(listener):
                pass
            listener.close()

    def _note_stall(self, event: str) -> None:
        STALLS.inc()
        self.log.warning(event)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that failed outside the app; the text tells nothing of its content."""
        status, code, message = describe_refusal(exc)
        if status == 500:
            self.log.error("a request failed outside the app", exc_info=exc)
        else:
            self.log.warning("refused a malformed request: %s", type(exc).__name__)
        try:
            received = getattr(client, "received", b"")
            write_nonblock(
                client,
                render_refusal(
                    status, code, message, allowed_origins=self.allowed_origins, received=received
                ),
            )
        except OSError as error:
            self.log.debug("the refused client is gone: %s", error)
