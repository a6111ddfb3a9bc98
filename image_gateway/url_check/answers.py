"""Answers of servers, and what is known where there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from urllib3 import HTTPHeaderDict

from image_gateway.protocol.verification import shown_header


@dataclass(frozen=True)
class Limits:
    """Limits of one check.

    Attributes:
        max_bytes: Bytes of bodies that are read.
        connect: Seconds to connect.
        stall: Seconds without a byte.
        request: Seconds for one request and its answer.
        total: Seconds for the whole check.
    """

    max_bytes: int = 64 * 1024 * 1024
    connect: float = 10
    stall: float = 20
    request: float = 60
    total: float = 300


class ProbeFailed(Exception):
    """There is no usable answer.

    Args:
        code: Code of the finding: `unreachable`, `tls`, `timeout`, `budget-exhausted`, `redirect-loop`,
            or `redirect-to-http`.
        text: What happened; no secret.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Hop:
    """An answer that redirected.

    Attributes:
        leaves_origin: It led to another origin.
        is_foreign: It came from another origin than the page's.
    """

    status: int
    headers: HTTPHeaderDict = field(repr=False)
    leaves_origin: bool
    is_foreign: bool

    @property
    def hides_page(self) -> bool:
        """Whether the page has the origin `null` from here on (Fetch, HTTP-redirect fetch)."""
        return self.leaves_origin and self.is_foreign


@dataclass(frozen=True)
class Answer:
    """An answer and the start of its body.

    Attributes:
        is_cut: The connection ended before the body did.
        is_whole: The whole body was read.
        hops: The redirects that led here.
    """

    status: int
    headers: HTTPHeaderDict = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    is_cut: bool = False
    is_whole: bool = False
    hops: tuple[Hop, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the value of a header; of several ones, all with commas between."""
        return self.headers.get(name)

    @property
    def length(self) -> int | None:
        """Content-Length, if it is a number."""
        value = self.headers.get("Content-Length", "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None

    @property
    def hides_page(self) -> bool:
        """Whether redirects led to where the page is unknown."""
        return any(hop.hides_page for hop in self.hops)

    @property
    def is_encoded(self) -> bool:
        """Whether Content-Encoding says that the bytes are not the file's."""
        return (self.get("Content-Encoding") or "identity").strip().lower() not in ("", "identity")


def quote_header(answer: Answer, name: str) -> str:
    """Return a header of an answer for messages, cut if it is long."""
    return shown_header(answer.get(name))


def budget_exhausted() -> ProbeFailed:
    """Return the failure of a read that --max-bytes does not allow."""
    return ProbeFailed("budget-exhausted", "--max-bytes allows no further reads")
