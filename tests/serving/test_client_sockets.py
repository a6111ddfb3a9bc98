"""Time-outs of client connections, and what gunicorn's worker sees of them."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from image_gateway.serving.client_sockets import ClientSocket, ListeningSocket

SECONDS = 0.4
BIG = bytes(range(256)) * (64 * 1024)
Pair = tuple[ClientSocket, socket.socket]


@pytest.fixture
def listener() -> Iterator[ListeningSocket]:
    with ListeningSocket(socket.create_server(("127.0.0.1", 0)), SECONDS) as listening:
        yield listening


@pytest.fixture
def pair(listener: ListeningSocket) -> Iterator[Pair]:
    """A connection as the worker has it, whose client has sent "half"."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.connect(listener.getsockname())
        client.sendall(b"half")
        client.settimeout(20)
        served, _ = listener.accept()
        assert isinstance(served, ClientSocket)
        with served:
            yield served, client


def test_a_request_that_does_not_arrive_in_time_counts_as_closed(pair: Pair) -> None:
    served, client = pair
    assert served.recv(100) == b"half"
    assert served.recv(100) == b""
    assert client.recv(1) == b""
    served.close()
    with pytest.raises(ConnectionError):
        client.send(b"the rest")


@pytest.mark.thorough
@pytest.mark.parametrize("pause", [SECONDS / 20, 0], ids=["drips", "is endless"])
def test_a_request_that_goes_on_too_long_counts_as_closed(pair: Pair, pause: float) -> None:
    served, client = pair
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(pause):
            try:
                client.sendall(b"x" * 1000)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    received = 0
    began = time.monotonic()
    while block := served.recv(100):
        received += len(block)
        assert time.monotonic() - began < 10 * SECONDS
    stop.set()
    thread.join()
    assert received > 1000


def test_what_came_while_a_request_waited_for_a_thread_is_read(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, _ = pair
    later = time.monotonic() + 1.5 * SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert served.recv(100) == b"half"
    assert served.recv(100) == b""


def test_the_next_request_has_its_own_time(pair: Pair) -> None:
    served, client = pair
    assert served.recv(100) == b"half"
    # Longer than the whole of the first request's time.
    assert not served.is_readable(1.5 * SECONDS)
    served.sendall(b"answer")
    timer = threading.Timer(SECONDS / 4, client.sendall, [b"next"])
    timer.start()
    assert served.recv(100) == b"next"
    timer.join()


@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_a_client_that_reads_nothing_is_reset(pair: Pair, as_file: bool) -> None:
    served, client = pair
    with pytest.raises(ConnectionResetError, match="stopped reading"):
        send(served, as_file)()
    served.close()
    with pytest.raises(ConnectionResetError):
        read_to_the_end(client)


@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_every_byte_comes_in_order(pair: Pair, as_file: bool) -> None:
    served, client = pair
    thread = threading.Thread(target=send(served, as_file))
    thread.start()
    received = bytearray()
    while len(received) < len(BIG):
        received += client.recv(1_000_000)
    thread.join()
    assert received == BIG


def read_to_the_end(client: socket.socket) -> None:
    while client.recv(1_000_000):
        pass


def send(served: ClientSocket, as_file: bool) -> Callable[[], None]:
    def send_bytes() -> None:
        served.sendall(BIG)

    def send_file() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b".." + BIG)
            file.flush()
            served.sendfile(file, 2, len(BIG))

    return send_file if as_file else send_bytes


def test_a_file_that_is_too_short_breaks_the_answer(pair: Pair) -> None:
    served, _ = pair
    with tempfile.TemporaryFile() as file:
        file.write(b"01234")
        file.flush()
        with pytest.raises(OSError, match="5 bytes early"):
            served.sendfile(file, 0, 10)


def test_gunicorn_waits_for_no_close_in_its_main_loop(pair: Pair) -> None:
    served, _ = pair
    served.settimeout(2)
    assert 0 < (served.gettimeout() or 0) <= SECONDS
    served.shutdown(socket.SHUT_WR)
    served.settimeout(2)
    assert 0 < (served.gettimeout() or 0) < 0.1
    served.settimeout(None)
    assert served.gettimeout() is None


def test_a_closed_listener_has_no_connection(listener: ListeningSocket) -> None:
    listener.close()
    with pytest.raises(BlockingIOError):
        listener.accept()
