"""What a verification found: its report, and how findings are added to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from image_gateway.protocol.map_ordered import map_ordered
from image_gateway.protocol.verification import Missing, Problem, Unreadable, WrongAnswer

Result = TypeVar("Result")

# Further ones are only counted.
MAX_PROBLEMS = 1000
# After so many failed reads the source is given up, even when it is told to keep going.
MAX_UNREADABLE = 10


@dataclass
class VerifyReport:
    """What was read and what is wrong.

    `unreadable` are reads that failed, which says nothing about the image. `checked_chunks` are pieces that
    were read: chunks, ranges of a disk without a manifest, or blocks of a view. `omitted` is the number of
    problems beyond MAX_PROBLEMS. `version` is None without a manifest; `disk_compared` says whether the disk
    was read, too, and `hash_compared` whether the SHA-256 of the whole image was known and compared.
    """

    problems: list[Problem] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)
    omitted: int = 0
    checked_chunks: int = 0
    chunk_count: int = 0
    checked_bytes: int = 0
    version: str | None = None
    disk_compared: bool = False
    hash_compared: bool = False

    @property
    def ok(self) -> bool:
        return not (self.problems or self.unreadable)


@dataclass
class Piece:
    """A chunk, and the range of the disk that must equal it."""

    size: int = 0
    data: bytes | None = None
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)


class Stop(Exception):
    """The verification ends here; the report says why."""


class Recorder:
    """Adds findings to a report.

    Args:
        keep_going: Go on after a piece that has a problem.
    """

    def __init__(self, *, keep_going: bool) -> None:
        self.report = VerifyReport()
        self._keep_going = keep_going

    def add_in_order(
        self,
        check: Callable[[int], Piece],
        count: int,
        parallel: int,
        on_bytes: Callable[[int], None],
        *,
        is_whole: bool,
    ) -> str | None:
        """Add the pieces `check(0)` … `check(count - 1)`; raises Stop like `add`.

        Returns:
            The SHA-256 of their data together; None unless they are the whole image and each has data.
        """
        whole = hashlib.sha256()
        # Closed before the report is returned, so that reads in progress are waited for.
        with closing(map_ordered(check, count, parallel)) as pieces:
            for piece in pieces:
                self.report.checked_chunks += not piece.unreadable
                self.report.checked_bytes += piece.size
                on_bytes(piece.size)
                if piece.data is None:
                    is_whole = False
                elif is_whole:
                    whole.update(piece.data)
                self.add(piece)
        return whole.hexdigest() if is_whole else None

    def add(self, piece: Piece) -> None:
        """Add a piece's findings to the report; raises Stop if they end the verification."""
        report = self.report
        room = max(0, MAX_PROBLEMS - len(report.problems))
        report.problems += piece.problems[:room]
        report.omitted += len(piece.problems[room:])
        report.unreadable += piece.unreadable
        found = piece.problems or piece.unreadable
        if (found and not self._keep_going) or len(report.unreadable) >= MAX_UNREADABLE:
            raise Stop


def attempt(piece: Piece, where: str, read: Callable[[], Result]) -> Result | None:
    """Return what was read, or None after noting in the piece why not."""
    try:
        return read()
    except Missing:
        piece.problems.append(Problem(where, "missing", "does not exist"))
    except WrongAnswer as error:
        piece.problems.append(Problem(where, error.check, error.text))
    except Unreadable as error:
        piece.unreadable.append(Problem(where, "unreadable", str(error)))
    return None


def wrong_size(found: int, size: int) -> str:
    """Say that there are other than `size` bytes; more than one too many are never read."""
    return f"has {'more than ' if found > size else ''}{min(found, size)} bytes, not {size}"
