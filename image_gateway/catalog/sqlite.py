"""The engine for SQLite: WAL, full syncs, a busy time-out, and files that only their owner can read."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

BUSY_TIMEOUT_SECONDS = 15
# The catalog tells who owns what, and the names that shares and leases go by.
FILE_MODE = 0o600
FOLDER_MODE = 0o700


def open_sqlite(url: URL, pool_size: int) -> Engine:
    """Make the engine and the folder of its file; nothing is connected yet. Raises OSError for the folder."""
    path = _path_of(url)
    if path is not None:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    # Connections are only open files, so there are as many as threads.
    engine = create_engine(
        url, pool_size=pool_size, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, hide_parameters=True
    )
    if path is not None:
        event.listen(engine, "do_connect", lambda *_: _keep_private(path))
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _path_of(url: URL) -> Path | None:
    """The database's file; None for one in memory, and for a URI, whose owner arranges for its file."""
    name = url.database
    return Path(name).resolve() if name and name != ":memory:" and not name.startswith("file:") else None


def _keep_private(path: Path) -> None:
    """Make the file for its owner only, and tighten those of ours; SQLite gives its mode to -wal and -shm.

    An existing file must not be opened here: closing it would drop the locks that SQLite holds on it.
    """
    # What cannot be made or opened is SQLite's to tell.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        # The other two come and go as other processes begin and end.
        with suppress(FileNotFoundError):
            found = file.stat()
            if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & ~FILE_MODE:
                file.chmod(FILE_MODE)


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL, not NORMAL: an acknowledged completion must survive a power cut, and writes are rare.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Begin as the transaction asks, if at all: Python's driver would begin late and never IMMEDIATE."""
    begin = connection.get_execution_options().get("sqlite_begin", "BEGIN")
    if begin is not None:
        connection.exec_driver_sql(begin)
