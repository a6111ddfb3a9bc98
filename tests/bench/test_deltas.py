from __future__ import annotations

import json

import deltas as deltas_bench
import deltas_opening
import pytest


def test_opening_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    deltas_opening.main(["--commits", "3", "--written-mib", "1", "--rounds", "1", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["delta of 3 commits: objects opened, at most 65"] == "3"
    assert float(report["1 MiB in runs of 64 KiB over 100 GB: ratio"]) > 0
    assert float(report["1 MiB in blocks of 4 KiB over 100 GB: ratio"]) > 0


def test_commits_and_reads_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    deltas_bench.main(["--rounds", "1", "--image-mib", "8", "--json"])
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert len(figures) == 8
    assert all(figure.get("ratio", 0) > 0 or figure["value"] > 0 for figure in figures)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rounds", "0"], "--rounds and --image-mib must be at least 1"),
        (["--only", "nothing"], "--only nothing: must be of commits, writes, reads"),
    ],
)
def test_a_wrong_option(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        deltas_bench.main(arguments)
    assert text in capsys.readouterr().err
