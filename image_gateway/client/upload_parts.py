"""Parts of an upload: their URLs, and sending them in parallel."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from image_gateway.client.answers import NewUpload, SignedParts, StoredPart
from image_gateway.client.api import GatewayClient
from image_gateway.client.errors import ApiError
from image_gateway.client.file_slices import FileSlice, OnBytes, PartPlan, md5_of
from image_gateway.client.parallel import for_each
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


# A URL that is refused this often in a row is not merely old: the gateway's keys or clock are wrong.
MOST_REFUSALS = 3
_MD5 = re.compile(r'"?([0-9a-fA-F]{32})"?')


class Parts:
    """Compares and sends the parts of one file; `etags` grows with every part that is known to be there."""

    def __init__(
        self,
        client: GatewayClient,
        upload: NewUpload,
        file: Path,
        plan: PartPlan,
        *,
        retrier: Retrier,
        parallel: int,
    ) -> None:
        self.plan = plan
        self.etags: dict[int, str] = {}
        self._client, self._upload, self._file = client, upload, file
        self._retrier, self._parallel = retrier, parallel
        self._refusals: dict[int, int] = {}
        self._lock = threading.Lock()

    def missing(self) -> list[int]:
        return [number for number in self.plan.numbers if number not in self.etags]

    def bytes_there(self) -> int:
        with self._lock:
            return sum(map(self.plan.length, self.etags))

    def of_right_size(self, stored: Iterable[StoredPart]) -> list[StoredPart]:
        """Return those of the store's parts whose number and exact size are the plan's."""
        plan = self.plan
        return [
            part for part in stored if part.number in plan.numbers and part.size == plan.length(part.number)
        ]

    def keep(self, stored: Iterable[StoredPart], on_bytes: OnBytes) -> None:
        """Count parts of the right size as there, unless an ETag that looks like an MD5 is not the file's."""
        by_number = {part.number: part for part in stored}

        def compare(number: int) -> None:
            part = by_number[number]
            found = _MD5.fullmatch(part.etag)
            if found is None or self._md5(number, on_bytes) == found[1].lower():
                self._note(number, part.etag)

        for_each(compare, by_number, parallel=self._parallel, stop=self._retrier.stop)

    def send(self, on_bytes: OnBytes) -> None:
        """Send every missing part; `on_bytes` hears negative steps when a part begins anew."""
        missing = self.missing()
        urls = PartUrls(self._client, self._upload, missing, self._retrier)

        def send(number: int) -> None:
            etag = self._retrier.call(lambda: self._try(number, urls, on_bytes), whom="store")
            urls.done(number)
            self._note(number, etag)

        for_each(send, missing, parallel=self._parallel, stop=self._retrier.stop)

    def _try(self, number: int, urls: PartUrls, on_bytes: OnBytes) -> str:
        url = urls.take(number)
        with self._slice(number, on_bytes) as body:
            try:
                return self._client.put_part(url, body)
            except ApiError as error:
                on_bytes(-body.sent)
                # Whatever went wrong: a store that refuses a URL may just cut the connection.
                urls.drop(number)
                raise self._judge(number, error) from None

    def _judge(self, number: int, error: ApiError) -> ApiError:
        """Let a refused URL pass a few times, for it may have expired."""
        if error.status != 403:
            return error
        self._refusals[number] = self._refusals.get(number, 0) + 1
        error.retryable = self._refusals[number] <= MOST_REFUSALS
        return error

    def _md5(self, number: int, on_bytes: OnBytes) -> str:
        with self._slice(number, on_bytes) as source:
            return md5_of(source)

    def _slice(self, number: int, on_bytes: OnBytes) -> FileSlice:
        plan = self.plan
        return FileSlice(
            self._file,
            plan.start(number),
            plan.length(number),
            stop=self._retrier.stop,
            on_bytes=on_bytes,
        )

    def _note(self, number: int, etag: str) -> None:
        with self._lock:
            self.etags[number] = etag
