"""PostgreSQL and Redis, started for tests that need the real ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess, StartFailed

WITH_POSTGRES = Path(__file__).parents[2] / ".ci" / "with-postgres"
# Installing PostgreSQL takes most of it, where it is missing.
POSTGRES_SECONDS = 120
REDIS_SECONDS = 20


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Yield the URL of a PostgreSQL: that of TEST_DATABASE_URL, or of one that is started for the test."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    told = folder / "url"
    script = 'echo "$TEST_DATABASE_URL" >"$0.new" && mv "$0.new" "$0"; while [ -e "$0" ]; do sleep 0.1; done'
    command = [str(WITH_POSTGRES), "sh", "-c", script, str(told)]
    process = ManagedProcess("PostgreSQL", command, env=os.environ, log=folder / "postgres.log")
    try:
        process.wait_until(told.exists, seconds=POSTGRES_SECONDS)
    except StartFailed as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"PostgreSQL cannot be started: {error}")
    yield told.read_text().strip()
    # The script ends, and with-postgres stops the server.
    told.unlink()
    process.wait(30)


class RedisServer:
    """A Redis on loopback that keeps nothing; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        [self._port] = find_free_ports(1)
        self.url = f"redis://127.0.0.1:{self._port}"
        self._process: ManagedProcess | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            if os.environ.get("CI"):
                raise StartFailed("redis-server is not installed")
            pytest.skip("redis-server is not installed: sudo apt-get install redis-server")
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = ManagedProcess(
            "Redis", [program, *options], env=os.environ, log=self._folder / "redis.log"
        )
        self._process.wait_until(self._answers, seconds=REDIS_SECONDS)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def key_names(self) -> list[str]:
        """The names of all keys."""
        with redis.Redis.from_url(self.url, socket_timeout=5, decode_responses=True) as client:
            return list(client.scan_iter())

    def _answers(self) -> bool:
        try:
            self.key_names()
        except redis.ConnectionError:
            return False
        return True
