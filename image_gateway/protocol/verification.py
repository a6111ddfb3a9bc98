"""Types and pure checks for verifying a chunked image: what a source answers, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from image_gateway.protocol.cache_control import forbids_transformation

_WHOLE_DISK = re.compile(r"sha256-([0-9a-f]{64})", re.ASCII)
_MAX_SHOWN = 80
# Stands where a text was cut.
CUT = "…"
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")


class Unreadable(Exception):
    """A read failed for a reason that says nothing about the image; the message holds no secret."""


class Missing(Exception):
    """There is no such object."""


class WrongAnswer(Exception):
    """The answer breaks a rule.

    Args:
        check: Name of the rule, such as `status`.
        text: What is wrong; no secret.
    """

    def __init__(self, check: str, text: str) -> None:
        super().__init__(text)
        self.check = check
        self.text = text


@dataclass(frozen=True)
class ContentHeaders:
    """Headers of an answer; None where one is absent."""

    content_type: str | None
    content_encoding: str | None
    cache_control: str | None


@dataclass(frozen=True)
class Received:
    """The bytes of an answer.

    `headers` is None where the source has none, such as a folder. `total` is the size of the whole object
    that a range was read from.
    """

    data: bytes = field(repr=False)
    headers: ContentHeaders | None = None
    total: int | None = None


class Source(Protocol):
    """Where a chunked image is read from; thread-safe.

    All methods may raise Unreadable, Missing and WrongAnswer. `manifest_optional` says that an image without
    a manifest is no error, so that the disk alone is verified.
    """

    manifest_optional: bool

    def read_manifest(self) -> Received:
        """Return the manifest, of at most MAX_MANIFEST_BYTES and one byte."""
        ...

    def read_chunk(self, index: int, width: int, size: int) -> Received:
        """Return the chunk whose name has `width` digits; at most `size` and one bytes of it."""
        ...

    def read_disk_range(self, start: int, stop: int) -> Received | None:
        """Return bytes `start` to `stop`, `stop` excluded, with `total`; None where there is no disk."""
        ...


@dataclass(frozen=True)
class Problem:
    """Something that is wrong: where, by which check, and in words."""

    where: str
    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.check}: {self.text}"


def check_headers(
    where: str, headers: ContentHeaders | None, mime_type: str | None = None
) -> Iterator[Problem]:
    """Yield what readers refuse in the headers of an answer.

    Args:
        mime_type: The type that the format demands; by default any that proxies do not compress, since some
            stores guess the type of a disk from its name.
    """
    if headers is None:
        return
    given = (headers.content_type or "").partition(";")[0].strip().lower()
    if mime_type is None and given.startswith(_TEXT_TYPES):
        yield Problem(where, "content-type", f"is {shown_header(headers.content_type)}, which is text")
    if mime_type is not None and given != mime_type:
        yield Problem(where, "content-type", f"is {shown_header(headers.content_type)}, not {mime_type}")
    if is_encoded(headers):
        text = f"is {shown_header(headers.content_encoding)}; it must be absent or identity"
        yield Problem(where, "content-encoding", text)
    if not forbids_transformation(headers.cache_control):
        yield Problem(
            where, "cache-control", f"is {shown_header(headers.cache_control)}; it must hold no-transform"
        )


def is_encoded(headers: ContentHeaders | None) -> bool:
    """Return whether the bytes are not the object's, because they are compressed."""
    encoding = headers.content_encoding if headers else None
    return (encoding or "identity").strip().lower() not in ("", "identity")


def whole_disk_hash(version: str) -> str | None:
    """Return the SHA-256 of the whole disk in a version `sha256-…`, or None."""
    match = _WHOLE_DISK.fullmatch(version)
    return match[1] if match else None


def choose_chunks(count: int, sample: int | None, seed: int) -> list[int]:
    """Return the indexes of a sample of `sample` chunks, all of `count` by default, in order.

    The first and the last chunk are always in it. Equal arguments give equal samples on all versions of
    Python: only `random()` is guaranteed to be stable.
    """
    if sample is None or sample >= count:
        return list(range(count))
    source = Random(seed)  # noqa: S311  # a sample, not a secret
    chosen = {0, count - 1}
    while len(chosen) < sample:
        chosen.add(int(source.random() * count))
    return sorted(chosen)


def shown_header(value: str | None) -> str:
    """Return a header's value for messages, cut if it is long."""
    if value is None:
        return "absent"
    return repr(value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}{CUT}")
