"""`image-gateway check` finds each fault of a file server, and none in a right server."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_gateway.domain.findings import Severity
from image_gateway.url_check.check import check_url
from image_gateway.url_check.report import UrlReport, Verdict
from image_gateway.url_check.target import Target
from tests.support.certificates import make_certificate
from tests.support.faulty_file_server import FAULTS, code_of
from tests.support.range_server import RangeServer, serving_ranges
from tests.support.static_image import make_image
from tests.support.web_faults import TOKEN, redirected

CHUNK = 96 * 1024
# More than the check reads as a whole, in an odd number of chunks.
DATA = random.Random(20).randbytes(4 * CHUNK + 3 * 512)
ORIGIN = "https://page.example"
FILE_READERS = ("v86", "webvm", "sqljs", "qemu", "aria2", "browser")
OF_CHUNKS = [name for name in FAULTS if name.startswith(("manifest-", "chunk-"))]
OF_FILES = [name for name in FAULTS if name not in OF_CHUNKS]
WITH_CREDENTIALS = ("cacheable-private", "open-without-credentials")
# Right by the standards, and a finding for the one client that it breaks.
OF_ONE_CLIENT = {"content-encoding-identity": "webvm"}
# What else may be found: it follows from the fault.
CONSEQUENCES = {
    "content-range-wrong": {"suffix-range-wrong", "range-not-clipped"},
    "range-length-wrong": {"suffix-range-wrong", "range-not-clipped"},
    "head-headers-differ (ETag)": {"etag-unstable"},
    "size-unknown": {"head-length-missing", "content-range-unknown-total"},
    "size-unknown (of a GET)": {"head-length-missing"},
    "body-shorter": {"range-not-clipped"},
    "cors-origin-missing": {"cors-missing-on-errors"},
    "cors-origin-wrong": {"cors-missing-on-errors"},
}


@pytest.fixture(scope="module")
def shared() -> Iterator[RangeServer]:
    with serving_ranges(make_image(DATA, CHUNK)) as running:
        yield running


@pytest.fixture
def server(shared: RangeServer) -> Iterator[RangeServer]:
    """The right server; it is right again after each test."""
    yield shared
    shared.token, shared.origin, shared.change = None, None, lambda request, right: right(request)


def check(server: RangeServer, fault: str | None, client: str | None = None) -> UrlReport:
    """Check the file of a server with a fault, or its chunks if they are what the fault is about."""
    if fault is not None:
        server.change = FAULTS[fault]
    if fault in WITH_CREDENTIALS:
        server.token = TOKEN
    headers = {"Authorization": f"Bearer {TOKEN}"} if server.token else {}
    url = server.url("manifest.json" if fault in OF_CHUNKS else "disk.img")
    return check_url(Target(url, headers, client, ORIGIN, chunked=fault in OF_CHUNKS))


def codes(report: UrlReport) -> list[str]:
    return [finding.code for each in report.checks for finding in each.findings]


def is_broken(report: UrlReport) -> bool:
    return any(finding.severity is Severity.BROKEN for each in report.checks for finding in each.findings)


def verdict_for(report: UrlReport, client: str) -> Verdict:
    return next(each.verdict for each in report.verdicts if each.client == client)


@pytest.mark.parametrize("client", [None, *FILE_READERS])
def test_a_right_server_has_no_finding(server: RangeServer, client: str | None) -> None:
    report = check(server, None, client)
    assert codes(report) == []
    works = {each.verdict for each in report.verdicts if client in (None, each.client)}
    assert works <= {Verdict.WORKS, Verdict.NOT_FOR_IT}


@pytest.mark.parametrize("client", [None, "browser"])
def test_right_chunks_have_no_finding(server: RangeServer, client: str | None) -> None:
    assert codes(check_url(Target(server.url("manifest.json"), client=client, origin=ORIGIN))) == []


def test_a_right_server_may_know_its_readers(server: RangeServer) -> None:
    server.token, server.origin = TOKEN, ORIGIN
    assert codes(check(server, None)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(server: RangeServer, fault: str) -> None:
    code = code_of(fault)
    found = set(codes(check(server, fault, OF_ONE_CLIENT.get(code))))
    assert code in found
    assert found - {code} <= CONSEQUENCES.get(fault, set())


@pytest.mark.thorough
@pytest.mark.parametrize("fault", OF_FILES)
def test_one_client_is_told_of_what_concerns_it(server: RangeServer, fault: str) -> None:
    of_all = check(server, fault)
    for client in ("v86", "sqljs", "qemu", "aria2"):
        report = check(server, fault, client)
        verdict = verdict_for(report, client)
        assert set(codes(report)) <= {code_of(fault)} | CONSEQUENCES.get(fault, set())
        assert verdict is verdict_for(of_all, client)
        assert is_broken(report) == (verdict is Verdict.BREAKS), client


def test_a_redirect_to_http_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, certificate, key = make_certificate(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving_ranges(make_image(DATA, CHUNK), tls=tls, host="localhost") as server:
        unknown = check(server, None)
        assert (codes(unknown), is_broken(unknown)) == (["tls"], True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert codes(check(server, None)) == []
        server.change = lambda request, right: redirected(request, right, "http://127.0.0.1:9/disk.img")
        assert codes(check(server, None)) == ["redirect-to-http"]


def test_a_server_that_does_not_answer_is_found(server: RangeServer) -> None:
    with serving_ranges(make_image(DATA, CHUNK)) as ended:
        url = ended.url()
    assert codes(check_url(Target(url))) == ["unreachable"]
