"""What goes to the client, by how many calls, and what becomes of one who does not take it."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.http.wsgi import FileWrapper

from image_gateway.serving.responses import GatewayResponse
from image_gateway.serving.sockets import GatewaySocket, Stalled

BIG = bytes(range(256)) * (64 * 1024)


class CountingSocket(GatewaySocket):
    """Counts the calls that send."""

    calls: list[str]

    def send(self, *arguments: Any) -> int:
        self.calls.append("send")
        return super().send(*arguments)

    def sendmsg(self, *arguments: Any) -> int:
        self.calls.append("sendmsg")
        return super().sendmsg(*arguments)


@pytest.fixture
def pair() -> Iterator[tuple[CountingSocket, socket.socket]]:
    """A connection over TCP as the worker has it, and its client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.connect(listener.getsockname())
        served = CountingSocket.adopt(listener.accept()[0], patience=0.4)
    assert isinstance(served, CountingSocket)
    served.calls = []
    client.settimeout(20)
    with served, client:
        yield served, client


def respond(
    sock: GatewaySocket, status: str = "200 OK", method: str = "GET", **headers: str
) -> GatewayResponse:
    request = SimpleNamespace(method=method, version=(1, 1), should_close=lambda: False)
    config = SimpleNamespace(sendfile=None, is_ssl=False, protocol="http")
    response = GatewayResponse(request, sock, config)
    response.start_response(status, [(name.replace("_", "-"), value) for name, value in headers.items()])
    return response


def received(served: GatewaySocket, client: socket.socket) -> tuple[bytes, bytes]:
    served.close()
    data = bytearray()
    while block := client.recv(65_536):
        data += block
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    return head, body


def test_head_and_first_block_are_one_call(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, client = pair
    response = respond(served, Content_Length="10")
    response.write(b"")
    response.write(b"01234")
    assert served.calls == ["sendmsg"]
    response.write(b"56789")
    response.close()
    assert served.calls == ["sendmsg", "send"]
    head, body = received(served, client)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"0123456789"


@pytest.mark.parametrize(
    ("status", "method"), [("200 OK", "HEAD"), ("304 Not Modified", "GET"), ("200 OK", "GET")]
)
def test_a_head_alone_is_one_call(
    pair: tuple[CountingSocket, socket.socket], status: str, method: str
) -> None:
    served, client = pair
    response = respond(served, status, method, Content_Length="0")
    response.close()
    assert served.calls == ["send"]
    head, body = received(served, client)
    assert (head.partition(b"\r\n")[0], body) == (b"HTTP/1.1 " + status.encode(), b"")


def test_chunks_are_framed(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, client = pair
    response = respond(served)
    response.write(b"a" * 17)
    response.close()
    head, body = received(served, client)
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"11\r\n" + b"a" * 17 + b"\r\n0\r\n\r\n"


def test_a_file_is_sent_from_where_it_stands(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, client = pair
    with tempfile.TemporaryFile() as file:
        file.write(b"..0123456789..")
        file.flush()
        file.seek(2)
        response = respond(served, Content_Length="10")
        response.write_file(FileWrapper(file))
        response.close()
    assert received(served, client)[1] == b"0123456789"


def test_a_file_that_is_too_short_breaks_the_answer(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, _ = pair
    with tempfile.TemporaryFile() as file:
        file.write(b"01234")
        file.seek(0)
        with pytest.raises(OSError, match="5 bytes early"):
            respond(served, Content_Length="10").write_file(FileWrapper(file))


def test_who_takes_nothing_is_given_up(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, _ = pair
    with pytest.raises(Stalled):
        respond(served, Content_Length=str(len(BIG))).write(BIG)


def test_who_takes_nothing_of_a_file_is_given_up(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, _ = pair
    with tempfile.TemporaryFile() as file:
        file.write(BIG)
        file.seek(0)
        with pytest.raises(Stalled):
            respond(served, Content_Length=str(len(BIG))).write_file(FileWrapper(file))


@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_every_byte_comes_in_order(pair: tuple[CountingSocket, socket.socket], as_file: bool) -> None:
    served, client = pair

    def answer() -> None:
        response = respond(served, Content_Length=str(len(BIG)))
        if not as_file:
            response.write(BIG)
        else:
            with tempfile.TemporaryFile() as file:
                file.write(BIG)
                file.seek(0)
                response.write_file(FileWrapper(file))
        response.close()
        served.close()

    thread = threading.Thread(target=answer)
    thread.start()
    data = bytearray()
    while block := client.recv(1_000_000):
        data += block
    thread.join()
    assert bytes(data).partition(b"\r\n\r\n")[2] == BIG


def test_who_sends_nothing_counts_as_gone(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, client = pair
    client.sendall(b"half")
    assert served.recv(100) == b"half"
    assert served.recv(100) == b""
    assert served.fell_silent


def test_who_drips_counts_as_gone(pair: tuple[CountingSocket, socket.socket]) -> None:
    served, client = pair
    client.sendall(b"x")
    served.read_until = 0
    assert served.recv(100) == b""
    assert served.fell_silent
