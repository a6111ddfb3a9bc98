"""Reads a file by HTTP, one version of it from its first byte to its last, across broken connections."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from image_gateway.errors import FetchFailed, SourceChanged, SourceRefused
from image_gateway.fetching.pinned_connection import Answer, Connector
from image_gateway.fetching.representations import Representation, represent, unsatisfied_size
from image_gateway.fetching.url_rules import FetchRules, SourceUrl, display_url, parse_url

BLOCK_BYTES = 256 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How often a broken read is resumed; waits with exponential backoff and full jitter.

    Args:
        tries: Failures in a row until the read fails.
        progress_bytes: Bytes after which failures count from the start again. Less would let a server that
            sends one byte for each connection hold a reader for ever.
    """

    tries: int = 5
    base_seconds: float = 0.5
    max_seconds: float = 30.0
    progress_bytes: int = 8 * 1024 * 1024
    sleep: Callable[[float], object] = time.sleep

    def wait(self, failures: int) -> None:
        """Wait after the given number of failures in a row."""
        self.sleep(random.uniform(0, min(self.max_seconds, self.base_seconds * 2**failures)))  # noqa: S311


def open_remote(
    url: str,
    rules: FetchRules,
    etag: str | None = None,
    *,
    connector: Connector | None = None,
    retries: RetryPolicy | None = None,
) -> RemoteFile:
    """Send the first request, once, and return the file; use it as a context manager.

    Args:
        etag: `RemoteFile.validator` of an earlier call: only that version is opened.

    Raises:
        BadRequest: The rules forbid the URL, an address of its host, or a redirect.
        SourceChanged: The file is another version, or does not tell its version.
        FetchFailed: There was no usable answer.
    """
    source = parse_url(url, rules)
    return RemoteFile(source, connector or Connector(rules), etag, retries or RetryPolicy())


