"""A client that behaves, beside clients that do not: it notes how long its answers take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import urllib3
from urllib3.exceptions import HTTPError

PERIOD = 0.1
# Longer than any answer may take, so that a late one is measured and not lost.
PATIENCE = 20


@dataclass
class HonestClient:
    """What a client got that asks each URL again and again, over new connections."""

    targets: Mapping[str, tuple[dict[str, str], bytes | None]]
    rounds: int = 0
    slowest: float = 0
    failures: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def ask_until_ended(self) -> None:
        while not self._ended.wait(PERIOD):
            with urllib3.PoolManager(retries=False, timeout=PATIENCE) as http:
                for url, (headers, expected) in self.targets.items():
                    self._send_request(http, url, headers, expected)
            self.rounds += 1

    def _send_request(
        self, http: urllib3.PoolManager, url: str, headers: dict[str, str], expected: bytes | None
    ) -> None:
        began = time.monotonic()
        try:
            answer = http.request("GET", url, headers=headers)
        except HTTPError as error:
            self.failures.append(f"{url}: {error}")
        else:
            if answer.status not in (200, 206) or expected not in (None, answer.data):
                self.failures.append(f"{url}: {answer.status} with {len(answer.data)} bytes")
        self.slowest = max(self.slowest, time.monotonic() - began)

    def end(self) -> None:
        self._ended.set()


@contextmanager
def honest_client(
    targets: Mapping[str, tuple[dict[str, str], bytes | None]], *, seconds: float
) -> Iterator[HonestClient]:
    """Ask in a thread; in the end every answer must have been right and come within `seconds`.

    Args:
        targets: The headers to send to each URL, and the body that must come, None for any.
        seconds: How long the slowest answer may take.
    """
    client = HonestClient(targets)
    thread = threading.Thread(target=client.ask_until_ended, daemon=True)
    thread.start()
    try:
        yield client
    finally:
        client.end()
        thread.join()
    assert client.failures == []
    assert client.rounds >= 1
    assert client.slowest < seconds
