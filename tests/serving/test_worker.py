"""The worker's own book-keeping: who waits, who makes room, and that each connection is counted off once."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from image_gateway.serving.connections import Connection, Lobby
from image_gateway.serving.lifecycle import StopFlag, raise_descriptor_limit
from image_gateway.serving.sockets import GatewaySocket
from image_gateway.serving.worker import GatewayWorker


@pytest.fixture
def worker() -> Iterator[GatewayWorker]:
    """A worker that was never forked, its poller turned by the test."""
    made = GatewayWorker.__new__(GatewayWorker)
    made.cfg, made.alive, made.nr_conns, made.worker_connections = Config(), True, 0, 3
    made.poller = selectors.DefaultSelector()
    made.lobby = Lobby(made.poller, max_bytes=10)
    made.log = SimpleNamespace(warning=lambda *_: None, debug=lambda *_: None)
    yield made
    for conn in made.lobby.expired(float("inf")):
        conn.close()
    made.poller.close()


Connect = Callable[..., tuple[Connection, socket.socket]]


@pytest.fixture
def connect(worker: GatewayWorker) -> Iterator[Connect]:
    """Makes connections that the worker has counted."""
    ends: list[socket.socket] = []

    def make(sent: bytes = b"") -> tuple[Connection, socket.socket]:
        ours, theirs = socket.socketpair()
        ends.extend([theirs])
        theirs.sendall(sent)
        worker.nr_conns += 1
        conn = Connection(worker.cfg, GatewaySocket.adopt(ours, 30), ("", 0), ("", 0))
        conn.is_plain = True
        return conn, theirs

    yield make
    for end in ends:
        end.close()


def outcome(result: Any) -> Future[Any]:
    done: Future[Any] = Future()
    done.set_result(result)
    return done


def turn(worker: GatewayWorker) -> None:
    worker.wait_for_and_dispatch_events(5)


def test_a_broken_body_is_counted_off_once(worker: GatewayWorker, connect: Connect) -> None:
    conn, _ = connect()
    conn.sock.close()
    worker.finish_request(conn, outcome(False))
    assert worker.nr_conns == 0


def test_the_end_of_a_connection_waits_for_the_client_in_the_poller(
    worker: GatewayWorker, connect: Connect
) -> None:
    conn, client = connect()
    worker.finish_request(conn, outcome(False))
    assert client.recv(10) == b""
    assert worker.nr_conns == 1
    client.sendall(b"the rest of a request that was refused")
    turn(worker)
    assert worker.nr_conns == 1
    client.close()
    turn(worker)
    assert worker.nr_conns == 0


def test_a_half_sent_head_leaves_the_thread(worker: GatewayWorker, connect: Connect) -> None:
    conn, _ = connect(b"GET / HT")
    worker.finish_request(conn, outcome(worker.handle(conn)))
    assert conn in worker.lobby
    assert conn.begun is not None
    worker._tidy(time.monotonic())
    assert worker.nr_conns == 1
    worker._tidy(time.monotonic() + 31)
    assert worker.nr_conns == 0


def test_a_dripping_head_is_let_go_between_two_drops(worker: GatewayWorker, connect: Connect) -> None:
    conn, client = connect(b"GET / HT")
    worker.finish_request(conn, outcome(worker.handle(conn)))
    assert conn.begun is not None
    conn.begun -= 31
    client.sendall(b"T")
    worker.lobby.leave(conn)
    worker.finish_request(conn, outcome(worker.handle(conn)))
    assert worker.nr_conns == 0


def test_who_waits_longest_makes_room(worker: GatewayWorker, connect: Connect) -> None:
    first, _ = connect()
    second, _ = connect()
    for conn in (first, second):
        worker.finish_request(conn, outcome(worker.handle(conn)))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        worker.accept(listener)
    assert first not in worker.lobby
    assert second in worker.lobby
    assert worker.nr_conns == 2


def test_half_sent_requests_hold_only_so_much(worker: GatewayWorker, connect: Connect) -> None:
    small, _ = connect(b"GET")
    large, _ = connect(b"GET /large")
    for conn in (small, large):
        worker.finish_request(conn, outcome(worker.handle(conn)))
    assert small in worker.lobby
    assert large not in worker.lobby


def test_who_was_let_go_in_the_same_turn_is_passed_over(worker: GatewayWorker, connect: Connect) -> None:
    conn, client = connect()
    worker.finish_request(conn, outcome(worker.handle(conn)))
    client.sendall(b"x")
    (key, _), *_ = worker.poller.select(5)
    worker._make_room()
    key.data(key.fileobj)
    assert worker.nr_conns == 0


def test_a_worker_that_stops_hurries_who_waits(worker: GatewayWorker, connect: Connect) -> None:
    conn, _ = connect()
    worker.alive = False
    worker.finish_request(conn, outcome(worker.handle(conn)))
    assert worker.lobby.expired(time.monotonic() + 2.5) == [conn]


def test_all_processes_see_that_the_server_stops() -> None:
    flag = StopFlag()
    assert not flag.is_set()
    child = os.fork()
    if not child:
        flag.set()
        os._exit(0)
    os.waitpid(child, 0)
    assert flag.is_set()


def test_there_are_never_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert raise_descriptor_limit(500, 2) == 500
    assert asked == []
    assert raise_descriptor_limit(1000, 2) == 1000
    assert asked == [(1000 + 256 + 8, 4096)]
    assert raise_descriptor_limit(10_000, 2) == 4096 - 256 - 8
