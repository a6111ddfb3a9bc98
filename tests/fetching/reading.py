"""Rules, names and whole reads for the tests."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from image_gateway.fetching.pinned_connection import Connector
from image_gateway.fetching.remote_file import RemoteFile, RetryPolicy, open_remote
from image_gateway.fetching.url_rules import FetchRules

PUBLIC = FetchRules(
    allow_http=True, allow_private=False, allowed_hosts=(), connect_seconds=5, stall_seconds=5
)
PRIVATE = replace(PUBLIC, allow_private=True)
IMPATIENT = replace(PRIVATE, stall_seconds=0.3)


class Names:
    """A resolver: each look-up of a name takes the next list of addresses, and the last one stays."""

    def __init__(self, **names: list[list[str]]) -> None:
        self._names = {name.replace("_", "."): answers for name, answers in names.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host not in self._names:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        answers = self._names[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [row for address in addresses for row in self(address, port)[:1]]


def retries(tries: int = 5, progress_bytes: int = 1 << 30) -> RetryPolicy:
    """Retries without waiting."""
    return RetryPolicy(tries=tries, progress_bytes=progress_bytes, sleep=lambda _: None)


def open_with(
    url: str,
    rules: FetchRules = PRIVATE,
    names: Names | None = None,
    *,
    etag: str | None = None,
    policy: RetryPolicy | None = None,
) -> RemoteFile:
    connector = Connector(rules, lookup=names or Names())
    return open_remote(url, rules, etag, connector=connector, retries=policy or retries())


def read_all(url: str, rules: FetchRules = PRIVATE, names: Names | None = None, *, offset: int = 0) -> bytes:
    with open_with(url, rules, names) as remote:
        return b"".join(remote.read_from(offset))
