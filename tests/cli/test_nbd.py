"""`image-gateway nbd` as a process: commits, signals, fences, and what it refuses."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Iterator
from os import kill
from pathlib import Path
from socket import socket

import pytest
from click.testing import CliRunner, Result

from image_gateway.cli.main import cli
from image_gateway.nbd import wire
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.deltas.fake_server import running_deltas
from tests.client.fake import Fault
from tests.support.exporter import Exporter
from tests.support.nbd import is_closed, receive_error, send_request
from tests.support.waiting import wait_for

DATA = bytes(number * 7 % 251 for number in range(200_000))
NEVER = ("--flush-seconds", "3600")
Start = Callable[..., Exporter]


@pytest.fixture
def fake() -> Iterator[FakeDeltas]:
    with running_deltas() as running:
        yield running


@pytest.fixture
def delta(fake: FakeDeltas) -> FakeDelta:
    return fake.add(DATA)


@pytest.fixture
def start(fake: FakeDeltas, delta: FakeDelta, tmp_path: Path) -> Iterator[Start]:
    """Starts exporters of the delta, which end with the test."""
    started: list[Exporter] = []

    def start(*options: str) -> Exporter:
        variables = {"IMAGE_GATEWAY_API": fake.url, "IMAGE_GATEWAY_USER": "me"}
        started.append(Exporter(variables, delta.delta_id, tmp_path, *options))
        return started[-1]

    yield start
    for exporter in started:
        exporter.kill()


def ask(client: socket, command: int, offset: int = 0, length: int | None = None, data: bytes = b"") -> int:
    send_request(client, command, offset, length, data)
    return receive_error(client)


def stored(delta: FakeDelta) -> bytes:
    return delta.contents[delta.generation]


def test_a_flush_is_a_commit(start: Start, delta: FakeDelta) -> None:
    exporter = start(*NEVER)
    assert exporter.facts == {
        "deltaId": delta.delta_id,
        "uri": exporter.uri,
        "sizeBytes": 200_000,
        "blockSize": 4096,
        "generation": 0,
    }
    client = exporter.connect()
    assert ask(client, wire.CMD_READ, 5000, 100) == 0
    assert wire.receive_exactly(client, 100) == DATA[5000:5100]
    assert ask(client, wire.CMD_WRITE, 190_000, data=b"x" * 10_000) == 0
    assert ask(client, wire.CMD_WRITE_ZEROES, 0, 8192) == 0
    assert delta.generation == 0
    assert ask(client, wire.CMD_FLUSH) == 0
    assert delta.generation == 1
    assert stored(delta) == bytes(8192) + DATA[8192:190_000] + b"x" * 10_000


def test_commits_without_a_flush(start: Start, delta: FakeDelta) -> None:
    exporter = start("--flush-seconds", "0.1", "--verbose")
    ask(exporter.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    wait_for(lambda: "generation 1, 1 commits, 0 bytes not committed" in exporter.said, "a commit")
    assert stored(delta)[:4096] == b"x" * 4096


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_commits_what_was_written(
    number: int, start: Start, delta: FakeDelta, tmp_path: Path
) -> None:
    exporter = start(*NEVER)
    client = exporter.connect()
    ask(client, wire.CMD_WRITE, 0, data=b"x" * 4096)
    kill(exporter.process.pid, number)
    assert exporter.process.wait(30) == 0
    assert is_closed(client)
    assert stored(delta)[:4096] == b"x" * 4096
    assert not (tmp_path / "disk.sock").exists()


def test_a_kill_loses_only_what_was_not_flushed(start: Start, delta: FakeDelta) -> None:
    exporter = start(*NEVER)
    client = exporter.connect()
    ask(client, wire.CMD_WRITE, 0, data=b"x" * 4096)
    ask(client, wire.CMD_FLUSH)
    ask(client, wire.CMD_WRITE, 0, data=b"y" * 4096)
    exporter.kill()
    assert stored(delta)[:4096] == b"x" * 4096
    again = start(*NEVER).connect()
    assert ask(again, wire.CMD_READ, 0, 4096) == 0
    assert wire.receive_exactly(again, 4096) == b"x" * 4096


def test_a_commit_that_fails_is_the_flushes_error_and_can_be_tried_again(
    start: Start, fake: FakeDeltas, delta: FakeDelta
) -> None:
    exporter = start(*NEVER, "--patience", "0")
    client = exporter.connect()
    ask(client, wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.fail("commit", Fault(500))
    assert ask(client, wire.CMD_FLUSH) == errno.EIO
    assert "the gateway answered 500" in exporter.said
    assert ask(client, wire.CMD_FLUSH) == 0
    assert stored(delta)[:4096] == b"x" * 4096


def test_another_writer_ends_the_exporter(start: Start, fake: FakeDeltas, delta: FakeDelta) -> None:
    exporter = start(*NEVER)
    client = exporter.connect()
    ask(client, wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.steal(delta)
    assert ask(client, wire.CMD_FLUSH) == errno.ESHUTDOWN
    assert exporter.process.wait(30) == 77
    assert "4096 bytes were not stored: another writer took over" in exporter.said
    assert delta.generation == 0


def test_another_writer_at_the_end(start: Start, fake: FakeDeltas, delta: FakeDelta) -> None:
    exporter = start(*NEVER)
    ask(exporter.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.steal(delta)
    kill(exporter.process.pid, signal.SIGTERM)
    assert exporter.process.wait(30) == 77
    assert "4096 bytes were not stored" in exporter.said


@pytest.mark.parametrize(("patience", "signals", "status"), [("0", 1, 75), ("3600", 2, 1)])
def test_bytes_that_were_not_stored_are_told(
    patience: str, signals: int, status: int, start: Start, fake: FakeDeltas, delta: FakeDelta
) -> None:
    exporter = start(*NEVER, "--patience", patience)
    ask(exporter.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.fail("commit", *[Fault(500)] * 1000)
    for number in range(signals):
        kill(exporter.process.pid, signal.SIGTERM)
        wait_for(lambda number=number: "commit" in fake.asked or number, "the commit begins")
    assert exporter.process.wait(30) == status
    assert "4096 bytes were not stored" in exporter.said
    assert "SECRET" not in exporter.said


def test_tcp(start: Start, delta: FakeDelta) -> None:
    exporter = start("--address", "127.0.0.1:0")
    assert exporter.uri.startswith("nbd://127.0.0.1:")
    assert ask(exporter.connect(), wire.CMD_FLUSH) == 0


def refused(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["nbd", "delta", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --socket or --address"),
        (("--socket", "disk.sock", "--address", "127.0.0.1:1"), "give either --socket or --address"),
        (("--address", "10809"), "must be HOST:PORT"),
        (("--address", "127.0.0.1:65536"), "must be HOST:PORT"),
        (("--address", "0.0.0.0:0"), "--allow-remote"),
        (("--address", "[::]:0"), "--allow-remote"),
        (("--socket", "x", "--flush-seconds", "0"), "0.1"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    result = refused(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_socket_in_use_fences_nobody(
    start: Start, fake: FakeDeltas, delta: FakeDelta, tmp_path: Path
) -> None:
    start()
    sessions = delta.epoch
    path = str(tmp_path / "disk.sock")
    arguments = ["nbd", delta.delta_id, "--api", fake.url, "--user", "me", "--socket", path]
    result = CliRunner().invoke(cli, arguments)
    assert "another server listens here" in str(result.exception)
    assert delta.epoch == sessions
