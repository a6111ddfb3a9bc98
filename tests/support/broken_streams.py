"""Streams of a body that break as told."""

from __future__ import annotations

from itertools import chain, repeat

OLD = bytes(range(1, 41))


class Broken:
    """Streams of one body that break as told; remembers where each began, and that all were closed."""

    def __init__(self, data: bytes, *pieces: int | Exception) -> None:
        self._data, self._pieces = data, chain(pieces, repeat(len(data)))
        self.begun: list[int] = []
        self.open = 0

    def begin(self, at: int = 0) -> Broken.Stream:
        self.begun.append(at)
        piece = next(self._pieces)
        if isinstance(piece, Exception):
            raise piece
        self.open += 1
        return Broken.Stream(self, self._data[at : at + piece])

    class Stream:
        def __init__(self, owner: Broken, rest: bytes) -> None:
            self._owner, self._rest, self._closed = owner, rest, False

        def read(self, amt: int | None = None) -> bytes:
            assert not self._closed
            data, self._rest = self._rest[:amt], self._rest[amt or len(self._rest) :]
            return data

        def close(self) -> None:
            self._owner.open -= not self._closed
            self._closed = True
