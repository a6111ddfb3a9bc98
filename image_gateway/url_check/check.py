"""Runs all checks of a URL, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.client.verify_view_urls import NotAView
from image_gateway.protocol.repeated_secrets import Secrets
from image_gateway.url_check.answers import Answer, Limits, ProbeFailed
from image_gateway.url_check.chunks import check_chunked, find_chunked, read_document, size_of_manifest
from image_gateway.url_check.clients import CLIENTS, UrlKind
from image_gateway.url_check.codes import Fault, Tried
from image_gateway.url_check.cors import check_file_cors
from image_gateway.url_check.head import check_head
from image_gateway.url_check.headers import check_embedding, check_file_headers
from image_gateway.url_check.layouts import LayoutToCheck
from image_gateway.url_check.opening import is_open, looks_like_infinite_mac, open_url
from image_gateway.url_check.prober import Prober
from image_gateway.url_check.ranges import check_ranges
from image_gateway.url_check.refusal import check_refusal
from image_gateway.url_check.report import UrlReport, make_report
from image_gateway.url_check.target import FileState, Target
from image_gateway.url_check.validators import check_validators

Steps = Iterator[Tried]
# A server that does not answer is not asked again and again.
_MOST_FAILURES = 2
_NO_PREFLIGHT = {"preflight-refused", "preflight-origin-missing"}


def check_url(target: Target, limits: Limits | None = None) -> UrlReport:
    """Check a URL as its clients read it; sends up to forty requests, one after the other.

    Args:
        target: The URL; `client` limits the findings to what this client cares about.
        limits: Limits of bytes and time.
    """
    run = _Run(target, Prober(target.url, target.headers, limits or Limits()))
    run.check()
    in_browser = target.client is not None and CLIENTS[target.client].in_browser
    return make_report(
        run.kind,
        run.tried,
        client=target.client,
        page_counts=run.is_page_foreign and (target.origin is not None or in_browser),
        facts=run.facts,
        requests=run.prober.requests,
        bytes_read=run.prober.bytes_read,
        hide=Secrets([target.url, *run.prober.followed], target.credential_headers).hide,
    )


class _Run:
    """One check: what was tried, and what is known."""

    def __init__(self, target: Target, prober: Prober) -> None:
        self.target = target
        self.prober = prober
        self.kind = target.guess_kind()
        self.tried: list[Tried] = []
        self.facts: dict[str, str] = {}
        self.is_page_foreign = not target.is_same_origin
        self._failures = 0

    def check(self) -> None:
        if self.kind is UrlKind.FILE:
            self._check_file()
        elif self.kind is UrlKind.CHUNKED:
            self._check_chunked()
        else:
            self._check_layout()

    def _check_file(self) -> None:
        answer = self._open(self.target.url)
        if answer is None:
            return
        file = FileState(
            self.target, self.prober, self.target.url, answer, answer.length, etags=[answer.get("ETag")]
        )
        if not answer.is_encoded:
            file.seen.append((0, answer.body))
        self._try("HEAD", check_head(file))
        self._try("ranges", check_ranges(file))
        self._try("validators", check_validators(file))
        self._try("headers", check_file_headers(file))
        if self.is_page_foreign:
            self._try("headers", iter([check_embedding(answer)]))
            self._try("CORS", check_file_cors(file))
        self._try("access", check_refusal(self.target, self.prober, self.target.url))
        self.facts["Ranges"] = {True: "yes", False: "no", None: "not known"}[file.takes_ranges]
        self._note_facts(answer, file.size)

    def _check_chunked(self) -> None:
        urls = find_chunked(self.target.url)
        answer = self._open(urls.manifest, read_whole=True)
        if answer is None:
            return
        if self.target.client is None and not self.target.chunked and looks_like_infinite_mac(answer.body):
            self.kind = UrlKind.INFINITE_MAC
            self._check_layout()
            return
        self._try("chunks", check_chunked(self.target, self.prober, urls, answer))
        self._try("access", check_refusal(self.target, self.prober, urls.manifest))
        self._note_facts(answer, size_of_manifest(answer.body))

    def _check_layout(self) -> None:
        try:
            layout = LayoutToCheck(self.target, self.prober, self.kind)
        except NotAView:
            client = next(each for each in CLIENTS.values() if self.kind in each.reads)
            fault = Fault("layout-wrong", f"{client.name} needs {client.wants}")
            self.tried.append(Tried("layout", "URL", faults=(fault,)))
            return
        answer = self._open(layout.first_url)
        if answer is None:
            return
        self._try("layout", layout.check())
        if self.is_page_foreign:
            self._try("headers", iter([check_embedding(answer)]))
        self._try("access", check_refusal(self.target, self.prober, layout.first_url))
        self._note_facts(answer, layout.size)

    def _open(self, url: str, *, read_whole: bool = False) -> Answer | None:
        """Read the URL first; None if there is nothing to check."""
        try:
            answer, tried = open_url(self.prober, url)
            self.tried += tried
            if not is_open(tried):
                return None
            self.is_page_foreign |= any(hop.leaves_origin for hop in answer.hops)
            return read_document(self.prober, url) if read_whole else answer
        except ProbeFailed as error:
            self.tried.append(_failed("read", error))
            return None

    def _try(self, subject: str, steps: Iterator[Tried]) -> None:
        if self._failures >= _MOST_FAILURES:
            reason = "the server did not answer earlier requests"
            self.tried.append(Tried(subject, "all", skipped=reason, is_unfinished=True))
            return
        try:
            self.tried.extend(steps)
        except ProbeFailed as error:
            self._failures += error.code in ("unreachable", "timeout", "tls")
            self.tried.append(_failed(subject, error))

    def _note_facts(self, answer: Answer, size: int | None) -> None:
        self.facts["Size"] = "not known" if size is None else f"{size} bytes"
        for name in ("Content-Type", "ETag", "Last-Modified", "Cache-Control"):
            self.facts[name] = answer.get(name) or "absent"
        self.facts["Pages"] = self._page_fact()

    def _page_fact(self) -> str:
        """Return whether the page may read."""
        page = self.target.page
        if not self.is_page_foreign:
            return f"{page} has the origin of the URL"
        codes = {fault.code for item in self.tried for fault in item.faults if item.subject == "CORS"}
        if codes & {"cors-origin-missing", "cors-origin-wrong"}:
            return f"{page} may not read it"
        return f"{page} may read it{', but not after a preflight' if codes & _NO_PREFLIGHT else ''}"


def _failed(subject: str, error: ProbeFailed) -> Tried:
    if error.code == "budget-exhausted":
        reason = f"budget-exhausted: {error.text}"
        return Tried(subject, "further reads", skipped=reason, is_unfinished=True)
    return Tried(subject, "answer", faults=(Fault(error.code, error.text),))
