"""Checks of the files that an emulator's own tools make of a disk: their names, sizes, headers and CORS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar, cast

from urllib3 import BaseHTTPResponse

from image_gateway.client.errors import ApiError
from image_gateway.client.verify_requests import RANGED
from image_gateway.client.verify_view_reads import ViewReader
from image_gateway.client.verify_view_urls import VIEW_CLIENTS, find_image
from image_gateway.client.verify_views import V86
from image_gateway.protocol.verification import Missing, Problem, Unreadable, WrongAnswer
from image_gateway.protocol.view_verification import ViewSection
from image_gateway.url_check.clients import UrlKind
from image_gateway.url_check.codes import NOBODY, Fault, Tried
from image_gateway.url_check.cors import try_preflight
from image_gateway.url_check.prober import Prober
from image_gateway.url_check.ranges import parse_content_range
from image_gateway.url_check.target import Target

Result = TypeVar("Result")
# The names of `image-gateway verify --as`, and of the client here.
_VIEWS = {
    UrlKind.V86: ("v86", "v86"),
    UrlKind.TINYEMU: ("tinyemu", "tinyemu"),
    UrlKind.INFINITE_MAC: ("infinite-mac", "infinite-mac"),
    UrlKind.WEBVM: ("webvm", "webvm"),
    UrlKind.SQLITE: ("sqlite", "sqljs"),
}
_CODES = {
    "content-encoding": "content-encoding",
    "transfer-encoding": "size-unknown",
    "content-length": "size-unknown",
    "etag": "etag-unstable",
    "status": "status",
    "end": "beyond-end-not-404",
    "zstd": "chunk-differs",
    "range": "content-range-wrong",
    "accept-ranges": "accept-ranges-missing",
}
# Scripts get whole files unpacked, and whole without a length; CheerpX refuses the header.
_CONCERNS = {"content-encoding": frozenset({"webvm"}), "size-unknown": NOBODY}


class LayoutToCheck:
    """The files behind a URL of a layout, opened as its client does.

    Raises:
        NotAView: The client cannot be given such a URL.
    """

    def __init__(self, target: Target, prober: Prober, kind: UrlKind) -> None:
        view_name, self.client = _VIEWS[kind]
        self._target = target
        self._prober = prober
        self._kind = kind
        self._origin = None if target.is_same_origin else target.page
        found = VIEW_CLIENTS[view_name][1](target.url)
        with_cookies = any(name.lower() == "cookie" for name in target.headers)
        requests = _Requests(prober, self._origin)
        self._view = found.connect(ViewReader(requests, origin=self._origin, with_cookies=with_cookies))
        self.size: int | None = None
        self.first_url = found.url
        if isinstance(self._view, V86):
            self.first_url = self._view.first_url
        elif kind is UrlKind.WEBVM:
            self.first_url = f"{found.url}.meta"

    def check(self) -> Iterator[Tried]:
        """Read the document, then the first, a middle and the last piece of each sort, and beyond."""
        for tried in self._read():
            yield replace(tried, faults=tuple(map(self._narrow, tried.faults)))

    def _narrow(self, fault: Fault) -> Fault:
        """Return a fault of pieces that are read whole with the clients that it concerns."""
        if self._kind is not UrlKind.SQLITE and fault.code in _CONCERNS:
            return replace(fault, clients=_CONCERNS[fault.code])
        return fault

    def _read(self) -> Iterator[Tried]:
        size = self._disk_size() if self._kind is UrlKind.V86 else None
        if self._kind is UrlKind.V86 and size is None:
            reason = "v86 must be told the size, and no disk beside the parts tells it"
            yield Tried("layout", self._view.where, skipped=reason)
            return
        try:
            layout = self._view.open(size)
        except (Missing, Unreadable, WrongAnswer) as error:
            yield Tried(
                "layout", self._view.where, faults=(_fault_of(error, self._view.where, is_piece=False),)
            )
            return
        self.size = layout.size
        yield from _tried(self._view.where, layout.problems, f"{layout.size} bytes in all")
        for section in layout.sections:
            yield from _check_section(section)
        if self._origin is not None and self._kind is UrlKind.SQLITE:
            yield try_preflight(self._target, self._prober, self._target.url, ["range"])

    def _disk_size(self) -> int | None:
        """Return the size of the disk beside the layout: v86 is told it and asks for none."""
        urls = find_image(self._target.url)
        if urls is None or urls.disk is None:
            return None
        answer = self._prober.send("HEAD", urls.disk, RANGED)
        if answer.status == 200 and answer.length is not None:
            return answer.length
        ranged = self._prober.send("GET", urls.disk, {**RANGED, "Range": "bytes=0-0"})
        content_range = parse_content_range(ranged.get("Content-Range")) if ranged.status == 206 else None
        return content_range[2] if content_range else None


class _Requests:
    """Sends what a view's reader asks for, within the budget and the time of a check."""

    def __init__(self, prober: Prober, origin: str | None) -> None:
        self._prober = prober
        self._headers = {"Origin": origin} if origin else {}

    def read(
        self,
        url: str,
        headers: Mapping[str, str],
        receive: Callable[[BaseHTTPResponse, str], Result],
        method: str = "GET",
    ) -> Result:
        with self._prober.open(method, url, {**headers, **self._headers}) as (response, _, answering):
            try:
                # It has what readers of views use of a response.
                return receive(cast(BaseHTTPResponse, response), answering)
            except ApiError as error:
                raise Unreadable(str(error)) from None


