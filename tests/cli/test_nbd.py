"""`image-gateway nbd`: commits, signals, fences, and what it refuses."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import kill
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import pytest
from click.testing import CliRunner, Result

from image_gateway.cli.main import cli
from image_gateway.cli.nbd import export_disk
from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.disk import DeltaDisk
from image_gateway.client.retry import Retrier
from image_gateway.nbd import wire
from image_gateway.nbd.listener import unix_listener
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.deltas.fake_server import running_deltas
from tests.client.fake import Fault
from tests.support.background import in_background
from tests.support.exporter import COMMAND, Exporter
from tests.support.nbd import enter, is_closed, receive_error, send_request
from tests.support.waiting import wait_for

DATA = bytes(number * 7 % 251 for number in range(200_000))
SECONDS = 30


@pytest.fixture
def fake() -> Iterator[FakeDeltas]:
    with running_deltas() as running:
        yield running


@pytest.fixture
def delta(fake: FakeDeltas) -> FakeDelta:
    return fake.add(DATA)


class Running:
    """An export of a delta in this process."""

    def __init__(self, fake: FakeDeltas, delta: FakeDelta, path: Path, **options: Any) -> None:
        self.over, self.give_up = threading.Event(), threading.Event()
        self.said: list[str] = []
        self._opened = ExitStack()
        listener = self._opened.enter_context(unix_listener(path))
        self._path = path
        retrier = Retrier(options.pop("patience", 60), say=self.said.append, stop=self.give_up)
        disk = DeltaDisk(GatewayClient(fake.url, "me"), delta.delta_id, retrier=retrier)
        settings = {"flush_seconds": 3600, "over": self.over, "say": self.said.append, **options}
        self.status = in_background(lambda: export_disk(disk, delta.delta_id, listener, **settings))

    def connect(self) -> socket:
        client = self._opened.enter_context(socket(AF_UNIX))
        client.settimeout(SECONDS)
        client.connect(str(self._path))
        enter(client)
        return client

    def end(self) -> None:
        self.over.set()
        self.give_up.set()
        self.status.result(SECONDS)
        self._opened.close()


Start = Callable[..., Running]


@pytest.fixture
def start(fake: FakeDeltas, delta: FakeDelta, tmp_path: Path) -> Iterator[Start]:
    """Exports the delta until the end of the test."""
    started: list[Running] = []

    def start(**options: Any) -> Running:
        started.append(Running(fake, delta, tmp_path / "disk.sock", **options))
        return started[-1]

    yield start
    for running in started:
        running.end()


@pytest.fixture
def exporter(fake: FakeDeltas, delta: FakeDelta, tmp_path: Path) -> Iterator[Exporter]:
    """The command as a process."""
    variables = {"IMAGE_GATEWAY_API": fake.url, "IMAGE_GATEWAY_USER": "me"}
    exporter = Exporter(variables, delta.delta_id, tmp_path, "--flush-seconds", "3600", command=COMMAND)
    yield exporter
    exporter.kill()


def ask(client: socket, command: int, offset: int = 0, length: int | None = None, data: bytes = b"") -> int:
    send_request(client, command, offset, length, data)
    return receive_error(client)


def stored(delta: FakeDelta) -> bytes:
    return delta.contents[delta.generation]


def test_a_flush_is_a_commit(start: Start, delta: FakeDelta) -> None:
    client = start().connect()
    assert ask(client, wire.CMD_READ, 5000, 100) == 0
    assert wire.receive_exactly(client, 100) == DATA[5000:5100]
    assert ask(client, wire.CMD_WRITE, 190_000, data=b"x" * 10_000) == 0
    assert ask(client, wire.CMD_WRITE_ZEROES, 0, 8192) == 0
    assert delta.generation == 0
    assert ask(client, wire.CMD_FLUSH) == 0
    assert delta.generation == 1
    assert stored(delta) == bytes(8192) + DATA[8192:190_000] + b"x" * 10_000


def test_commits_without_a_flush(start: Start, delta: FakeDelta) -> None:
    running = start(flush_seconds=0.05, verbose=True)
    ask(running.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    wait_for(lambda: running.said == ["generation 1, 1 commits, 0 bytes not committed"], "a commit")
    assert stored(delta)[:4096] == b"x" * 4096


def test_the_end_commits_what_was_written(start: Start, fake: FakeDeltas, delta: FakeDelta) -> None:
    running = start()
    client = running.connect()
    ask(client, wire.CMD_WRITE, 0, data=b"x" * 4096)
    running.over.set()
    assert running.status.result(SECONDS) == 0
    assert is_closed(client)
    assert stored(delta)[:4096] == b"x" * 4096
    assert [session.ended for session in fake.sessions.values()] == [True]


def test_a_commit_that_fails_is_the_flushes_error_and_can_be_tried_again(
    start: Start, fake: FakeDeltas, delta: FakeDelta
) -> None:
    running = start(patience=0)
    client = running.connect()
    ask(client, wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.fail("commit", Fault(500))
    assert ask(client, wire.CMD_FLUSH) == errno.EIO
    assert "the gateway answered 500" in running.said[0]
    assert ask(client, wire.CMD_FLUSH) == 0
    assert stored(delta)[:4096] == b"x" * 4096


def test_another_writer_ends_the_export(start: Start, fake: FakeDeltas, delta: FakeDelta) -> None:
    running = start()
    client = running.connect()
    ask(client, wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.steal(delta)
    assert ask(client, wire.CMD_FLUSH) == errno.ESHUTDOWN
    assert running.status.result(SECONDS) == 77
    assert running.said == ["image-gateway: 4096 bytes were not stored: another writer took over"]
    assert delta.generation == 0


def test_another_writer_is_noticed_at_the_end(start: Start, fake: FakeDeltas, delta: FakeDelta) -> None:
    running = start()
    ask(running.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.steal(delta)
    running.over.set()
    assert running.status.result(SECONDS) == 77
    assert "4096 bytes were not stored" in running.said[0]


@pytest.mark.parametrize(("patience", "status"), [(0, 75), (3600, 1)])
def test_bytes_that_were_not_stored_are_told(
    patience: float, status: int, start: Start, fake: FakeDeltas, delta: FakeDelta
) -> None:
    running = start(patience=patience)
    ask(running.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.fail("commit", *[Fault(500)] * 1000)
    running.over.set()
    wait_for(lambda: "commit" in fake.asked, "the commit begins")
    running.give_up.set()
    assert running.status.result(SECONDS) == status
    assert "4096 bytes were not stored" in running.said[-1]
    assert "SECRET" not in str(running.said)


def test_the_process_announces_itself_and_commits_on_sigterm(
    exporter: Exporter, delta: FakeDelta, tmp_path: Path
) -> None:
    facts = {"sizeBytes": 200_000, "blockSize": 4096, "generation": 0}
    uri = f"nbd+unix:///?socket={tmp_path}/disk.sock"
    assert exporter.facts == {"deltaId": delta.delta_id, "uri": uri, **facts}
    ask(exporter.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    kill(exporter.process.pid, signal.SIGTERM)
    assert exporter.process.wait(SECONDS) == 0
    assert stored(delta)[:4096] == b"x" * 4096
    assert not (tmp_path / "disk.sock").exists()


def test_a_second_signal_gives_up(exporter: Exporter, fake: FakeDeltas) -> None:
    ask(exporter.connect(), wire.CMD_WRITE, 0, data=b"x" * 4096)
    fake.fail("commit", *[Fault(500)] * 1000)
    kill(exporter.process.pid, signal.SIGINT)
    wait_for(lambda: "commit" in fake.asked, "the commit begins")
    kill(exporter.process.pid, signal.SIGINT)
    assert exporter.process.wait(SECONDS) == 1
    assert "4096 bytes were not stored: interrupted" in exporter.said


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
    arguments = ["nbd", delta.delta_id, "--api", fake.url, "--user", "me"]
    result = CliRunner().invoke(cli, [*arguments, "--socket", str(tmp_path / "disk.sock")])
    assert "another server listens here" in str(result.exception)
    assert delta.epoch == 1
