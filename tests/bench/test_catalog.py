from __future__ import annotations

import json

import catalog as catalog_bench
import pytest


def test_calls_are_measured_at_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--turns", "1", "--batch", "10", "--only", "lists,reads,sweeps", "--json"]
    catalog_bench.main(["--sizes", "800,400", *options])
    report = json.loads(capsys.readouterr().out)
    assert (report["database"], report["images"], report["turns"]) == ("sqlite", [400, 800], 1)
    times = [ms for calls in report["ms"].values() for ms in calls.values()]
    assert all(1_000 < size < 20_000 for size in report["bytes_per_image"])
    assert list(report["ms"]) == ["lists", "reads", "sweeps"]
    assert len(times) > 25
    assert all(len(each) == 2 and min(each) > 0 for each in times)


def test_a_part_of_it_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    catalog_bench.main(["--sizes", "400,500", "--turns", "2", "--only", "metrics"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split("|")[3:6] == [" ms at 400 ", " ms at 500 ", " ratio 500 "]
    assert [line.split("|")[2].strip() for line in lines[4:6]] == ["open uploads", "jobs by kind and state"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--sizes", "many"], "not many"),
        (["--sizes", "10"], "at least 400, not 10"),
        (["--turns", "0"], "--turns and --batch must be at least 1"),
        (["--sizes", "400", "--only", "lists,nothing"], "--only nothing: must be of lists, reads"),
    ],
)
def test_a_wrong_option(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        catalog_bench.main(arguments)
    assert text in capsys.readouterr().err + str(caught.value)
