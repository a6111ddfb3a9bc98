"""`image-gateway delta` against fake deltas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from image_gateway.cli import jobs
from tests.client.conftest import Run
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.fake import Fault

JOB = {"jobId": "0a1b2c3d", "kind": "flatten", "bytesTotal": 100, "created": "2031-01-01T00:00:00Z"}


def job(state: str, done: int, **more: Any) -> dict[str, Any]:
    return {**JOB, "state": state, "bytesDone": done, **more}


def test_a_delta_is_created_and_shown(fake: FakeDeltas, run: Run) -> None:
    made = json.loads(run("delta", "create", "image", "--name", "n", "--block-size", "512", "--json").out)
    assert fake.bodies == [{"imageId": "image", "blockSize": 512, "name": "n"}]
    assert json.loads(run("delta", "show", made["deltaId"], "--json").out) == made
    assert f"deltaId:       {made['deltaId']}\n" in run("delta", "show", made["deltaId"]).out
    assert run("delta", "create", "image").out.startswith("delta ")


@pytest.mark.parametrize("size", ["0", "511", "4095", "131072", "-4096"])
def test_a_wrong_block_size_is_named(run: Run, size: str) -> None:
    ended = run("delta", "create", "image", "--block-size", size)
    assert ended.status == 2
    assert f"{size} is not a power of two from 512 to 65536, such as 4096" in ended.err


def test_a_list_goes_through_all_pages(fake: FakeDeltas, run: Run) -> None:
    deltas = [fake.add(bytes(512), name=f"delta {number}") for number in range(5)]
    listed = json.loads(run("delta", "list", "--json").out)["deltas"]
    assert [record["deltaId"] for record in listed] == [delta.delta_id for delta in deltas]
    assert len(json.loads(run("delta", "list", "--limit", "3", "--json").out)["deltas"]) == 3
    table = run("delta", "list", "--image", deltas[4].image_id).out
    assert "delta 4" in table
    assert "delta 3" not in table


def test_commits_are_listed(delta: FakeDelta, run: Run) -> None:
    for _ in range(5):
        delta.append(bytes(512))
    commits = json.loads(run("delta", "log", delta.delta_id, "--json").out)["commits"]
    assert [commit["generation"] for commit in commits] == [5, 4, 3, 2, 1]
    assert len(json.loads(run("delta", "log", delta.delta_id, "--limit", "1", "--json").out)["commits"]) == 1
    assert "4.0 KiB" in run("delta", "log", delta.delta_id).out


def test_a_reset_is_called_so_in_the_log(fake: FakeDeltas, delta: FakeDelta, run: Run) -> None:
    delta.append(bytes(512))
    run("delta", "reset", delta.delta_id, "0", "--yes")
    rows = [line.split() for line in run("delta", "log", delta.delta_id).out.splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [("2", "reset"), ("1", "1")]


def test_the_parent_of_a_fork_is_shown(fake: FakeDeltas, delta: FakeDelta, run: Run) -> None:
    fork = json.loads(run("delta", "fork", delta.delta_id, "--json").out)
    shown = run("delta", "show", fork["deltaId"]).out
    assert f"parent:        deltaId {delta.delta_id}, generation 0\n" in shown


def test_snapshots_are_made_listed_and_deleted(delta: FakeDelta, run: Run) -> None:
    delta.append(bytes(512))
    assert "of generation 1" in run("delta", "snapshot", delta.delta_id, "newest").out
    old = json.loads(run("delta", "snapshot", delta.delta_id, "base", "--generation", "0", "--json").out)
    assert (old["deltaId"], old["name"], old["generation"]) == (delta.delta_id, "base", 0)
    listed = json.loads(run("delta", "snapshot", delta.delta_id, "--list", "--json").out)["snapshots"]
    assert [snapshot["name"] for snapshot in listed] == ["newest", "base"]
    assert old["snapshotId"] in run("delta", "snapshot", delta.delta_id, "--list").out
    assert run("delta", "snapshot", delta.delta_id, "--delete", old["snapshotId"]).status == 0
    ended = run("delta", "snapshot", delta.delta_id, "--delete", old["snapshotId"])
    assert (ended.status, ended.out) == (1, "")
    assert "there is no such snapshot" in ended.err
    ended = run("delta", "snapshot", delta.delta_id, "n", "--generation", "9")
    assert ended.status == 1
    assert "generation 9 is no longer kept" in ended.err


@pytest.mark.parametrize(
    "options", [[], ["n", "--list"], ["n", "--delete", "s"], ["--list", "--delete", "s"]]
)
def test_a_snapshot_command_does_one_thing(run: Run, options: list[str]) -> None:
    ended = run("delta", "snapshot", "d", *options)
    assert ended.status == 2
    assert "give one of NAME, --list and --delete SNAPSHOT" in ended.err


def test_a_generation_is_for_a_new_snapshot(run: Run) -> None:
    assert run("delta", "snapshot", "d", "--list", "--generation", "1").status == 2


def test_a_fork_begins_with_a_generation(fake: FakeDeltas, delta: FakeDelta, run: Run) -> None:
    delta.append(b"x" * 512)
    assert run("delta", "fork", delta.delta_id, "--generation", "1", "--name", "n").status == 0
    assert fake.bodies == [{"fromDelta": delta.delta_id, "generation": 1, "name": "n"}]


def test_reset_and_delete_ask_first(fake: FakeDeltas, run: Run) -> None:
    delta = fake.add(b"0" * 512, name="machine")
    delta.append(b"1" * 512)
    for arguments in (["reset", delta.delta_id, "0"], ["delete", delta.delta_id]):
        ended = run("delta", *arguments, stdin="n\n")
        assert ended.status == 1
        assert f"delta {delta.delta_id} (machine)" in ended.err
    assert (delta.generation, list(fake.deltas)) == (1, [delta.delta_id])
    assert json.loads(run("delta", "reset", delta.delta_id, "0", "--yes", "--json").out)["generation"] == 2
    assert delta.contents[2] == b"0" * 512
    deleted = run("delta", "delete", delta.delta_id, "--yes", "--json")
    assert json.loads(deleted.out) == {"deltaId": delta.delta_id, "deleted": True}
    assert fake.deltas == {}


@pytest.mark.parametrize(("last", "status"), [(job("done", 100), 0), (job("failed", 50), 1)])
def test_flattening_is_watched_to_its_end(
    fake: FakeDeltas,
    delta: FakeDelta,
    run: Run,
    last: dict[str, Any],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "WATCH_SECONDS", 0)
    error = {"error": {"message": "the bucket is full"}} if status else {}
    fake.jobs.extend([job("queued", 0), job("running", 40), {**last, **error}])
    ended = run("delta", "flatten", delta.delta_id, "--name", "flat", "--watch", "--json")
    assert (ended.status, json.loads(ended.out)["job"]["state"]) == (status, last["state"])
    assert fake.bodies == [{"name": "flat"}]
    assert ("the bucket is full" in ended.err) == bool(status)


def test_flattening_goes_on_without_being_watched(fake: FakeDeltas, delta: FakeDelta, run: Run) -> None:
    fake.jobs.append(job("queued", 0))
    ended = run("delta", "flatten", delta.delta_id, "--name", "flat")
    assert ended.out == "image made\njob 0a1b2c3d queued\n"
    assert run("delta", "flatten", delta.delta_id).status == 2


def test_ids_are_never_paths(fake: FakeDeltas, run: Run) -> None:
    for arguments in (["show", "../images?x=1"], ["snapshot", "../x", "--list"], ["log", "../x"]):
        ended = run("delta", *arguments)
        assert ended.status == 1
        assert "there is no such" in ended.err


def test_a_name_does_nothing_to_the_terminal(fake: FakeDeltas, run: Run) -> None:
    delta = fake.add(bytes(512), name="\x1b[31mx\n")
    for arguments in (["list"], ["show", delta.delta_id]):
        out = run("delta", *arguments).out
        assert r"\x1b[31mx\n" in out
        assert "\x1b" not in out


@pytest.mark.parametrize("route", ["create", "show", "page", "log"])
def test_a_blip_is_waited_for(fake: FakeDeltas, delta: FakeDelta, run: Run, route: str) -> None:
    fake.fail(route, Fault(503, {"Retry-After": "0"}))
    arguments = {"create": ["create", "i"], "show": ["show", delta.delta_id], "page": ["list"]}
    assert run("delta", *arguments.get(route, ["log", delta.delta_id])).status == 0


@pytest.mark.parametrize(
    "command",
    ["create", "fork", "list", "show", "log", "snapshot", "reset", "flatten", "delete", "export"],
)
def test_help_has_an_example(run: Run, command: str) -> None:
    assert f"Example: image-gateway delta {command}" in " ".join(run("delta", command, "--help").out.split())
