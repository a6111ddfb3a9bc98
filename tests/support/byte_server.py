"""A server that sends exactly the bytes that a test gives it, as slowly as the test likes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

# Little is on its way that the reader does not want.
_SEND_BUFFER = 16 * 1024
_POLL_SECONDS = 0.02

# The bytes of an answer, head included, given the bytes of a request's head.
Respond = Callable[[bytes], Iterable[bytes]]


@dataclass
class ByteServer:
    """The server: what it was asked, and how many bytes it could send."""

    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    sent: int = 0


@contextmanager
def serving_bytes(respond: Respond) -> Iterator[ByteServer]:
    """Serve on a port of its own; each connection has one answer and ends."""
    server = ByteServer()
    lock = threading.Lock()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    listener.settimeout(_POLL_SECONDS)
    server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        # The reader may close its end at any time.
        with connection, suppress(OSError):
            connection.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                block = connection.recv(65_536)
                if not block:
                    return
                head += block
            with lock:
                server.asked.append(head)
            for block in respond(head):
                if ended.is_set():
                    return
                connection.sendall(block)
                with lock:
                    server.sent += len(block)

    def listen() -> None:
        while not ended.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        thread.join()
        listener.close()
