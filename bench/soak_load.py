"""What the soak does to a gateway: good clients, bad ones, and those that leave in the midst."""

from __future__ import annotations

import json
import random
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

MIB = 1024 * 1024
SIZE = 8 * MIB
DATA = random.Random(8).randbytes(SIZE)
USER = "soak"
SEND_TIMEOUT = 2
PATIENCE = 60
# A stalled client takes this much into its socket and no more.
SMALL_BUFFER = 16 * 1024
MOST_COMPLAINTS = 20
BUSY = 503


class Odd(Exception):
    """An answer that is not what it must be."""


@dataclass
class Tally:
    """How often what was done, how often the gateway was busy, and what was wrong."""

    done: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    wrong: int = 0
    complaints: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, name: str, complaint: str | None = None, *, busy: bool = False) -> None:
        with self._lock:
            self.done[name] += 1
            self.busy += busy
            if complaint is not None:
                self.wrong += 1
                if len(self.complaints) < MOST_COMPLAINTS:
                    self.complaints.append(f"{name}: {complaint}")


class Client:
    """One of the clients that do something of everything, by its own dice."""

    def __init__(self, url: str, image_id: str, number: int, tally: Tally) -> None:
        self._url, self._image = url, f"/v1/images/{image_id}"
        self._image_id = image_id
        self._dice = random.Random(number)
        self._tally = tally
        self._lease: dict[str, str] | None = None
        self._http = urllib3.PoolManager(retries=False, timeout=PATIENCE)
        address = urlsplit(url)
        self._address = (address.hostname or "", address.port or 80)

    def run(self, stop: threading.Event) -> None:
        """Go on until told to stop, and leave no connection open."""
        acts, weights = zip(*self._acts(), strict=True)
        while not stop.is_set():
            self._act(self._dice.choices(acts, weights)[0])
        self._http.clear()

    def run_stalls(self, stop: threading.Event) -> None:
        """As `run`, but nothing else than stalling, which takes long."""
        while not stop.is_set():
            self._act(self._dice.choice([self.stall, self.stall_asking]))

    def _acts(self) -> list[tuple[Callable[[], bool], int]]:
        return [
            (self.range, 40),
            (self.whole, 4),
            (self.leave, 15),
            (self.nonsense, 10),
            (self.refused, 10),
            (self.control, 8),
            (self.upload, 2),
            (self.leased, 15),
        ]

    def _act(self, act: Callable[[], bool]) -> None:
        name = act.__name__.lstrip("_")
        try:
            self._tally.note(name, busy=not act())
        except (Odd, HTTPError, OSError) as error:
            self._tally.note(name, f"{type(error).__name__}: {error}")

    # What must succeed; each act says False when the gateway was too busy for it

    def range(self) -> bool:
        start = self._dice.randrange(SIZE)
        stop = min(SIZE, start + self._dice.choice([1, 4096, 65_536, MIB]))
        answer = self._send_request("GET", f"{self._image}/range", {"Range": f"bytes={start}-{stop - 1}"})
        return self._check(answer, 206, DATA[start:stop])

    def whole(self) -> bool:
        return self._check(self._send_request("GET", f"{self._image}/range"), 200, DATA)

    def control(self) -> bool:
        path = self._dice.choice(
            [f"{self._image}/stream-url", f"{self._image}/metadata", "/v1/images", "/healthz"]
        )
        return self._check(self._send_request("GET", path), 200)

    def upload(self) -> bool:
        created = self._send_request("POST", "/v1/images")
        if not self._check(created, 200):
            return False
        path = f"/v1/images/{json.loads(created.data)['imageId']}/upload"
        return self._check(self._send_request("DELETE", path), 200)

    def leased(self) -> bool:
        """Read by a lease; now and then renew it, or take it back and make another."""
        if self._lease is None:
            made = self._send_request("POST", "/v1/leases", body={"imageId": self._image_id})
            if not self._check(made, 200):
                return False
            self._lease = json.loads(made.data)
        lease, dice = self._lease, self._dice.random()
        if dice < 0.02:
            self._lease = None
            return self._check(self._send_request("DELETE", f"/v1/leases/{lease['leaseId']}"), 200)
        if dice < 0.1:
            return self._check(self._send_request("POST", f"/v1/leases/{lease['leaseId']}/renew"), 200)
        start = self._dice.randrange(SIZE)
        headers = {"Range": f"bytes={start}-{start + 4095}"}
        answer = self._http.request("GET", f"{self._url}/v1/l/{lease['token']}/disk.img", headers=headers)
        return self._check(answer, 206, DATA[start : start + 4096])

    def refused(self) -> bool:
        """What is no good request, but one."""
        method, path, headers, status = self._dice.choice(
            [
                ("GET", f"{self._image}/range", {"Range": "bytes=9-1"}, 416),
                ("GET", f"{self._image}/range", {"If-Match": '"other"'}, 412),
                ("GET", f"{self._image}/range", {"If-None-Match": "*"}, 304),
                ("GET", f"{self._image}/range", {"X-User-Id": "mallory"}, 403),
                ("GET", "/v1/images/unknown/range", {}, 404),
                ("GET", "/v1/l/igl~k1~made~up/disk.img", {}, 401),
                ("PUT", f"{self._image}/range", {}, 405),
                ("POST", "/v1/leases", {"Content-Type": "application/json"}, 400),
                ("GET", "/" + "x" * 9000, {}, 414),
            ]
        )
        return self._check(self._send_request(method, path, headers), status)

    def nonsense(self) -> bool:
        """What is no HTTP, or the half of it."""
        sent = self._dice.choice(
            [
                b"",
                b"\x16\x03\x01\x02\x00\x01\x00",
                b"GET\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                b"POST /v1/leases HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
                b"POST /v1/leases HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                b"GET / HTTP/1.1\r\nHost: " + b"x" * 200_000,
                b"GET /healthz HTTP/1.1\r\nHo",
            ]
        )
        with self._connect() as sock, suppress(OSError):
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65_536):
                pass
        return True

    def leave(self) -> bool:
        """Go away in the midst of a body, or when all of it has come."""
        wanted = self._dice.choice([0, 1, 65_536, SIZE // 2, SIZE - 1, SIZE])
        with self._connect() as sock:
            sock.sendall(self._request(more="Connection: close\r\n"))
            while wanted > 0 and (block := sock.recv(min(wanted, 262_144))):
                wanted -= len(block)
        return True

    def stall(self) -> bool:
        """Take nothing of a body until the gateway has given up; the body must then be visibly short."""
        with self._connect(small=True) as sock:
            sock.sendall(self._request(more="Connection: close\r\n"))
            poll = select.poll()
            # Tells of an end or a reset without anything being read.
            poll.register(sock, select.POLLRDHUP)
            if not poll.poll(1000 * PATIENCE):
                raise Odd("a stalled client was not let go")
            received = bytearray()
            with suppress(ConnectionResetError):
                while block := sock.recv(262_144):
                    received += block
            if len(received) >= SIZE:
                raise Odd("a stalled client got everything")
        return b" 503 " not in received[:20]

    def stall_asking(self) -> bool:
        """Send half of a request and wait to be let go."""
        with self._connect() as sock:
            sock.sendall(self._request()[:-2])
            with suppress(ConnectionResetError):
                while sock.recv(65_536):
                    pass
        return True

    def _send_request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: object = None
    ) -> BaseHTTPResponse:
        sent = {"X-User-Id": USER, **(headers or {})}
        return self._http.request(method, f"{self._url}{path}", headers=sent, json=body)

    def _check(self, answer: BaseHTTPResponse, status: int, data: bytes | None = None) -> bool:
        if answer.status == BUSY and "Retry-After" in answer.headers:
            return False
        if answer.status != status:
            raise Odd(f"{answer.status} instead of {status}: {answer.data[:200]!r}")
        if data is not None and answer.data != data:
            raise Odd("wrong bytes")
        return True

    def _connect(self, *, small: bool = False) -> socket.socket:
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        try:
            sock.connect(self._address)
        except OSError:
            sock.close()
            raise
        return sock

    def _request(self, more: str = "") -> bytes:
        head = f"GET {self._image}/range HTTP/1.1\r\nHost: soak\r\nX-User-Id: {USER}\r\n{more}\r\n"
        return head.encode()
