"""A soak of less than a minute, and its verdict on recorded laps."""

from __future__ import annotations

import importlib
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from tests.live.support import ROOT

MIB = 1024 * 1024
SECONDS, CLIENTS = 15, 4


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("soak")


@pytest.mark.thorough
def test_a_mixed_load_leaves_nothing_behind() -> None:
    command = [sys.executable, "bench/soak.py", "--seconds", str(SECONDS), "--clients", str(CLIENTS)]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(ended.stdout[ended.stdout.index("{\n") :])
    kinds = {"range", "whole", "leave", "stall", "stall_asking", "nonsense", "refused", "control", "leased"}
    assert kinds <= report["done"].keys()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"memory": 203 * MIB, "descriptors": 52, "threads": 19}, None),
        ({"memory": 220 * MIB}, "memory grew by 8.3% per 100,000 requests, from 200.0 to 220.0 MiB"),
        ({"descriptors": 70}, "descriptors grew from 50 to 70"),
        ({"threads": 24}, "threads grew from 18 to 24"),
        ({"processes": (1, 2, 4)}, "processes came or went: (1, 2, 3) became (1, 2, 4)"),
    ],
    ids=str,
)
def test_the_verdict(soak: ModuleType, changes: dict[str, object], fault: str | None) -> None:
    usage = {"processes": (1, 2, 3), "memory": 200 * MIB, "descriptors": 50, "threads": 18}
    laps = [soak.Usage(requests=50_000 * lap, **(usage | (changes if lap > 1 else {}))) for lap in range(4)]
    assert soak.find_faults(laps) == ([fault] if fault else [])


def test_memory_leaves_out_mapped_files(soak: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    path.write_bytes(bytes(32 * MIB))
    before = soak.usage_of(os.getpid(), 0).memory
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert not any(mapped[offset] for offset in range(0, len(mapped), mmap.PAGESIZE))
        with_file = soak.usage_of(os.getpid(), 0).memory
        held = b"\x01" * (32 * MIB)
        with_bytes = soak.usage_of(os.getpid(), 0).memory
    assert with_file - before < 8 * MIB
    assert with_bytes - with_file > 0.9 * len(held)


def laps_of(soak: ModuleType, memory: Sequence[float], requests_per_lap: int) -> list[object]:
    """Laps with so many MiB at their ends, all else flat."""
    return [
        soak.Usage(lap * requests_per_lap, (1, 2, 3), round(mib * MIB), 50, 18)
        for lap, mib in enumerate(memory, start=1)
    ]


def steady(laps: int, added: float) -> list[float]:
    """Memory at the ends of laps that each add so many MiB."""
    return [270 + added * lap for lap in range(laps)]


# 17 minutes and 443,473 requests in nine laps took memory from 270 to 290 MiB, 2.6 MiB per 50,000 requests.
PER_LAP, MIB_PER_LAP = 443_473 // 9, 2.6 * 443_473 / 9 / 50_000


@pytest.mark.parametrize(
    ("memory", "requests_per_lap", "grows"),
    [
        (steady(9, MIB_PER_LAP)[3:], PER_LAP, True),
        (steady(6, 2 * MIB_PER_LAP), 2 * PER_LAP, True),
        ([*steady(5, MIB_PER_LAP), 270], PER_LAP, True),
        ([290, *steady(6, MIB_PER_LAP)[1:]], PER_LAP, True),
        (steady(6, 0), PER_LAP, False),
        (steady(6, 1.2), PER_LAP, False),
        (steady(6, -2), PER_LAP, False),
        ([270, 271, 270, 290, 270, 271], PER_LAP, False),
        ([250, 271, 270, 270, 271, 270], PER_LAP, False),
        ([270, 270, 271, 270, 271, 290], PER_LAP, False),
        (steady(6, 0.7), 600, False),
        (steady(6, 2), 600, True),
        (steady(6, 2), 0, False),
    ],
    ids=[
        "a straight line of 2.6 MiB per 50,000 requests",
        "the same line in half an hour",
        "with an odd last lap",
        "with an odd first lap",
        "flat",
        "less than 1 % per 100,000 requests",
        "shrinking",
        "one odd lap",
        "an odd first lap",
        "an odd last lap",
        "a short soak below the noise",
        "a short soak above the noise",
        "nothing done",
    ],
)
def test_growth_is_told_from_noise(
    soak: ModuleType, memory: list[float], requests_per_lap: int, grows: bool
) -> None:
    faults = soak.find_faults(laps_of(soak, memory, requests_per_lap))
    assert [fault.split(" by ")[0] for fault in faults] == (["memory grew"] if grows else [])


def test_the_table_shows_growth_in_percent_per_100_000_requests(soak: ModuleType) -> None:
    header, *lines = soak.make_table(laps_of(soak, steady(9, MIB_PER_LAP), PER_LAP)).splitlines()
    assert header.split() == ["lap", "requests", "MiB", "descriptors", "threads", "%", "per", "100,000"]
    assert lines[3].split() == ["4", "197,096", "277.7", "50", "18", "-"]
    assert lines[8].split() == ["9", "443,466", "290.5", "50", "18", "+1.82"]
    assert lines[9] == "median slope after 6 laps: +1.82% per 100,000 requests"
