"""Who can read the files of a SQLite catalog, whatever the umask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from image_gateway.catalog.database import open_engine, upgrade

FILES = ["catalog.db", "catalog.db-shm", "catalog.db-wal"]


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def modes_while_open(folder: Path) -> dict[str, int]:
    engine = open_engine(f"sqlite:///{folder}/catalog.db")
    upgrade(engine)
    modes = {path.name: mode_of(path) for path in sorted(folder.iterdir())}
    engine.dispose()
    return modes


def test_new_files_and_their_folder_are_their_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert modes_while_open(folder) == dict.fromkeys(FILES, 0o600)
    assert mode_of(folder) == 0o700


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir(mode=0o755)
    assert modes_while_open(folder) == dict.fromkeys(FILES, 0o600)
    assert mode_of(folder) == 0o755


def test_files_that_others_can_read_are_tightened_after_a_crash(tmp_path: Path) -> None:
    open_engine(f"sqlite:///{tmp_path}/catalog.db").dispose()
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode=WAL');"
        "c.execute('CREATE TABLE t (x)'); c.execute('INSERT INTO t VALUES (1)'); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "catalog.db")], check=True)
    assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == dict.fromkeys(FILES, 0o644)
    engine = open_engine(f"sqlite:///{tmp_path}/catalog.db")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT x FROM t")).scalar() == 1
        assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == dict.fromkeys(FILES, 0o600)
    engine.dispose()


def test_files_of_another_user_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes_while_open(tmp_path)
    (tmp_path / "catalog.db").chmod(0o660)
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    assert modes_while_open(tmp_path)["catalog.db"] == 0o660


def test_nothing_is_made_before_the_first_connection(tmp_path: Path) -> None:
    open_engine(f"sqlite:///{tmp_path}/catalog.db").dispose()
    assert list(tmp_path.iterdir()) == []


def test_opening_more_connections_leaves_locks_alone(tmp_path: Path) -> None:
    """A file that is opened and closed beside SQLite loses the process's locks on it."""
    url = f"sqlite:///{tmp_path}/catalog.db"
    engine = open_engine(url)
    upgrade(engine)
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try: c.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError as e: print(e)"
    )
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin():
        other = open_engine(url)
        other.connect().close()
        command = [sys.executable, "-c", code, str(tmp_path / "catalog.db")]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        other.dispose()
    engine.dispose()
    assert told == "database is locked\n"


def test_a_database_in_memory_has_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine = open_engine("sqlite:///:memory:", pool_size=1)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()
    assert list(tmp_path.iterdir()) == []
