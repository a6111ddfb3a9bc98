"""Backups of a test's database, made and restored by the commands of docs/how-to/backup.md."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url


def back_up(database_url: str, file: Path) -> None:
    """Write a consistent copy of the database while it is in use."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(url.database or "")) as connection:
            connection.execute("VACUUM INTO ?", (str(file),))
        return
    command = ["pg_dump", "--format=custom", f"--file={file}", _libpq(database_url)]
    subprocess.run(command, check=True, timeout=60)


def restore(file: Path, empty_database_url: str) -> None:
    """Restore a backup into an empty database."""
    url = make_url(empty_database_url)
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").write_bytes(file.read_bytes())
        return
    command = ["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={_libpq(empty_database_url)}", file]
    subprocess.run(command, check=True, timeout=60)


def _libpq(database_url: str) -> str:
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
