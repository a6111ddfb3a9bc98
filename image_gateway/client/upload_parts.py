"""Uploads parts in parallel with presigned URLs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from image_gateway.client.answers import NewUpload, SignedParts, StoredPart
from image_gateway.client.api import GatewayClient
from image_gateway.client.errors import ApiError
from image_gateway.client.files import FileSlice, md5_of
from image_gateway.client.retry import Retrier
from image_gateway.client.transfer import OnBytes, for_each

# The API allows 1000, but on a slow connection the URLs would expire before use.
BATCH = 64
EXPIRY_MARGIN_SECONDS = 30.0


@dataclass(frozen=True)
class PartPlan:
    """Splits a file into parts 1 to `count` of `part_size` bytes, the last one shorter.

    An empty file is one empty part.
    """

    size: int
    part_size: int

    @property
    def count(self) -> int:
        return max(1, -(-self.size // self.part_size))

    @property
    def numbers(self) -> range:
        return range(1, self.count + 1)

    def start(self, number: int) -> int:
        return (number - 1) * self.part_size

    def length(self, number: int) -> int:
        return min(self.part_size, self.size - self.start(number))


class PartUrls:
    """Fetches presigned part URLs in batches and caches them until they expire."""

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
        """Return an unexpired URL for the part, from the cache or from the gateway."""
        with self._lock:
            if not self._is_fresh(number):
                self._fetch(number)
            if number not in self._urls:
                raise ApiError(f"the gateway returned no URL for part {number}")
            return self._urls[number][0]

    def drop(self, number: int) -> None:
        """Discard the cached URL of the part."""
        with self._lock:
            self._urls.pop(number, None)

    def done(self, number: int) -> None:
        """Mark the part as uploaded."""
        with self._lock:
            self._unsent.pop(number, None)
            self._urls.pop(number, None)

    def _is_fresh(self, number: int) -> bool:
        return number in self._urls and self._urls[number][1] > self._clock()

    def _fetch(self, number: int) -> None:
        others = (other for other in self._unsent if other != number and not self._is_fresh(other))
        numbers = sorted([number, *(other for other, _ in zip(others, range(self._batch - 1), strict=False))])

        def sign() -> tuple[SignedParts, float]:
            # Taken before the request, so that the expiry is never overestimated.
            requested_at = self._clock()
            return self._client.sign_parts(self._upload, numbers), requested_at

        signed, requested_at = self._retrier.call(sign)
        lifetime = (signed.expires_at - signed.server_time).total_seconds()
        usable_until = requested_at + lifetime - min(EXPIRY_MARGIN_SECONDS, lifetime / 4)
        for other, url in signed.urls.items():
            self._urls[other] = (url, usable_until)


# After this many 403s for one part the URL is not merely expired: the gateway's keys or clock are wrong.
MAX_REJECTIONS = 3
_MD5 = re.compile(r'"?([0-9a-fA-F]{32})"?')


class Parts:
    """Uploads the missing parts of one file; `etags` has the ETag of every stored part."""

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
        self._rejections: dict[int, int] = {}
        self._lock = threading.Lock()

    def missing(self) -> list[int]:
        """Return the numbers of the parts that are not stored."""
        return [number for number in self.plan.numbers if number not in self.etags]

    def bytes_there(self) -> int:
        """Return the number of stored bytes."""
        with self._lock:
            return sum(map(self.plan.length, self.etags))

    def of_right_size(self, stored: Iterable[StoredPart]) -> list[StoredPart]:
        """Return the stored parts whose number and size match the plan."""
        plan = self.plan
        return [
            part for part in stored if part.number in plan.numbers and part.size == plan.length(part.number)
        ]

    def keep(self, stored: Iterable[StoredPart], on_bytes: OnBytes) -> None:
        """Accept stored parts unless their ETag is an MD5 that differs from the file's."""
        by_number = {part.number: part for part in stored}

        def compare(number: int) -> None:
            part = by_number[number]
            found = _MD5.fullmatch(part.etag)
            if found is None or self._md5(number, on_bytes) == found[1].lower():
                self._note(number, part.etag)

        for_each(compare, by_number, parallel=self._parallel, stop=self._retrier.stop)

    def send(self, on_bytes: OnBytes) -> None:
        """Upload all missing parts; `on_bytes` gets a negative number when a part is restarted."""
        missing = self.missing()
        urls = PartUrls(self._client, self._upload, missing, self._retrier)

        def send(number: int) -> None:
            etag = self._retrier.call(lambda: self._put(number, urls, on_bytes), whom="store")
            urls.done(number)
            self._note(number, etag)

        for_each(send, missing, parallel=self._parallel, stop=self._retrier.stop)

    def _put(self, number: int, urls: PartUrls, on_bytes: OnBytes) -> str:
        url = urls.take(number)
        with self._slice(number, on_bytes) as body:
            try:
                return self._client.put_part(url, body)
            except ApiError as error:
                on_bytes(-body.sent)
                # On any error: a store may reset the connection instead of rejecting an expired URL.
                urls.drop(number)
                raise self._classify(number, error) from None

    def _classify(self, number: int, error: ApiError) -> ApiError:
        """Make a 403 retryable a few times, since the URL may have expired."""
        if error.status != 403:
            return error
        self._rejections[number] = self._rejections.get(number, 0) + 1
        error.retryable = self._rejections[number] <= MAX_REJECTIONS
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
