"""The parts of one upload: which the store has already, and the sending of the others."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path

from image_gateway.client.answers import NewUpload, StoredPart
from image_gateway.client.api import GatewayClient
from image_gateway.client.faults import ApiError
from image_gateway.client.part_urls import PartUrls
from image_gateway.client.retry import Retrier
from image_gateway.client.slices import FileSlice, OnBytes, PartPlan, md5_of
from image_gateway.client.workers import for_each

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
        error.passing = self._refusals[number] <= MOST_REFUSALS
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
