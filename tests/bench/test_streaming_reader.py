from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from streaming_plan import Call
from streaming_reader import percentile, read_large, replay

BODY = b"x" * 300_000
CALL = Call("GET / HTTP/1.1\r\n\r\n", 200, len(BODY))
Serve = Callable[[bytes], tuple[str, int]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers every request on a connection with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:

        def start(answer: bytes) -> tuple[str, int]:
            stopping = threading.Event()
            acceptor = threading.Thread(target=accept_all, args=(listener, answer, stopping))
            acceptor.start()
            stack.callback(acceptor.join)
            stack.callback(lambda: socket.create_connection(listener.getsockname()).close())
            stack.callback(stopping.set)
            return listener.getsockname()

        yield start


def accept_all(listener: socket.socket, answer: bytes, stopping: threading.Event) -> None:
    with ThreadPoolExecutor(4) as pool:
        while True:
            connection, _ = listener.accept()
            if stopping.is_set():
                connection.close()
                return
            pool.submit(talk, connection, answer)


def talk(connection: socket.socket, answer: bytes) -> None:
    with connection, suppress(OSError):
        while connection.recv(4096):
            connection.sendall(answer)
            if not answer.endswith(BODY) or b"close" in answer:
                return


def head(status: int = 200, length: int = len(BODY)) -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n".encode()


def test_whole_answers_are_counted(serve: Serve) -> None:
    load = read_large(serve(head() + BODY), [CALL], 4, 0.1)
    assert (load.errors, load.complaint) == (0, "")
    assert load.requests > 0
    assert load.bytes == load.requests * len(BODY)
    assert 0 < load.p50 <= load.p99
    assert load.seconds > 0


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (head() + BODY[:-1], "the body ended"),
        (head(status=206) + BODY, "status 206"),
        (head(length=5) + b"12345", "length 5 instead of"),
        (b"HTTP/1.1 200 X\r\n\r\n" + BODY, "length none"),
        (b"nonsense", "no head"),
        (b"nonsense\r\n\r\n", ""),
    ],
    ids=["short", "status", "length", "no length", "no head", "no status"],
)
def test_wrong_answers_are_errors(serve: Serve, answer: bytes, complaint: str) -> None:
    load = read_large(serve(answer), [CALL], 1, 0.05)
    assert load.errors > 0
    assert load.requests == 0
    assert complaint in load.complaint


def test_a_replay_ends_when_every_client_has_made_all_calls(serve: Serve) -> None:
    load = replay(serve(head() + BODY), [CALL] * 7, 3, 60)
    assert (load.requests, load.bytes, load.errors) == (21, 21 * len(BODY), 0)


def test_a_server_may_close_a_connection_that_it_said_it_would(serve: Serve) -> None:
    """nginx does so after some number of requests."""
    closing = head().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    load = replay(serve(closing + BODY), [CALL] * 3, 2, 60)
    assert (load.requests, load.errors, load.complaint) == (6, 0, "")


def test_nobody_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    load = read_large(address, [CALL], 2, 1)
    assert (load.errors, load.requests) == (1, 0)


def test_percentile() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert (percentile(hundred, 50), percentile(hundred, 99), percentile(hundred, 100)) == (50, 99, 100)
    assert (percentile([7.0], 99), percentile([1.0, 2.0], 50), percentile([], 50)) == (7, 1, 0)
