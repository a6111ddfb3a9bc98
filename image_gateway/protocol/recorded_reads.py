"""Reads that the request log recorded for leases that were made with `record: true`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# Memory is bounded by this; a boot reads some ten thousand times.
MAX_READS = 1_000_000


@dataclass
class RecordedReads:
    """The reads of one image in log lines, by lease; `add` the lines, of all workers, in any order.

    `is_json` and `is_text` tell whether there were lines of a gateway in that format.
    """

    image_id: str
    size: int
    is_json: bool = False
    is_text: bool = False
    dropped: int = 0
    _leases: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)

    def add(self, lines: Iterable[bytes]) -> None:
        """Take the reads from lines; others are ignored, and what stands before the JSON of a line."""
        for line in lines:
            begin = line.find(b"{")
            if b'"range_start"' in line:
                self._add_read(_object_of(line[begin:]))
            elif b'"event"' in line:
                self.is_json = self.is_json or bool(_object_of(line[begin:]))
            elif b"image_gateway.request: request " in line:
                self.is_text = True

    @property
    def leases(self) -> dict[str, int]:
        """The number of reads by each lease."""
        return {lease: len(reads) for lease, reads in self._leases.items()}

    def of_lease(self, lease_id: str) -> list[tuple[int, int]]:
        """Return the byte ranges [start, stop) that a lease read, in the order in which the reads began."""
        return [(start, stop) for _, start, stop in sorted(self._leases.get(lease_id, []))]

    def _add_read(self, line: dict[str, Any]) -> None:
        self.is_json = self.is_json or bool(line)
        lease, began = line.get("lease"), _beginning_of(line)
        start, stop, sent = line.get("range_start"), line.get("range_stop"), line.get("bytes")
        if line.get("image") != self.image_id or not isinstance(lease, str) or began is None:
            return
        if not isinstance(start, int) or not isinstance(stop, int):
            return
        if line.get("complete") is False and isinstance(sent, int):
            # The client went away.
            stop = min(stop, start + sent)
        if not 0 <= start < stop <= self.size:
            return
        if sum(map(len, self._leases.values())) >= MAX_READS:
            self.dropped += 1
            return
        self._leases.setdefault(lease, []).append((began, start, stop))


def _object_of(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _beginning_of(line: dict[str, Any]) -> float | None:
    """Return when a request began: its line was written when its body had ended."""
    try:
        ended = datetime.fromisoformat(line["time"]).timestamp()
        return ended - float(line["duration_ms"]) / 1000
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
