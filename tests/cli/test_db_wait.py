"""`image-gateway db wait`, which pods of a new version run until its migration has ended."""

from __future__ import annotations

import signal
import subprocess
import threading

import pytest
from click.testing import CliRunner, Result

from image_gateway.catalog.database import newest_revision, open_engine, upgrade
from image_gateway.cli.main import cli
from tests.live.support import COMMAND

pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, empty_database_url: str) -> str:
    monkeypatch.setenv("S3_BUCKET", "images")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setattr("image_gateway.cli.db_wait.POLL_SECONDS", 0.05)
    return empty_database_url


def wait(timeout: str) -> Result:
    return CliRunner().invoke(cli, ["db", "wait", "--timeout", timeout])


def test_waiting_ends_when_another_process_has_upgraded(settings: str) -> None:
    engine = open_engine(settings)
    upgrading = threading.Timer(0.3, upgrade, [engine])
    upgrading.start()
    waited = wait("60s")
    upgrading.join()
    engine.dispose()
    assert waited.exit_code == 0
    assert waited.stderr.startswith("waiting: the tables are at revision none")
    assert waited.stdout == f"tables: {newest_revision()}, ready\n"


def test_waiting_gives_up_after_the_timeout() -> None:
    waited = wait("0s")
    assert (waited.exit_code, waited.stdout) == (1, "")
    assert "image-gateway db upgrade" in str(waited.exception)


def test_a_pod_that_is_deleted_while_it_waits_ends_at_once() -> None:
    """Without a handler of SIGTERM, process 1 of a container goes on until the pod's grace period is over."""
    waiting = subprocess.Popen([COMMAND, "db", "wait"], stderr=subprocess.PIPE, text=True)
    try:
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("waiting: the tables are at revision none")
        waiting.send_signal(signal.SIGTERM)
        # -15 would be the default action, which process 1 does not have.
        assert waiting.wait(20) == 1
    finally:
        waiting.kill()
        waiting.communicate(timeout=20)


def test_waiting_for_a_database_that_is_away_names_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://gateway:hidden@127.0.0.1:1/images")
    waited = wait("0s")
    assert waited.exit_code == 1
    assert "the database does not answer" in str(waited.exception)
    assert "hidden" not in f"{waited.output}{waited.exception}"
