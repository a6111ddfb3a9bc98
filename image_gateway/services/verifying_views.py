"""Verifies views: what their clients read, block by block, and that it is the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from image_gateway.protocol.manifest import SECTOR, ManifestError, parse_manifest
from image_gateway.protocol.verification import (
    Missing,
    Problem,
    Source,
    Unreadable,
    WrongAnswer,
    choose_chunks,
    whole_disk_hash,
)
from image_gateway.protocol.view_verification import View, ViewBlock, ViewLayout, ViewSection
from image_gateway.services.verify_report import Piece, Recorder, Stop, VerifyReport, attempt, wrong_size

# Their indexes are kept in memory.
MAX_BLOCKS = 20_000_000


def verify_views(
    views: Sequence[View],
    image: Source | None,
    *,
    sample: int | None = None,
    seed: int = 0,
    keep_going: bool = False,
    parallel: int = 4,
    on_bytes: Callable[[int], None] = lambda _: None,
    on_total: Callable[[int], None] = lambda _: None,
    sha256: str | None = None,
) -> VerifyReport:
    """Verify the views of an image and report; problems are not raised.

    The SHA-256 of the image is compared where all blocks are read and it is known, also from the manifest;
    else ranges of the disk are. Holds at most `parallel` blocks, and as many ranges of the disk, in memory.

    Args:
        views: The views, one after the other.
        image: The manifest and the disk of the image, if they are known.
        sample: Number of blocks to read of each view, the first and the last among them; all by default.
        seed: Chooses the sample.
        keep_going: Report all problems instead of stopping at the first block that has one.
        on_bytes: Hears of the bytes of each block that was read.
        on_total: Hears once of the number of bytes that will be read.
        sha256: Declared hash of the whole image in hexadecimal.
    """
    verification = _Verification(image, keep_going, sha256)
    with suppress(Stop):
        verification.run(views, sample, seed, parallel, on_bytes, on_total)
    return verification.report


@dataclass(frozen=True)
class _Work:
    """The blocks of a section that are read, and whether each is compared with the disk."""

    size: int
    section: ViewSection
    chosen: list[int]
    with_disk: bool

    @property
    def is_whole(self) -> bool:
        return self.section.is_image and len(self.chosen) == self.section.count

    def count_bytes(self) -> int:
        """Return how many bytes are read; all blocks but the last have one size."""
        if not self.chosen:
            return 0
        first, last = (self.section.block(index).size for index in (self.chosen[0], self.chosen[-1]))
        return (1 + self.with_disk) * (first * (len(self.chosen) - 1) + last)


class _Verification:
    def __init__(self, image: Source | None, keep_going: bool, sha256: str | None) -> None:
        self._recorder = Recorder(keep_going=keep_going)
        self.report = self._recorder.report
        self._image = image
        self._sha256 = sha256

    def run(
        self,
        views: Sequence[View],
        sample: int | None,
        seed: int,
        parallel: int,
        on_bytes: Callable[[int], None],
        on_total: Callable[[int], None],
    ) -> None:
        size = self._find_image()
        work = [
            self._choose(layout.size, section, sample, seed)
            for layout in [self._open(view, size) for view in views]
            if layout is not None
            for section in layout.sections
        ]
        self.report.chunk_count = sum(each.section.count for each in work)
        on_total(sum(each.count_bytes() for each in work))
        for each in work:
            self._check_section(each, parallel, on_bytes)

    def _find_image(self) -> int | None:
        """Find the size of the image, and its hash in the manifest if no other is known."""
        source = self._image
        if source is None:
            return None
        piece = Piece()
        received = attempt(piece, "disk", lambda: source.read_disk_range(0, SECTOR))
        self._recorder.add(piece)
        if self._sha256 is None:
            # The manifest is not what is verified.
            with suppress(Missing, Unreadable, WrongAnswer, ManifestError):
                self._sha256 = whole_disk_hash(parse_manifest(source.read_manifest().data).version)
        if received is None or not received.total:
            self._image = None
            return None
        return received.total

    def _open(self, view: View, size: int | None) -> ViewLayout | None:
        piece, layout = Piece(), None
        try:
            layout = view.open(size)
            piece.problems += layout.problems
        except Missing:
            piece.unreadable.append(Problem(view.where, "missing", "does not exist"))
        except WrongAnswer as error:
            piece.problems.append(Problem(view.where, error.check, error.text))
        except Unreadable as error:
            piece.unreadable.append(Problem(view.where, "unreadable", str(error)))
        self._recorder.add(piece)
        if layout is None or size in (None, layout.size):
            return layout
        # It was reported; blocks of another size cannot be compared.
        return None

    def _choose(self, size: int, section: ViewSection, sample: int | None, seed: int) -> _Work:
        count = section.count
        if min(count, sample or count) > MAX_BLOCKS:
            where = section.block(0).where
            text = f"is the first of {count} blocks, of which at most {MAX_BLOCKS} can be read: use --sample"
            self._recorder.add(Piece(unreadable=[Problem(where, "blocks", text)]))
            return _Work(size, section, [], with_disk=False)
        chosen = choose_chunks(count, sample, seed)
        is_hashed = self._sha256 is not None and section.is_image and len(chosen) == count
        return _Work(size, section, chosen, with_disk=self._image is not None and not is_hashed)

    def _check_section(self, work: _Work, parallel: int, on_bytes: Callable[[int], None]) -> None:
        first = work.section.block(0).where
        digest = self._recorder.add_in_order(
            lambda n: self._check_block(work, work.chosen[n]),
            len(work.chosen),
            parallel,
            on_bytes,
            is_whole=work.is_whole,
        )
        if digest is not None and self._sha256 is not None:
            self._check_whole(first, digest, self._sha256)
        self._check_end(work.section)

    def _check_block(self, work: _Work, index: int) -> Piece:
        piece, block = Piece(), work.section.block(index)
        answer = attempt(piece, block.where, block.read)
        if answer is None:
            return piece
        piece.problems += answer.problems
        if answer.data is None:
            return piece
        piece.size += len(answer.data)
        if len(answer.data) != block.size:
            text = wrong_size(len(answer.data), block.size)
            piece.problems.append(Problem(block.where, "size", text))
            return piece
        expected = _pad(answer.data, block, work.size)
        if expected != answer.data:
            text = "is not zeros beyond the end of the image"
            piece.problems.append(Problem(block.where, "padding", text))
        elif not work.with_disk or self._equals_disk(piece, block, answer.data, work.size):
            piece.data = answer.data[: max(0, work.size - block.starts[0])]
        return piece

    def _equals_disk(self, piece: Piece, block: ViewBlock, data: bytes, size: int) -> bool:
        for number, start in enumerate(block.starts):
            stop = min(start + block.length, size)
            where = f"disk bytes {start}-{stop - 1}"
            received = attempt(piece, where, partial(self._read_disk, start, stop))
            if received is None:
                return False
            self.report.disk_compared = True
            piece.size += len(received)
            offset = number * block.length
            if received != data[offset : offset + stop - start]:
                piece.problems.append(Problem(block.where, "equality", f"differs from {where}"))
                return False
        return True

    def _read_disk(self, start: int, stop: int) -> bytes:
        received = self._image.read_disk_range(start, stop) if self._image else None
        if received is None:
            raise Missing
        return received.data

    def _check_whole(self, where: str, found: str, declared: str) -> None:
        self.report.hash_compared = True
        if found != declared:
            text = f"all blocks from this one on have the SHA-256 {found}, the image has {declared}"
            self._recorder.add(Piece(problems=[Problem(where, "sha256", text)]))

    def _check_end(self, section: ViewSection) -> None:
        piece = Piece()
        piece.problems += attempt(piece, "end", section.check_end) or []
        self._recorder.add(piece)


def _pad(data: bytes, block: ViewBlock, size: int) -> bytes:
    """Return the bytes of a block with zeros in place of what lies beyond the end of the image."""
    if all(start + block.length <= size for start in block.starts):
        return data
    padded = bytearray(data)
    for number, start in enumerate(block.starts):
        rest = max(0, start + block.length - max(size, start))
        stop = (number + 1) * block.length
        padded[stop - rest : stop] = bytes(rest)
    return bytes(padded)
