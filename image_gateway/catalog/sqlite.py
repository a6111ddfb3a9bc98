"""Creates the engine for SQLite: WAL mode, full sync, busy timeout, files readable by their owner only."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

BUSY_TIMEOUT_SECONDS = 15
# The catalog holds owners, user ids and share links, so other users of the host must not read it.
FILE_MODE = 0o600
FOLDER_MODE = 0o700


def open_sqlite(url: URL, pool_size: int) -> Engine:
    """Create the engine and the folder of its file without connecting.

    Raises:
        OSError: The folder cannot be created.
    """
    path = database_path(url)
    if path is not None:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    # A connection is only a few open files, so the pool has one per thread.
    engine = create_engine(
        url, pool_size=pool_size, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, hide_parameters=True
    )
    if path is not None:
        event.listen(engine, "do_connect", lambda *_: _restrict_file_modes(path))
    event.listen(engine, "connect", _configure_connection)
    event.listen(engine, "begin", _begin_transaction)
    return engine


def database_path(url: URL) -> Path | None:
    """Return the database's file, or None for an in-memory database and for `file:` URIs."""
    name = url.database
    return Path(name).resolve() if name and name != ":memory:" and not name.startswith("file:") else None


def _restrict_file_modes(path: Path) -> None:
    """Create the file with mode 0600 and restrict existing files that this user owns.

    SQLite copies the mode to the -wal and -shm files. Do not open an existing file here: closing it would
    release the locks that SQLite holds on it.
    """
    # SQLite reports files that cannot be created or opened.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        # Other processes create and remove the -wal and -shm files at any time.
        with suppress(FileNotFoundError):
            found = file.stat()
            if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & ~FILE_MODE:
                file.chmod(FILE_MODE)


def _configure_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL, not NORMAL: an acknowledged completion must survive a power failure, and writes are rare.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_transaction(connection: Connection) -> None:
    """Emit the BEGIN that the execution options ask for, if any.

    Python's sqlite3 driver would delay BEGIN until the first write and never use BEGIN IMMEDIATE.
    """
    begin = connection.get_execution_options().get("sqlite_begin", "BEGIN")
    if begin is not None:
        connection.exec_driver_sql(begin)
