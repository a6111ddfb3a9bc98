"""Reads large bodies over some connections without copying them (MSG_TRUNC), checking each answer's head.

wrk reads 8 KiB at a time, which costs more per MiB than a fast server spends on sending it.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from streaming_plan import Call

SILENCE_SECONDS = 30
HEAD_LIMIT = 64 * 1024
_nowhere = bytearray(4 * 1024 * 1024)


@dataclass
class Load:
    """What the load generator saw; latencies in milliseconds."""

    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: int = 0
    p50: float = 0.0
    p99: float = 0.0
    generator_cpu: float = 0.0
    complaint: str = ""


@dataclass
class _Tally:
    latencies: list[float] = field(default_factory=list)
    bytes: int = 0
    errors: int = 0
    complaint: str = ""
    last: float = 0.0


class _BadAnswer(Exception):
    pass


class _Client:
    """One connection and the answer it is reading."""

    def __init__(self, address: tuple[str, int], call: Call, following: Iterator[Call]) -> None:
        self.following = following
        self.socket = socket.create_connection(address, timeout=SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(call)
        self.socket.setblocking(False)

    def ask(self, call: Call) -> None:
        self.call = call
        self._head, self._left, self.closes = b"", -1, False
        self.began = time.perf_counter()
        self.socket.sendall(self.call.head.encode())

    def read(self) -> bool:
        """Take what is there; whether the answer is complete. Raises _BadAnswer or OSError."""
        if self._left < 0:
            data = self.socket.recv(4096)
            self._head += data
            if not data or len(self._head) > HEAD_LIMIT:
                raise _BadAnswer("no head of an answer")
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return False
            self._left = check_head(head.decode("latin-1"), self.call) - len(rest)
            self.closes = b"\r\nconnection: close" in head.lower()
        while self._left > 0:
            taken = self._take()
            if taken is None:
                return False
            self._left -= taken
        if self._left < 0:
            raise _BadAnswer("more bytes than were announced")
        return True

    def _take(self) -> int | None:
        wanted = min(self._left, len(_nowhere))
        try:
            taken = self.socket.recv_into(_nowhere, wanted, socket.MSG_TRUNC)
        except BlockingIOError:
            return None
        if taken == 0:
            raise _BadAnswer(f"the body ended {self._left} bytes early")
        return taken


def check_head(head: str, call: Call) -> int:
    """The length of the body that the head announces; _BadAnswer unless it is what the call must give."""
    first, *lines = head.split("\r\n")
    status = int(first.split(" ", 2)[1])
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = fields.get("content-length", "none")
    if status != call.status or length != str(call.length):
        raise _BadAnswer(f"status {status}, length {length} instead of {call.status}, {call.length}")
    return int(length)


def read_large(address: tuple[str, int], calls: Sequence[Call], connections: int, seconds: float) -> Load:
    """Read for about `seconds`, at least one answer to its end; the connections share the calls out."""
    return _read(address, [cycle(calls)] * connections, seconds)


def replay(address: tuple[str, int], calls: Sequence[Call], clients: int, seconds: float) -> Load:
    """Let every client make all calls once, but stop after `seconds`."""
    return _read(address, [iter(calls) for _ in range(clients)], seconds)


def _read(address: tuple[str, int], sources: Sequence[Iterator[Call]], seconds: float) -> Load:
    tally = _Tally()
    cpu, began = time.thread_time(), time.perf_counter()
    clients: set[_Client] = set()
    with selectors.DefaultSelector() as selector:

        def connect(source: Iterator[Call]) -> None:
            if call := next(source, None):
                clients.add(client := _Client(address, call, source))
                selector.register(client.socket, selectors.EVENT_READ, client)

        try:
            for source in sources:
                connect(source)
            while clients and (
                time.perf_counter() < began + seconds or not (tally.latencies or tally.errors)
            ):
                ready = selector.select(SILENCE_SECONDS)
                if not ready:
                    tally.errors, tally.complaint = tally.errors + 1, f"silence for {SILENCE_SECONDS} s"
                    break
                for key, _ in ready:
                    client: _Client = key.data
                    if not _serve(client, tally):
                        selector.unregister(client.socket)
                        client.socket.close()
                        clients.discard(client)
                        connect(client.following)
        except OSError as error:
            tally.errors, tally.complaint = tally.errors + 1, f"no connection: {error}"
        finally:
            for client in clients:
                client.socket.close()
    return _load(tally, began, time.thread_time() - cpu)


def _serve(client: _Client, tally: _Tally) -> bool:
    """Let a client go on; False when its connection is of no more use."""
    try:
        if client.read():
            tally.last = time.perf_counter()
            tally.latencies.append(tally.last - client.began)
            tally.bytes += client.call.length or 0
            if client.closes or (call := next(client.following, None)) is None:
                return False
            client.ask(call)
    except BlockingIOError:
        return True
    except (_BadAnswer, OSError, ValueError, IndexError) as error:
        tally.errors += 1
        tally.complaint = tally.complaint or str(error)
        return False
    return True


def _load(tally: _Tally, began: float, cpu: float) -> Load:
    ordered = sorted(tally.latencies)
    return Load(
        requests=len(ordered),
        bytes=tally.bytes,
        seconds=tally.last - began if ordered else 0.0,
        errors=tally.errors,
        p50=percentile(ordered, 50) * 1000,
        p99=percentile(ordered, 99) * 1000,
        generator_cpu=cpu,
        complaint=tally.complaint,
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all are not above; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
