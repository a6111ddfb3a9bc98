"""Debian's redis-server as a child process, on loopback and without files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess
from tests.support.installed import require_installed

PASSWORD = "sesame-of-redis"
START_SECONDS = 20


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Run a server with a password; yields its URL without one: `redis://127.0.0.1:PORT`."""
    require_installed("redis-server")
    (port,) = find_free_ports(1)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
    process = ManagedProcess(
        "redis-server",
        ["redis-server", *options, "--dir", str(folder)],
        env=os.environ,
        log=folder / "redis.log",
    )
    try:
        with Redis(port=port, password=PASSWORD) as client:
            process.wait_until(lambda: _answers(client), seconds=START_SECONDS)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.stop(grace=5)


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False
