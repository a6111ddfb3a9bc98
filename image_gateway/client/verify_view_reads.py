"""Reads the files of a view as a page does, and checks what its client needs of every answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from urllib3 import BaseHTTPResponse

from image_gateway.client.errors import ApiError
from image_gateway.client.verify_requests import (
    GONE,
    PLAIN,
    RANGED,
    check_status,
    is_readable_url,
    origin_of,
    read_body,
)
from image_gateway.protocol.cache_control import forbids_transformation
from image_gateway.protocol.manifest import MAX_MANIFEST_BYTES
from image_gateway.protocol.verification import Problem, WrongAnswer, shown_header
from image_gateway.protocol.view_verification import ViewAnswer

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
# Object stores that do not let a reader list answer 403 for what is not there.
_NOT_THERE = (*GONE, 403)
_NO_SUCH_METHOD = (405, 501)
_MAX_SHOWN = 80
# JavaScript's largest exact integer.
LARGEST = 2**53


Result = TypeVar("Result")


class SendsRequests(Protocol):
    """Sends the requests of a view, as `HttpReader` does."""

    def read(
        self,
        url: str,
        headers: Mapping[str, str],
        receive: Callable[[BaseHTTPResponse, str], Result],
        method: str = "GET",
    ) -> Result:
        """Send a request and return what `receive` makes of the answer and of the URL that it came from."""
        ...


@dataclass(frozen=True)
class Rules:
    """What a client needs beside the bytes.

    Args:
        identity: `Content-Encoding: identity` does no harm.
        exposed: Headers that the page's script must be able to read, in lower case.
        size: The total that Content-Range must have; None for any.
        etag: The ETag that the answer must have; None for any or none.
    """

    identity: bool = False
    exposed: tuple[str, ...] = ()
    size: int | None = None
    etag: str | None = field(default=None, repr=False)


FILE = Rules()


@dataclass(frozen=True)
class Head:
    """The headers of an answer, and what is wrong with them."""

    headers: Mapping[str, str] = field(repr=False)
    problems: list[Problem]


def name_of(url: str) -> str:
    """Return the file name of a URL, for messages."""
    return urlsplit(url).path.rpartition("/")[2][-_MAX_SHOWN:]


class ViewReader:
    """Reads files and ranges; thread-safe. All methods may raise Unreadable, Missing and WrongAnswer.

    Args:
        http: Sends the requests.
        origin: The origin of the page, whose CORS headers are checked; it must be a header of `http`, too.
        with_cookies: The page sends cookies, so that `*` allows nothing.
    """

    def __init__(self, http: SendsRequests, *, origin: str | None = None, with_cookies: bool = False) -> None:
        self._http = http
        self._origin = origin
        self._with_cookies = with_cookies

    def file(self, url: str, length: int) -> ViewAnswer:
        """Return the body of a GET, of which at most `length` and one bytes are read."""

        def receive(response: BaseHTTPResponse, answering: str) -> ViewAnswer:
            check_status(response)
            return self._answer(response, url, answering, name_of(url), length, FILE)

        return self._http.read(url, PLAIN, receive)

    def byte_range(self, url: str, first: int, last: int, rules: Rules) -> ViewAnswer:
        """Return bytes `first` to `last`, which may lie beyond the end."""
        where = f"{name_of(url)} bytes {first}-{last}"

        def receive(response: BaseHTTPResponse, answering: str) -> ViewAnswer:
            check_status(response, ranged=True)
            answer = self._answer(response, url, answering, where, last - first + 1, rules)
            answer.problems.extend(_check_range(where, response, first, last, rules))
            return answer

        return self._http.read(url, {**RANGED, "Range": f"bytes={first}-{last}"}, receive)

    def probe(self, url: str, rules: Rules, byte_range: str | None = None) -> Head:
        """Return the headers of HEAD, or of a GET of a small range."""
        where = name_of(url)

        def receive(response: BaseHTTPResponse, answering: str) -> Head:
            if byte_range is None and response.status in _NO_SUCH_METHOD:
                raise WrongAnswer("status", f"HTTP {response.status} to HEAD, not 200")
            check_status(response, ranged=byte_range is not None)
            names = {name.lower(): value for name, value in response.headers.items()}
            return Head(names, list(self._check_headers(response, url, answering, where, rules)))

        if byte_range is None:
            return self._http.read(url, RANGED, receive, "HEAD")
        return self._http.read(url, {**RANGED, "Range": byte_range}, receive)

    def text(self, url: str) -> tuple[str, list[Problem]]:
        """Return a small document and what is wrong with its headers."""
        answer = self.file(url, MAX_MANIFEST_BYTES)
        if answer.data is None:
            # The first problem is why.
            raise WrongAnswer(answer.problems[0].check, answer.problems[0].text)
        try:
            return answer.data.decode(), answer.problems
        except UnicodeDecodeError:
            raise WrongAnswer("text", "is not UTF-8") from None

    def document(self, url: str) -> tuple[dict[str, Any], list[Problem]]:
        """Return a JSON object and what is wrong with its headers."""
        text, problems = self.text(url)
        return parse_object(text), problems

    def check_absent(self, url: str, byte_range: str | None = None) -> list[Problem]:
        """Return a problem if there is a file, or a range, that lies beyond the end of the image."""
        right = _NOT_THERE if byte_range is None else (416,)
        where = f"{name_of(url)}{' ' if byte_range else ''}{(byte_range or '').replace('=', ' ')}"

        def receive(response: BaseHTTPResponse, _: str) -> list[Problem]:
            if response.status in right:
                return []
            if response.status < 400 or response.status in _NOT_THERE:
                text = f"HTTP {response.status} beyond the end of the image, not {right[0]}"
                return [Problem(where, "end", text)]
            raise ApiError(f"HTTP {response.status}", status=response.status)

        headers = PLAIN if byte_range is None else {**RANGED, "Range": byte_range}
        return self._http.read(url, headers, receive)

    def can_read(self, head: Head, name: str) -> bool:
        """Return whether there is a header that the page's script can read; `name` in lower case."""
        names = head.headers.get("access-control-expose-headers", "")
        return name in head.headers and (self._origin is None or self._is_exposed(names, name))

    def _is_exposed(self, names: str, name: str) -> bool:
        readable = {each.strip().lower() for each in names.split(",")}
        return name in readable or ("*" in readable and not self._with_cookies)

    def _answer(
        self, response: BaseHTTPResponse, url: str, answering: str, where: str, length: int, rules: Rules
    ) -> ViewAnswer:
        problems = list(self._check_headers(response, url, answering, where, rules))
        if any(problem.check == "content-encoding" for problem in problems) and _is_encoded(response):
            return ViewAnswer(None, problems)
        data = read_body(response, length + 1)
        given = response.headers.get("Content-Length")
        if given is None:
            problems.append(Problem(where, "content-length", "is absent"))
        return ViewAnswer(data, problems)

    def _check_headers(
        self, response: BaseHTTPResponse, url: str, answering: str, where: str, rules: Rules
    ) -> Iterator[Problem]:
        get = response.headers.get
        encoding, caching, etag = get("Content-Encoding"), get("Cache-Control"), get("ETag")
        if encoding is not None and not (rules.identity and encoding.strip().lower() == "identity"):
            needed = "absent or identity" if rules.identity else "absent"
            text = f"is {shown_header(encoding)}; it must be {needed}"
            yield Problem(where, "content-encoding", text)
        if "Transfer-Encoding" in response.headers:
            yield Problem(where, "transfer-encoding", "must be absent: the length must be known")
        if not forbids_transformation(caching):
            yield Problem(where, "cache-control", f"is {shown_header(caching)}; it must hold no-transform")
        if rules.etag not in (None, etag):
            yield Problem(where, "etag", "differs from that of the first answer")
        if self._origin is not None:
            # After a redirect to another host, browsers send the origin `null`.
            origin = self._origin if origin_of(answering) == origin_of(url) else "null"
            yield from self._check_cors(response, where, origin, rules.exposed)

    def _check_cors(
        self, response: BaseHTTPResponse, where: str, origin: str, exposed: tuple[str, ...]
    ) -> Iterator[Problem]:
        get = response.headers.get
        allowed, names = get("Access-Control-Allow-Origin"), get("Access-Control-Expose-Headers", "")
        if allowed != origin and (allowed != "*" or self._with_cookies):
            text = f"Access-Control-Allow-Origin is {shown_header(allowed)}: the page cannot read the answer"
            yield Problem(where, "cors", text)
        elif self._with_cookies and get("Access-Control-Allow-Credentials") != "true":
            yield Problem(where, "cors", "Access-Control-Allow-Credentials must be true")
        hidden = [name for name in exposed if not self._is_exposed(names, name)]
        if hidden:
            yield Problem(where, "cors", f"Access-Control-Expose-Headers lacks {', '.join(hidden)}")


