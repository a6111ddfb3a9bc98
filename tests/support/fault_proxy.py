"""A TCP proxy between gateway and store that breaks answers where it is told to."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

BLOCK = 65_536
_RESET = struct.pack("ii", 1, 0)
Kind = Literal["reset", "end", "silence", "garbage", "trickle"]


@dataclass(frozen=True)
class Fault:
    """What becomes of an answer after so many of its bytes, the head included.

    `silence` passes nothing on until the gateway hangs up, `garbage` takes the place of the answer,
    `trickle` goes on by pieces of `piece` bytes with `pause` seconds before each. `meanwhile` runs before.
    """

    kind: Kind
    after: int = 0
    piece: int = 0
    pause: float = 0
    meanwhile: Callable[[], None] = lambda: None


class FaultProxy:
    """Forwards connections to a store; `plan` says for each request what is to break, None for nothing."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.plan: Callable[[bytes], Fault | None] = lambda _: None
        self.done: Counter[str] = Counter()
        self._target = target
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._accept()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def go_down(self) -> None:
        """End all connections and refuse new ones."""
        with suppress(OSError):
            # Unlike close, it wakes up who waits in accept.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Listen again, at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._accept()

    def _accept(self) -> None:
        self._thread = threading.Thread(target=self._listen, args=(self._listener,), daemon=True)
        self._thread.start()

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._target) as store:
            with self._lock:
                self._open |= {client, store}
            try:
                _Passage(self, client, store).run()
            finally:
                with self._lock:
                    self._open -= {client, store}


class _Passage:
    """One connection: a request, its answer, the next request."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, store: socket.socket) -> None:
        self._proxy, self._client, self._store = proxy, client, store
        self._fault: Fault | None = None
        self._passed = 0
        self._resets = False

    def run(self) -> None:
        answers = threading.Thread(target=self._pass_answers, daemon=True)
        answers.start()
        with suppress(OSError):
            while block := self._client.recv(BLOCK):
                # The gateway sends a read's head at once, and nothing before the last answer has ended.
                if block.startswith(b"GET "):
                    self._fault, self._passed = self._proxy.plan(block), 0
                self._store.sendall(block)
        self._end()
        answers.join()

    def _pass_answers(self) -> None:
        with suppress(OSError):
            while block := self._store.recv(BLOCK):
                fault = self._fault
                if fault is None or self._passed + len(block) <= fault.after:
                    self._passed += len(block)
                    self._client.sendall(block)
                    continue
                before = fault.after - self._passed
                self._client.sendall(block[:before])
                self._fault = None
                with self._proxy._lock:
                    self._proxy.done[fault.kind] += 1
                fault.meanwhile()
                if fault.kind == "trickle":
                    self._trickle(fault, block[before:])
                else:
                    self._break(fault.kind)
                    return
        self._end()

    def _trickle(self, fault: Fault, block: bytes) -> None:
        pause = threading.Event()
        while block:
            pause.wait(fault.pause)
            self._client.sendall(block[: fault.piece])
            block = block[fault.piece :] or self._more()

    def _more(self) -> bytes:
        """More of the answer, nothing when there is no more for now."""
        self._store.settimeout(1)
        try:
            return self._store.recv(BLOCK)
        except TimeoutError:
            return b""
        finally:
            self._store.settimeout(None)

    def _break(self, kind: Kind) -> None:
        if kind == "silence":
            # Whoever reads requests notices when the gateway hangs up.
            return
        if kind == "garbage":
            self._client.sendall(random.Random(self._passed).randbytes(200))
        if kind == "reset":
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._resets = True
        self._end()

    def _end(self) -> None:
        with suppress(OSError):
            # Before a reset, which close sends, there is to be no end.
            self._client.shutdown(socket.SHUT_RD if self._resets else socket.SHUT_RDWR)
        with suppress(OSError):
            self._store.shutdown(socket.SHUT_RDWR)


@contextmanager
def fault_proxy(target: tuple[str, int]) -> Iterator[FaultProxy]:
    """A proxy whose connections end with it."""
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.go_down()
