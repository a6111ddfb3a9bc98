"""What a process of the tests logs from some moment on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class GrowingLog:
    """What a process logs from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._start = file.stat().st_size

    def text(self) -> str:
        """What is written, but for a line that has not ended."""
        with self._file.open("rb") as file:
            file.seek(self._start)
            return file.read().rpartition(b"\n")[0].decode()

    def lines(self, logger: str) -> list[dict[str, Any]]:
        """The lines of one logger."""
        lines = [json.loads(line) for line in self.text().splitlines()]
        return [line for line in lines if line["logger"] == logger]
