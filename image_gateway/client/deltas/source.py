"""One generation of a delta, with its base, as the source of a download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from urllib3 import BaseHTTPResponse

from image_gateway.client.deltas.calls import DeltasClient
from image_gateway.client.download import ImageChanged
from image_gateway.client.errors import ApiError


class DeltaSource:
    """The disk of base and delta at one generation, whatever is committed meanwhile.

    The gateway has no SHA-256 of it.

    Args:
        generation: A generation that is kept: the newest, or that of a snapshot.
    """

    def __init__(self, deltas: DeltasClient, delta_id: str, generation: int) -> None:
        self.source_id = delta_id
        self.changed = (
            f"generation {generation} of delta {delta_id} is not kept; generations of snapshots are, "
            f"and a snapshot of the newest is made by: image-gateway delta snapshot {delta_id} NAME"
        )
        self._deltas, self._generation = deltas, generation

    def expected_sha256(self) -> object:
        return None

    def head(self) -> Mapping[str, str]:
        with self._explained():
            return self._deltas.head(self.source_id, self._generation)

    @contextmanager
    def open_range(self, start: int, stop: int, etag: str) -> Iterator[BaseHTTPResponse]:
        with (
            self._explained(),
            self._deltas.open_range(self.source_id, self._generation, start, stop, etag) as response,
        ):
            yield response

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            raise (ImageChanged(self.changed) if error.status == 404 else error) from None
