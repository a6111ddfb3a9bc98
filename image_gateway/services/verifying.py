"""Verifies a chunked image: manifest, geometry, chunks, headers, and equality with the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NoReturn

from image_gateway.protocol.manifest import (
    DEFAULT_CHUNK_SIZE,
    MIME_TYPE,
    SECTOR,
    ChunkGeometry,
    Manifest,
    ManifestError,
    parse_manifest,
)
from image_gateway.protocol.verification import (
    Missing,
    Problem,
    Source,
    Unreadable,
    WrongAnswer,
    check_headers,
    choose_chunks,
    is_encoded,
    whole_disk_hash,
)
from image_gateway.services.verify_report import Piece, Recorder, Stop, VerifyReport, attempt, wrong_size


def verify(
    source: Source,
    *,
    sample: int | None = None,
    seed: int = 0,
    keep_going: bool = False,
    parallel: int = 4,
    on_bytes: Callable[[int], None] = lambda _: None,
    on_total: Callable[[int], None] = lambda _: None,
    image_id: str | None = None,
    sha256: str | None = None,
) -> VerifyReport:
    """Verify an image and report; problems are not raised.

    Holds at most `parallel` chunks, and as many ranges of the disk, in memory.

    Args:
        sample: Number of chunks to read, the first and the last among them; all by default.
        seed: Chooses the sample.
        keep_going: Report all problems instead of stopping at the first piece that has one.
        on_bytes: Hears of the bytes of each piece that was read.
        on_total: Hears once of the number of bytes that will be read.
        image_id: The image that the manifest must name.
        sha256: Declared hash of the whole disk in hexadecimal.
    """
    verification = _Verification(source, keep_going, image_id, sha256)
    verification.run(lambda count: choose_chunks(count, sample, seed), parallel, on_bytes, on_total)
    return verification.report


class _Verification:
    def __init__(self, source: Source, keep_going: bool, image_id: str | None, sha256: str | None) -> None:
        self._recorder = Recorder(keep_going=keep_going)
        self.report = self._recorder.report
        self._source = source
        self._image_id = image_id
        self._sha256 = sha256
        self._manifest: Manifest | None = None
        self._geometry = ChunkGeometry(0, DEFAULT_CHUNK_SIZE)

    def run(
        self,
        choose: Callable[[int], list[int]],
        parallel: int,
        on_bytes: Callable[[int], None],
        on_total: Callable[[int], None],
    ) -> None:
        try:
            self._manifest = self._read_manifest()
            self._find_disk()
            chosen = choose(self._geometry.count)
            sides = (self._manifest is not None) + self.report.disk_compared
            on_total(sides * sum(map(self._geometry.size_of, chosen)))
            self._check_pieces(chosen, parallel, on_bytes)
        except Stop:
            return

    def _read_manifest(self) -> Manifest | None:
        try:
            received = self._source.read_manifest()
        except Missing:
            if self._source.manifest_optional:
                return None
            self._end(Piece(unreadable=[Problem("manifest", "missing", "there is no manifest")]))
        except Unreadable as error:
            self._end(Piece(unreadable=[Problem("manifest", "unreadable", str(error))]))
        except WrongAnswer as error:
            self._end(Piece(problems=[Problem("manifest", error.check, error.text)]))
        self._recorder.add(
            Piece(problems=list(check_headers("manifest", received.headers, "application/json")))
        )
        if is_encoded(received.headers):
            raise Stop
        try:
            manifest = parse_manifest(received.data)
        except ManifestError as error:
            self._end(Piece(problems=[Problem("manifest", "schema", str(error))]))
        self._geometry = manifest.geometry
        self.report.version = manifest.version
        self.report.chunk_count = manifest.geometry.count
        if self._image_id not in (None, manifest.image_id):
            self._recorder.add(Piece(problems=[Problem("manifest", "imageId", "names another image")]))
        return manifest

    def _find_disk(self) -> None:
        """Find the size of the disk; without a manifest, the disk is what is verified."""
        piece = Piece()
        received = attempt(piece, "disk", lambda: self._source.read_disk_range(0, SECTOR))
        total = received.total if received else None
        if self._manifest is None:
            if received is None or not total:
                self._end_without_disk(piece)
            self._geometry = ChunkGeometry(total, DEFAULT_CHUNK_SIZE)
            self.report.chunk_count = self._geometry.count
        elif total not in (None, self._geometry.total_size):
            text = f"has {total} bytes, the manifest says {self._geometry.total_size}"
            piece.problems.append(Problem("disk", "size", text))
            total = None
        self.report.disk_compared = total is not None
        self._recorder.add(piece)

    def _check_pieces(self, chosen: list[int], parallel: int, on_bytes: Callable[[int], None]) -> None:
        digest = self._recorder.add_in_order(
            lambda n: self._check_piece(chosen[n]),
            len(chosen),
            parallel,
            on_bytes,
            is_whole=len(chosen) == self._geometry.count,
        )
        if digest is not None:
            self._check_whole(digest)

    def _check_piece(self, index: int) -> Piece:
        piece = Piece()
        expected = None
        if self._manifest is not None:
            expected = self._check_chunk(piece, index, self._manifest)
            piece.data = expected
            if expected is None:
                # That the disk differs from a wrong chunk says nothing more.
                return piece
        if self.report.disk_compared:
            data = self._check_disk_range(piece, index, expected)
            piece.data = data if self._manifest is None else expected
        return piece

    def _check_chunk(self, piece: Piece, index: int, manifest: Manifest) -> bytes | None:
        """Return the chunk's bytes, or None if they are not right."""
        where, size = f"chunk {index}", manifest.geometry.size_of(index)
        received = attempt(piece, where, lambda: self._source.read_chunk(index, manifest.index_width, size))
        if received is None:
            return None
        piece.size += len(received.data)
        piece.problems += check_headers(where, received.headers, MIME_TYPE)
        if is_encoded(received.headers):
            return None
        sha256 = manifest.chunks[index].sha256 if manifest.chunks else None
        if len(received.data) != size:
            piece.problems.append(Problem(where, "size", wrong_size(len(received.data), size)))
        elif sha256 not in (None, hashlib.sha256(received.data).hexdigest()):
            piece.problems.append(Problem(where, "sha256", "differs from the manifest"))
        else:
            return received.data
        return None

    def _check_disk_range(self, piece: Piece, index: int, expected: bytes | None) -> bytes | None:
        """Return the bytes of the disk, or None if they are not right."""
        start, size = self._geometry.start_of(index), self._geometry.size_of(index)
        where = f"disk bytes {start}-{start + size - 1}"
        received = attempt(piece, where, lambda: self._source.read_disk_range(start, start + size))
        if received is None:
            return None
        piece.size += len(received.data)
        piece.problems += check_headers(where, received.headers)
        if is_encoded(received.headers):
            return None
        if len(received.data) != size:
            piece.problems.append(Problem(where, "size", wrong_size(len(received.data), size)))
        elif expected not in (None, received.data):
            piece.problems.append(Problem(where, "equality", f"differs from chunk {index}"))
        else:
            return received.data
        return None

    def _check_whole(self, found: str) -> None:
        named = whole_disk_hash(self._manifest.version) if self._manifest else None
        self.report.hash_compared = bool(named or self._sha256)
        problems = []
        if named not in (None, found):
            text = f"the whole disk has the SHA-256 {found}, the version says {named}"
            problems.append(Problem("manifest", "version", text))
        elif self._sha256 not in (None, found):
            text = f"the whole disk has the SHA-256 {found}, declared is {self._sha256}"
            problems.append(Problem("disk", "sha256", text))
        self._recorder.add(Piece(problems=problems))

    def _end(self, piece: Piece) -> NoReturn:
        """Add findings without which nothing else can be read."""
        self._recorder.add(piece)
        raise Stop

    def _end_without_disk(self, piece: Piece) -> NoReturn:
        """End where there is neither manifest nor disk, or the disk cannot be read."""
        if all(problem.check == "missing" for problem in piece.problems) and not piece.unreadable:
            piece = Piece(unreadable=[Problem("disk", "missing", "there is neither a manifest nor a disk")])
        self._end(piece)
