"""Deltas by their client and its commands, with a real gateway and a real store."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.models import LeaseRow
from image_gateway.cli.main import main
from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.calls import DeltasClient
from image_gateway.client.deltas.disk import DeltaDisk
from image_gateway.client.deltas.session import Fenced
from image_gateway.client.errors import ApiError
from image_gateway.client.retry import Retrier
from image_gateway.local.worker import start_worker
from tests.live.conftest import StartGateway

MIB = 1024 * 1024
# The last block is short.
DATA = random.Random(21).randbytes(3 * MIB) + bytes(2 * MIB) + random.Random(22).randbytes(1001)

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def image_id(client: GatewayClient) -> str:
    upload = client.create_image(name="base", sizeBytes=len(DATA))
    halves = (DATA[: 5 * MIB], DATA[5 * MIB :])
    etags = {
        number: client.put_part(client.sign_part(upload, number), half)
        for number, half in enumerate(halves, start=1)
    }
    client.complete(upload, etags)
    return upload.image_id


@pytest.fixture
def deltas(client: GatewayClient) -> DeltasClient:
    return DeltasClient(client)


@pytest.fixture
def delta_id(deltas: DeltasClient, image_id: str) -> str:
    return str(deltas.create(image_id, name="machine")["deltaId"])


@pytest.fixture
def run(
    client: GatewayClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs `image-gateway delta` in this process, and returns stdout and stderr."""
    monkeypatch.setenv("IMAGE_GATEWAY_API", client.base_url)
    monkeypatch.setenv("IMAGE_GATEWAY_USER", client.who.credentials().headers["X-User-Id"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["image-gateway", "delta", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert int(ended.value.code or 0) == status, err
        assert "igl~" not in out + err
        return out, err

    return run


def end_sessions(database_url: str, delta_id: str) -> None:
    """Let a day go by for the sessions of a delta."""
    engine = open_engine(database_url)
    past = datetime.now(UTC) - timedelta(days=1)
    with engine.begin() as connection:
        connection.execute(
            update(LeaseRow)
            .where(LeaseRow.delta_id == delta_id)
            .values(expires_at=past, session_ends_at=past)
        )
    engine.dispose()


def test_a_disk_is_written_and_found_again(client: GatewayClient, delta_id: str) -> None:
    model = bytearray(DATA)
    random_ = random.Random(5)
    with DeltaDisk(client, delta_id) as disk:
        assert disk.read(0, disk.size) == DATA
        for number in range(200):
            offset = random_.randrange(len(DATA))
            length = min(random_.choice([1, 512, 4096, 100_000]), len(DATA) - offset)
            if number % 4:
                data = random_.randbytes(length)
                disk.write(offset, data)
                model[offset : offset + length] = data
            else:
                disk.zero(offset, length)
                model[offset : offset + length] = bytes(length)
            if number % 20 == 0:
                disk.flush()
            assert disk.read(offset, length) == model[offset : offset + length]
    with DeltaDisk(client, delta_id) as disk:
        assert disk.read(0, disk.size) == model


def test_a_second_writer_fences_the_first(client: GatewayClient, delta_id: str) -> None:
    first = DeltaDisk(client, delta_id)
    first.write(0, b"first")
    first.flush()
    first.write(0, b"never")
    second = DeltaDisk(client, delta_id)
    with pytest.raises(Fenced, match="has a newer session"):
        first.flush()
    assert second.read(0, 5) == b"first"
    second.write(0, b"second")
    second.close()
    with pytest.raises(Fenced):
        first.write(0, b"never")


def test_a_reset_fences_the_writer(client: GatewayClient, deltas: DeltasClient, delta_id: str) -> None:
    disk = DeltaDisk(client, delta_id)
    disk.write(0, b"x" * 4096)
    disk.flush()
    deltas.reset(delta_id, 0)
    disk.write(0, b"y" * 4096)
    with pytest.raises(Fenced):
        disk.flush()
    with DeltaDisk(client, delta_id) as again:
        assert again.read(0, len(DATA)) == DATA


def test_a_session_that_ends_is_opened_again(
    client: GatewayClient, start: StartGateway, database_url: str, deltas: DeltasClient, delta_id: str
) -> None:
    gateway = start(ACCESS_CACHE_SECONDS="0")
    disk = DeltaDisk(GatewayClient(gateway.url, client.who), delta_id)
    disk.write(0, b"one")
    disk.flush()
    epoch = deltas.delta(delta_id)["epoch"]
    end_sessions(database_url, delta_id)
    assert disk.read(MIB, 3) == DATA[MIB : MIB + 3]
    disk.write(0, b"two")
    disk.flush()
    assert deltas.delta(delta_id)["epoch"] == epoch + 1
    end_sessions(database_url, delta_id)
    other = DeltaDisk(client, delta_id)
    disk.write(0, b"six")
    with pytest.raises(Fenced, match="another session after this one ended"):
        disk.flush()
    assert other.read(0, 3) == b"two"


def test_a_gateway_that_restarts_loses_no_commit(
    client: GatewayClient, start: StartGateway, delta_id: str
) -> None:
    gateway = start()
    port = int(gateway.url.rsplit(":", 1)[1])
    disk = DeltaDisk(GatewayClient(gateway.url, client.who), delta_id, retrier=Retrier(120))
    disk.write(0, b"before")
    disk.flush()
    gateway.process.kill()
    disk.write(6, b"after")
    start(port)
    disk.flush()
    assert disk.read(0, 11) == b"beforeafter"
    disk.close()


def test_the_commands_in_a_row(run: Run, client: GatewayClient, image_id: str, tmp_path: Path) -> None:
    delta_id = json.loads(run("create", image_id, "--name", "cli", "--block-size", "512", "--json")[0])[
        "deltaId"
    ]
    with DeltaDisk(client, delta_id) as disk:
        disk.write(len(DATA) - 3, b"end")
    snapshot = json.loads(run("snapshot", delta_id, "first", "--json")[0])
    assert snapshot["generation"] == 1
    with DeltaDisk(client, delta_id) as disk:
        disk.zero(0, len(DATA))
    assert [c["generation"] for c in json.loads(run("log", delta_id, "--json")[0])["commits"]] == [2, 1]
    assert delta_id in run("list", "--image", image_id)[0]
    exported = json.loads(run("export", delta_id, "-o", "zero.img", "--json")[0])
    assert exported["sha256"] == hashlib.sha256(bytes(len(DATA))).hexdigest()
    assert (tmp_path / "zero.img").stat().st_blocks == 0
    run("export", delta_id, "-o", "first.img", "--generation", "1")
    assert (tmp_path / "first.img").read_bytes() == DATA[:-3] + b"end"
    assert "is not kept" in run("export", delta_id, "-o", "none.img", "--generation", "9", status=1)[1]
    fork = json.loads(run("fork", delta_id, "--generation", "1", "--json")[0])
    assert fork["parent"] == {"deltaId": delta_id, "generation": 1}
    reset = json.loads(run("reset", delta_id, "1", "--yes", "--json")[0])
    with DeltaDisk(client, delta_id) as disk:
        assert (disk.generation, disk.read(0, len(DATA))) == (reset["generation"], DATA[:-3] + b"end")
    run("snapshot", delta_id, "--delete", snapshot["snapshotId"])
    assert json.loads(run("snapshot", delta_id, "--list", "--json")[0])["snapshots"] == []
    for one in (delta_id, fork["deltaId"]):
        run("delete", one, "--yes")
        assert "there is no such delta" in run("show", one, status=1)[1]


def test_a_flattened_delta_is_an_image(
    run: Run, client: GatewayClient, environment: dict[str, str], delta_id: str, tmp_path: Path
) -> None:
    with DeltaDisk(client, delta_id) as disk:
        disk.write(5000, b"flat")
        disk.zero(0, 4096)
    log = tmp_path / "worker.log"
    worker = start_worker({**os.environ, **environment, "WORKER_CLAIM_SECONDS": "2"}, log=log)
    try:
        made = json.loads(run("flatten", delta_id, "--name", "flat", "--watch", "--json")[0])
    finally:
        worker.kill()
    assert made["job"]["state"] == "done"
    expected = bytes(4096) + DATA[4096:5000] + b"flat" + DATA[5004:]
    assert client.read_range(made["imageId"], 0, len(DATA)) == expected
    assert client.image(made["imageId"])["name"] == "flat"


def test_an_image_goes_with_its_deltas_on_demand_only(
    client: GatewayClient, deltas: DeltasClient, image_id: str, delta_id: str
) -> None:
    with pytest.raises(ApiError) as raised:
        client.delete_image(image_id)
    assert raised.value.code == "HAS_DELTAS"
    client.delete_image(image_id, cascade=True)
    with pytest.raises(ApiError, match="there is no such delta"):
        deltas.delta(delta_id)


def test_an_export_beside_a_writer_is_one_generation(
    run: Run, client: GatewayClient, delta_id: str, tmp_path: Path
) -> None:
    disk, ended = DeltaDisk(client, delta_id), threading.Event()
    disk.write(0, b"s" * len(DATA))
    disk.flush()
    pinned = json.loads(run("snapshot", delta_id, "kept", "--json")[0])["generation"]

    def write_until_the_end() -> None:
        for number in itertools.count():
            disk.write(0, bytes([number % 256]) * len(DATA))
            disk.flush()
            if ended.is_set():
                return

    writer = threading.Thread(target=write_until_the_end)
    writer.start()
    try:
        run("export", delta_id, "-o", "out.img", "--generation", str(pinned), "--parallel", "2")
    finally:
        ended.set()
        writer.join()
    assert (tmp_path / "out.img").read_bytes() == b"s" * len(DATA)
    assert disk.generation > pinned