def parse_object(text: str) -> dict[str, Any]:
    """Return a JSON object; raises WrongAnswer for anything else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WrongAnswer("json", "is not a JSON object")
    return content


def linked(url: str, link: object) -> str:
    """Return the absolute URL of a link in a document; raises WrongAnswer for one that a page cannot read."""
    try:
        target = urljoin(url, link) if isinstance(link, str) else ""
    except ValueError:
        target = ""
    if not is_readable_url(target):
        raise WrongAnswer("url", "is not an http or https URL")
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise WrongAnswer("url", "leads from https to http")
    return target


def total_of(content_range: str | None) -> int | None:
    """Return the size of the whole object from Content-Range."""
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    return int(match[3]) if match and match[3] != "*" else None


def length_of(content_length: str | None) -> int | None:
    """Return the value of Content-Length."""
    return int(content_length) if content_length and _DIGITS.fullmatch(content_length) else None


def count_blocks(size: int, length: int) -> int:
    """Return the number of blocks of an image, the last of which may be short."""
    return -(-size // length)


def positive_number(content: Mapping[str, Any], name: str) -> int:
    """Return a member of a document; raises WrongAnswer if it is none that clients can count with."""
    value = content.get(name)
    if type(value) is not int or not 0 < value <= LARGEST:
        raise WrongAnswer("schema", f"{name} must be a positive whole number")
    return value


def check_size(where: str, found: int, size: int | None) -> list[Problem]:
    """Return a problem if a view says another size than the image has, where that is known."""
    if size in (None, found):
        return []
    return [Problem(where, "size", f"says {found} bytes, the image has {size}")]


def _check_range(
    where: str, response: BaseHTTPResponse, first: int, last: int, rules: Rules
) -> Iterator[Problem]:
    value = response.headers.get("Content-Range", "")
    match, total = _CONTENT_RANGE.fullmatch(value), total_of(value)
    stop = last if total is None else min(last, total - 1)
    if match is None or (int(match[1]), int(match[2])) != (first, stop):
        yield Problem(where, "range", "Content-Range is not that of the range that was asked for")
    elif rules.size not in (None, total):
        yield Problem(where, "size", f"Content-Range says {total} bytes, not {rules.size}")


def _is_encoded(response: BaseHTTPResponse) -> bool:
    return response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")
