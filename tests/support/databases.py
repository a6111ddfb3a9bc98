"""Databases of the tests' own: SQLite files, or databases of the PostgreSQL that TEST_DATABASE_URL names."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Protocol

from sqlalchemy import create_engine, make_url, text

from image_gateway.catalog.database import open_engine, upgrade


class Databases(Protocol):
    """Makes databases, empty or with all tables."""

    def make_empty(self) -> str: ...

    def make_migrated(self) -> str: ...

    def drop(self, url: str) -> None: ...


def migrate(url: str) -> str:
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


SHARED_MEMORY = Path("/dev/shm")
# The few databases that are in use at a time, with their write-ahead logs.
SQLITE_ROOM = 48 * 1024 * 1024


@contextmanager
def database_folder() -> Iterator[Path]:
    """A folder for SQLite files, in memory where there is room.

    Every commit waits for the disk, a few milliseconds each, and the tests commit tens of thousands of times.
    """
    roomy = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > SQLITE_ROOM
    with tempfile.TemporaryDirectory(prefix="databases-", dir=SHARED_MEMORY if roomy else None) as folder:
        yield Path(folder)


class SqliteDatabases:
    """Files in a folder; migrated ones are copies of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_empty(self) -> str:
        return f"sqlite:///{self._new_file()}"

    def make_migrated(self) -> str:
        path = self._new_file()
        shutil.copy(self._template, path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        path = make_url(url).database or ""
        for file in (path, f"{path}-wal", f"{path}-shm"):
            Path(file).unlink(missing_ok=True)

    @cached_property
    def _template(self) -> Path:
        path = self._new_file()
        migrate(f"sqlite:///{path}")
        return path

    def _new_file(self) -> Path:
        return self._folder / f"{uuid.uuid4().hex}.db"


class PostgresDatabases:
    """Databases of one server; migrated ones are made from one as their template."""

    def __init__(self, server_url: str) -> None:
        self._url = make_url(server_url)
        self._server = create_engine(self._url, isolation_level="AUTOCOMMIT")

    def make_empty(self) -> str:
        return self._create("template0")

    def make_migrated(self) -> str:
        return self._create(make_url(self._template).database or "")

    def drop(self, url: str) -> None:
        self._run(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')

    def close(self) -> None:
        if "_template" in self.__dict__:
            self.drop(self._template)
        self._server.dispose()

    @cached_property
    def _template(self) -> str:
        return migrate(self._create("template0"))

    def _create(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        with self._server.connect() as connection:
            connection.execute(text(statement))