def _check_section(section: ViewSection) -> Iterator[Tried]:
    for index in sorted({0, section.count // 2, section.count - 1}):
        block = section.block(index)
        try:
            answer = block.read()
        except (Missing, Unreadable, WrongAnswer) as error:
            yield Tried("layout", block.where, faults=(_fault_of(error, block.where, is_piece=True),))
            continue
        faults = []
        if answer.data is not None and len(answer.data) != block.size:
            count = f"{len(answer.data)}" if len(answer.data) < block.size else f"more than {block.size}"
            faults.append(Fault("chunk-size-wrong", f"{block.where} has {count} bytes, not {block.size}"))
        yield from _tried(block.where, answer.problems, f"{block.size} bytes", faults)
    try:
        yield from _tried("beyond the end", section.check_end(), "refused")
    except (Missing, Unreadable, WrongAnswer) as error:
        yield Tried("layout", "beyond the end", faults=(_fault_of(error, "beyond the end", is_piece=False),))


def _tried(
    where: str, problems: Iterable[Problem], detail: str, faults: Iterable[Fault] = ()
) -> Iterator[Tried]:
    """Yield what a read found, that about CORS by itself."""
    found = list(problems)
    own = [_fault_of_problem(problem) for problem in found if problem.check != "cors"]
    yield Tried("layout", where, detail, (*own, *faults))
    of_page = tuple(_fault_of_problem(problem) for problem in found if problem.check == "cors")
    if of_page:
        yield Tried("CORS", where, faults=of_page)


def _fault_of_problem(problem: Problem) -> Fault:
    what = f"{problem.where}: {problem.check} {problem.text}"
    if problem.check == "cors":
        return Fault(_cors_code(problem.text), f"{problem.where}: {problem.text}")
    if problem.check == "cache-control":
        return Fault("cache-control-missing" if "is absent" in problem.text else "no-transform-missing", what)
    if problem.check == "content-encoding" and "is 'identity'" in problem.text:
        return Fault("content-encoding-identity", what)
    return Fault(_CODES.get(problem.check, "manifest-invalid"), what)


def _cors_code(text: str) -> str:
    if text.startswith("Access-Control-Expose-Headers"):
        return "cors-not-exposed"
    return "cors-origin-missing" if "Allow-Origin is absent" in text else "cors-origin-wrong"


def _fault_of(error: Exception, where: str, *, is_piece: bool) -> Fault:
    if isinstance(error, WrongAnswer):
        code = _CODES.get(error.check, "manifest-invalid")
        if code == "content-range-wrong" and "200" in error.text:
            code = "no-ranges"
        return Fault(code, f"{where}: {error.text}")
    if isinstance(error, Missing) and is_piece:
        return Fault("chunk-missing", f"{where}: not found")
    return Fault("status", f"{where}: {str(error) or 'not found'}")
