"""Presigned URLs of parts: fetched in batches, fresh by the server's clock, shared by the sending threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from image_gateway.client.answers import NewUpload, SignedParts
from image_gateway.client.api import GatewayClient
from image_gateway.client.faults import ApiError
from image_gateway.client.retry import Retrier

# The API allows 1000; URLs live minutes, in which a slow line does not send that many parts.
BATCH = 64
SPARE_SECONDS = 30.0


class PartUrls:
    """Hands out one URL per part to send; they are in no repr."""

    def __init__(
        self,
        client: GatewayClient,
        upload: NewUpload,
        numbers: Iterable[int],
        retrier: Retrier,
        *,
        batch: int = BATCH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._upload, self._retrier = client, upload, retrier
        self._batch, self._clock = batch, clock
        self._unsent = dict.fromkeys(numbers)
        self._urls: dict[int, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def take(self, number: int) -> str:
        """Return a URL of the part that is still good, asking the gateway when there is none."""
        with self._lock:
            if not self._is_fresh(number):
                self._fetch(number)
            if number not in self._urls:
                raise ApiError(f"the gateway signed no URL for part {number}")
            return self._urls[number][0]

    def drop(self, number: int) -> None:
        """Never hand out the part's URL again."""
        with self._lock:
            self._urls.pop(number, None)

    def done(self, number: int) -> None:
        """Forget a part that was sent."""
        with self._lock:
            self._unsent.pop(number, None)
            self._urls.pop(number, None)

    def _is_fresh(self, number: int) -> bool:
        return number in self._urls and self._urls[number][1] > self._clock()

    def _fetch(self, number: int) -> None:
        others = (other for other in self._unsent if other != number and not self._is_fresh(other))
        numbers = sorted([number, *(other for other, _ in zip(others, range(self._batch - 1), strict=False))])

        def ask() -> tuple[SignedParts, float]:
            # Taken before the question: the answer's clock is at most this much ahead.
            asked = self._clock()
            return self._client.sign_parts(self._upload, numbers), asked

        signed, asked = self._retrier.call(ask)
        lifetime = (signed.expires_at - signed.server_time).total_seconds()
        good_until = asked + lifetime - min(SPARE_SECONDS, lifetime / 4)
        for other, url in signed.urls.items():
            self._urls[other] = (url, good_until)