class RemoteFile:
    """One version of a file behind a URL. Not for several threads.

    Attributes:
        size: Bytes; None until a chunked body was read to its end, or a range of it.
        etag: The strong ETag.
        last_modified: `Last-Modified`, when it identifies a version.
        accepts_ranges: The server says that it answers ranges.
        name: The last segment of the URL's path.
    """

    def __init__(
        self, source: SourceUrl, connector: Connector, etag: str | None, retries: RetryPolicy
    ) -> None:
        self._source, self._connector, self._retries = source, connector, retries
        self.name = source.file_name
        self._is_closed = False
        self._answer: Answer | None = connector.get(source, {})
        try:
            first = represent(self._answer, is_range=False)
        except BaseException:
            self.close()
            raise
        self._first: Representation | None = first
        self.size, self.etag, self.last_modified = first.size, first.etag, first.last_modified
        self.accepts_ranges = first.accepts_ranges
        if etag is not None and etag not in (self.etag, self.last_modified):
            self.close()
            raise SourceChanged(f"the file at {source.host} is not the version that was read before")

    @property
    def validator(self) -> str | None:
        """The strong ETag, or the `Last-Modified` date; a file without it cannot be resumed."""
        return self.etag or self.last_modified

    def __enter__(self) -> RemoteFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection for good; may be called twice."""
        self._is_closed = True
        self._disconnect()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("the file is closed")

    def _disconnect(self) -> None:
        answer, self._answer, self._first = self._answer, None, None
        if answer is not None:
            answer.close()

    def read_from(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes from `offset` to the end in blocks of at most 256 KiB; resumes broken connections.

        A server that ignores ranges sends the file again, and the first bytes are skipped.

        Raises:
            SourceChanged: The file was replaced.
            FetchFailed: The connection broke too often, or an answer cannot be used. `retryable` without a
                `validator` means from offset 0.
        """
        if offset < 0:
            raise ValueError("the offset is negative")
        position, counted, failures = offset, offset, 0
        while True:
            try:
                for block in self._read_once(position):
                    position += len(block)
                    yield block
                return
            except FetchFailed as error:
                self._check_open()
                if position - counted >= self._retries.progress_bytes:
                    failures = 0
                counted, failures = position, failures + 1
                if not error.retryable or failures >= self._retries.tries:
                    raise
                if position and self.validator is None:
                    text = f"{error.message}; without ETag and Last-Modified the transfer must start over"
                    raise FetchFailed(text, retryable=True) from None
                _log.warning(
                    "resuming %s at byte %d: %s", display_url(str(self._source)), position, error.message
                )
            finally:
                self._disconnect()
            self._retries.wait(failures)

    def _read_once(self, position: int) -> Iterator[bytes]:
        """Yield what one connection brings of the bytes from `position`."""
        if self.size is not None and position >= self.size:
            if position > self.size:
                raise SourceChanged(f"the file at {self._source.host} has only {self.size} bytes")
            return
        self._check_open()
        first, self._first = self._first, None
        if self._answer is not None and first is not None and position == 0:
            answer, body = self._answer, first
        else:
            answer = self._ask_for(position)
            if answer.status == 416 and position:
                self._judge_unsatisfied(answer, position)
                self.size = position
                return
            body = self._judge(answer, position)
        skip = position - body.start
        for block in self._read_body(answer, body):
            if skip >= len(block):
                skip -= len(block)
            else:
                yield block[skip:]
                skip = 0
        if skip:
            raise SourceChanged(f"the file at {answer.host} has become shorter")

    def _ask_for(self, position: int) -> Answer:
        self._disconnect()
        headers = {}
        if position:
            if self.validator is None:
                text = "sends neither ETag nor Last-Modified: reading cannot start in the middle"
                raise FetchFailed(f"{self._source.host} {text}", retryable=False)
            headers = {"Range": f"bytes={position}-", "If-Range": self.validator}
        self._answer = self._connector.get(self._source, headers)
        return self._answer

    def _judge(self, answer: Answer, position: int) -> Representation:
        body = represent(answer, is_range=bool(position))
        self._check_version(body, answer.status)
        # A server that ignores ranges sends the whole file.
        if answer.status == 206 and body.start != position:
            raise SourceRefused(f"{answer.host} sent another range than requested", retryable=False)
        self.size = body.size if self.size is None else self.size
        return body

    def _judge_unsatisfied(self, answer: Answer, position: int) -> None:
        size = unsatisfied_size(answer)
        if self.size is not None and size == self.size:
            raise SourceRefused(f"{answer.host} refuses a range within the file (416)", retryable=False)
        if self.size is not None or size != position:
            raise SourceChanged(f"the file at {answer.host} has become shorter")

    def _check_version(self, body: Representation, status: int) -> None:
        is_same = self.size is None or body.size in (None, self.size)
        if self.etag is not None:
            is_same &= body.etag == self.etag
        elif self.last_modified is not None:
            # RFC 9110 §15.3.7: a 206 to If-Range may leave it out, and is the proof itself.
            is_same &= body.last_modified == self.last_modified or (
                status == 206 and body.last_modified is None
            )
        if not is_same:
            raise SourceChanged(f"the file at {self._source.host} was replaced while it was read")

    def _read_body(self, answer: Answer, body: Representation) -> Iterator[bytes]:
        """Yield exactly the bytes that the answer announced."""
        # A chunked body is read to its own end, which must be where the file ends.
        end = body.start + body.length if body.length is not None else self.size
        position = body.start
        while answer.is_chunked or position != end:
            limit = BLOCK_BYTES if answer.is_chunked or end is None else min(BLOCK_BYTES, end - position)
            block = answer.read(limit)
            if not block:
                break
            position += len(block)
            if end is not None and position > end:
                raise SourceRefused(f"{answer.host} sent a longer body than announced", retryable=False)
            yield block
        if end is not None and position != end:
            raise FetchFailed(f"{answer.host} broke the connection off", retryable=True)
        self.size = position
