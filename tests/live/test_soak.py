"""The soak for less than a minute, and that its verdict is one."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from tests.live.support import ROOT

MIB = 1024 * 1024
SECONDS, CLIENTS = 45, 4


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("soak")


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
        ({"memory": 206 * MIB, "descriptors": 52, "threads": 19}, None),
        ({"memory": 220 * MIB}, "memory grew from 200.0 to 220.0 MiB"),
        ({"descriptors": 70}, "descriptors grew from 50 to 70"),
        ({"threads": 24}, "threads grew from 18 to 24"),
        ({"processes": (1, 2, 4)}, "processes came or went: (1, 2, 3) became (1, 2, 4)"),
    ],
    ids=str,
)
def test_the_verdict(soak: ModuleType, changes: dict[str, object], fault: str | None) -> None:
    usage = {"processes": (1, 2, 3), "memory": 200 * MIB, "descriptors": 50, "threads": 18}
    laps = [soak.Usage(**usage)] * 2 + [soak.Usage(**(usage | changes))] * 2
    assert soak.find_faults(laps) == ([fault] if fault else [])
