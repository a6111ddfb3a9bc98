"""`image-gateway trace` over a catalog: what it stores, and what it says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from image_gateway.catalog.repository import Catalog
from image_gateway.cli.main import cli
from image_gateway.errors import InvalidState, NotFound
from image_gateway.protocol.boot_trace import BLOCK_SIZE, BootTrace
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

pytestmark = pytest.mark.database
LEASE, OTHER = "00000000-0000-4000-8000-00000000aaaa", "00000000-0000-4000-8000-00000000bbbb"
VERSION = make_record().version
Run = Callable[..., Result]


def line(start: int, stop: int, second: int, lease: str = LEASE, image: str = IMAGE_ID) -> str:
    facts: dict[str, Any] = {
        "time": f"2026-11-22T19:00:{second:02d}.000Z",
        "event": "request",
        "bytes": stop - start,
        "complete": True,
        "duration_ms": 1.5,
        "image": image,
        "lease": lease,
        "range_start": start,
        "range_stop": stop,
    }
    return json.dumps(facts) + "\n"


@pytest.fixture
def run(database_url: str, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    catalog.add(make_record(), FREE)
    catalog.complete(IMAGE_ID, "u1", DISK, NOW)

    # The fixture closes its connections; the command's own end with its process.
    monkeypatch.setattr("image_gateway.cli.trace.open_catalog", lambda _: catalog)

    def invoke(*arguments: str, log: str | None = None, standard_input: str | None = None) -> Result:
        options: list[str] = []
        if log is not None:
            (tmp_path / "gateway.log").write_text(log)
            options = ["--log", str(tmp_path / "gateway.log")]
        environment = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "DATABASE_URL": database_url}
        command = ["trace", *(arguments or (IMAGE_ID,)), *options]
        return CliRunner().invoke(cli, command, env=environment, input=standard_input)

    return invoke


LOG = line(5 * BLOCK_SIZE, 7 * BLOCK_SIZE, 2) + line(100, 200, 1) + "a line of somebody else\n"


def test_a_trace_is_stored_and_removed(run: Run, catalog: Catalog) -> None:
    ended = run(log=LOG)
    assert ended.exit_code == 0, ended.output
    assert ended.output == (
        "2 reads: 3 blocks of 64 KiB, 196608 bytes, 0.0 % of the image\nstored the boot trace\n"
    )
    assert catalog.boot_traces.find(IMAGE_ID, VERSION) == BootTrace(((0, 1), (5, 2)))
    removals = [run(IMAGE_ID, "--remove").output for _ in range(2)]
    assert removals == ["removed the boot trace\n", "the image has no boot trace\n"]
    assert catalog.boot_traces.find(IMAGE_ID, VERSION) is None


def test_a_dry_run_stores_nothing(run: Run, catalog: Catalog) -> None:
    ended = run(IMAGE_ID, "--dry-run", log=LOG)
    assert (ended.exit_code, "3 blocks" in ended.output, "stored" in ended.output) == (0, True, False)
    assert catalog.boot_traces.find(IMAGE_ID, VERSION) is None


def test_several_logs_and_standard_input_are_one_boot(run: Run, catalog: Catalog) -> None:
    ended = run(IMAGE_ID.upper(), "--log", "-", log=LOG, standard_input=line(BLOCK_SIZE, BLOCK_SIZE + 1, 0))
    assert ended.exit_code == 0, ended.output
    assert catalog.boot_traces.find(IMAGE_ID, VERSION) == BootTrace(((1, 1), (0, 1), (5, 2)))


def test_the_lease_is_chosen_if_there_are_several(run: Run, catalog: Catalog) -> None:
    log = LOG + line(0, 9, 3, lease=OTHER)
    ended = run(log=log)
    assert ended.exit_code == 1
    assert f"\n  {LEASE}: 2 reads\n  {OTHER}: 1 reads" in ended.output
    assert run(IMAGE_ID, "--lease", OTHER.upper(), log=log).exit_code == 0
    assert catalog.boot_traces.find(IMAGE_ID, VERSION) == BootTrace(((0, 1),))


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "make a lease with `record: true`"),
        ("hello\n", "this is no log of the gateway with LOG_FORMAT=json"),
        ('{"event": "request", "image": "x"}\n', "the log has no recorded read of this image"),
        (line(0, 9, 1, image=OTHER), "the log has no recorded read of this image"),
        (
            "2026-11-22T19:00:00.000Z INFO 7 image_gateway.request: request range_start=1 range_stop=2\n",
            "start the gateway with LOG_FORMAT=json",
        ),
        ("x" * 200_000, "this is no log of the gateway"),
    ],
)
def test_a_log_without_reads_says_how_to_record(run: Run, catalog: Catalog, log: str, said: str) -> None:
    ended = run(log=log)
    assert ended.exit_code == 1
    assert said in ended.output
    assert catalog.boot_traces.find(IMAGE_ID, VERSION) is None


def test_a_lease_that_recorded_nothing(run: Run) -> None:
    ended = run(IMAGE_ID, "--lease", OTHER, log=LOG)
    assert (ended.exit_code, "but none by this lease" in ended.output) == (1, True)


@pytest.mark.parametrize(
    "options", [[], ["--remove", "--dry-run"], ["--remove", "--lease", LEASE], ["--remove", "--log", "-"]]
)
def test_options_that_do_not_go_together(run: Run, options: list[str]) -> None:
    assert run(IMAGE_ID, *options).exit_code == 2


def test_a_log_that_does_not_exist(run: Run) -> None:
    ended = run(IMAGE_ID, "--log", "/nowhere/gateway.log")
    assert (ended.exit_code, "No such file" in ended.output) == (2, True)


@pytest.mark.parametrize("image_id", [OTHER, "x"])
def test_an_unknown_image(run: Run, image_id: str) -> None:
    assert isinstance(run(image_id, log=LOG).exception, NotFound)


def test_an_image_that_is_not_complete(run: Run, catalog: Catalog) -> None:
    catalog.add(make_record(OTHER), FREE)
    assert isinstance(run(OTHER, log=LOG).exception, InvalidState)
    catalog.delete(IMAGE_ID, NOW)
    assert isinstance(run(log=LOG).exception, InvalidState)
