"""`image-gateway demo`, with files of any size, and with a byte that differs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_gateway.cli import demo as demo_module
from tests.live.support import run_cli


def test_a_file_of_a_whole_number_of_sectors(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(os.urandom(3 * 1024 * 1024 + 512))
    ended = run_cli({}, "demo", "--file", str(file))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("  equal ") == 4
    assert "DIFFER" not in ended.stdout


def test_a_file_of_any_size_is_streamed_but_not_cut(tmp_path: Path) -> None:
    file = tmp_path / "odd.bin"
    file.write_bytes(os.urandom(1001))
    ended = run_cli({}, "demo", "--file", str(file))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("  equal ") == 3
    assert "1001 bytes is not a multiple of 512" in ended.stdout


def test_a_difference_is_told_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "hash_by_ranges", lambda *_, **__: "another hash")
    ended = CliRunner().invoke(demo_module.demo, ["--size-mib", "1"])
    assert ended.exit_code == 1
    assert ended.output.count("DIFFER") == 1
