"""The wire: what is sent and understood of HTTP/1.1, and which connections are kept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from image_gateway.storage.http_pool import (
    MAX_HEAD,
    READ_AHEAD,
    Connection,
    ConnectionBroken,
    IdleSockets,
    make_request,
    parse_head,
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Our side and the store's."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_request_holds_what_was_given() -> None:
    asked = make_request("store:9000", "/images/k?x=1", {"Range": "bytes=0-1", "If-Match": '"é"'})
    assert asked.split(b"\r\n") == [
        b"GET /images/k?x=1 HTTP/1.1",
        b"Host: store:9000",
        b"Range: bytes=0-1",
        b'If-Match: "\xe9"',
        b"",
        b"",
    ]


@pytest.mark.parametrize("odd", ["\r\nX: y", "\nX: y", "\rX: y", "\r", "\n", "\r\n\r\nGET / HTTP/1.1"])
@pytest.mark.parametrize("place", ["host", "target", "name", "value"])
def test_no_line_gets_into_a_request_unasked(odd: str, place: str) -> None:
    texts = {"host": "h", "target": "/t", "name": "N", "value": "v"}
    texts[place] = f"a{odd}b"
    with pytest.raises(ValueError, match="line break"):
        make_request(texts["host"], texts["target"], {texts["name"]: texts["value"]})


def test_what_latin_1_cannot_hold_is_no_request() -> None:
    with pytest.raises(ValueError, match="latin-1"):
        make_request("h", "/", {"If-Match": '"\u2028"'})


@pytest.mark.parametrize(
    ("head", "status", "headers"),
    [
        (b"HTTP/1.1 200 OK", 200, {}),
        (b"HTTP/1.1 200", 200, {}),
        (b'HTTP/1.1 206 Partial: Content\r\nETAG:  \t"a:b" ', 206, {"etag": '"a:b"'}),
        (b"HTTP/1.1 200 OK\r\nContent-Length:5\r\ncontent-length: 5", 200, {"content-length": "5"}),
        (b"HTTP/1.1 200 OK\r\nA: 1\r\nA: 2", 200, {"a": "1"}),
        (b"HTTP/1.1 200 OK\r\nA:", 200, {"a": ""}),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", 200, {"connection": "close"}),
    ],
)
def test_heads(head: bytes, status: int, headers: dict[str, str]) -> None:
    assert parse_head(head) == (status, headers)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"garbage",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/2 200",
        b"HTTP/1.1",
        b"HTTP/1.1 OK",
        b"HTTP/1.1  200",
        b"ICY 200 OK",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 05",
        b"HTTP/1.1 200 OK\r\n\x00",
    ],
)
def test_what_is_no_head(head: bytes) -> None:
    with pytest.raises(ConnectionBroken):
        parse_head(head)


def test_a_status_of_other_digits_is_no_head() -> None:
    with pytest.raises((ConnectionBroken, ValueError)):
        parse_head("HTTP/1.1 2²0 OK".encode("latin-1"))


def test_the_body_begins_where_the_head_ends(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst")
    connection = Connection(ours, lambda _: None)
    assert connection.send_request(b"?") == (200, {"content-length": "9"})
    theirs.sendall(b"more")
    assert [connection.read(3), connection.read(3), connection.read(9)] == [b"fir", b"st", b"more"]
    assert theirs.recv(9) == b"?"


def test_a_head_may_come_byte_by_byte(pair: Pair) -> None:
    ours, theirs = pair

    def trickle() -> None:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n":
            theirs.send(bytes([byte]))

    sender = threading.Thread(target=trickle)
    sender.start()
    assert Connection(ours, lambda _: None).send_request(b"?")[0] == 200
    sender.join()


@pytest.mark.parametrize("sent", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", b"HTTP/1.1 200 OK"])
def test_a_head_that_ends_early(pair: Pair, sent: bytes) -> None:
    ours, theirs = pair
    theirs.sendall(sent)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionBroken):
        Connection(ours, lambda _: None).send_request(b"?")


def test_a_head_has_an_end_at_some_time(pair: Pair) -> None:
    ours, theirs = pair
    sent = 0

    def flood() -> None:
        nonlocal sent
        try:
            while True:
                sent += theirs.send(b"A: b\r\n" * 1000)
        except OSError:
            return

    sender = threading.Thread(target=flood)
    sender.start()
    with pytest.raises(ConnectionBroken):
        Connection(ours, lambda _: None).send_request(b"?")
    ours.close()
    sender.join()
    # What lies in the buffers of the two sockets was sent as well.
    assert sent < MAX_HEAD + 2 * READ_AHEAD + 4 * 1024 * 1024


def test_the_connection_used_last_is_taken_first(pair: Pair) -> None:
    other = socket.socketpair()
    pool = IdleSockets(2)
    pool.put(pair[0])
    pool.put(other[0])
    assert pool.take() is other[0]
    assert pool.take() is pair[0]
    assert pool.take() is None
    for sock in other:
        sock.close()


def test_more_than_fit_are_closed(pair: Pair) -> None:
    other = socket.socketpair()
    pool = IdleSockets(1)
    pool.put(pair[0])
    pool.put(other[0])
    assert other[1].recv(1) == b""
    assert pool.take() is pair[0]
    other[1].close()


@pytest.mark.parametrize("happened", ["ended", "spoke"])
def test_a_connection_on_which_something_came_is_not_taken(pair: Pair, happened: str) -> None:
    ours, theirs = pair
    pool = IdleSockets(2)
    pool.put(ours)
    if happened == "ended":
        theirs.shutdown(socket.SHUT_WR)
    else:
        theirs.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert pool.take() is None
    assert ours.fileno() == -1
