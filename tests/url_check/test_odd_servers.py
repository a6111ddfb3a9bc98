"""`image-gateway check` of files of odd sizes, of redirects between hosts, and of nonsense."""

from __future__ import annotations

import random
from collections.abc import Iterator

from image_gateway.url_check.answers import Limits
from image_gateway.url_check.check import check_url
from image_gateway.url_check.clients import CLIENTS
from image_gateway.url_check.report import UrlReport
from image_gateway.url_check.target import Target
from tests.support.byte_server import serving_bytes
from tests.support.range_server import RangeServer, Response, serving_ranges
from tests.support.static_image import StaticImage
from tests.support.web_faults import redirected

PAGE = "https://page.example.com"
SIZES = (0, 1, 2, 3, 9, 10, 29, 30, 63, 64, 65, 65_536, 262_143, 262_144, 262_145)
FILES = {f"{size}.img": random.Random(size).randbytes(size) for size in SIZES}
STATUSES = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 206 Partial\r\n",
    b"HTTP/1.1 302 Found\r\n",
    b"HTTP/1.0 200\r\n",
)
NONSENSE = (
    b"Content-Length: 10\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Range: bytes 5-1/3\r\n",
    b"Content-Range: bytes 0-0/999999999999999999\r\n",
    b"Location: http://[bad\r\n",
    b"Location: /\r\n",
    b"ETag: \x1b[31m\xff\r\n",
    b"Last-Modified: Mon, 99 Nov 9999 99:99:99 GMT\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Access-Control-Allow-Origin: *\r\n",
    b"\r\n",
    b"0123456789",
    b"zz\r\n",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b'{"totalSize": 5, "chunks": [1]}',
    b"\x00\xff",
)
NAMES = ("disk.img", "manifest.json", "blk.txt", "config.json", "v1/l/igl~x/v86/512/disk.img", "disk.meta")


def codes(report: UrlReport) -> list[str]:
    return [finding.code for check in report.checks for finding in check.findings]


def test_files_of_any_size_are_right() -> None:
    with serving_ranges(StaticImage(FILES)) as server:
        found = {name: codes(check_url(Target(server.url(name), origin=PAGE))) for name in FILES}
    assert found == {name: [] for name in FILES}


def test_white_space_after_a_value_is_no_part_of_it() -> None:
    def answer(request: bytes) -> Iterator[bytes]:
        headers = (
            b'Content-Length: 0 \r\nETag: "v1" \r\nLast-Modified: Sun, 22 Nov 2026 00:00:00 GMT\t\r\n'
            b"Cache-Control: no-transform \r\nAccess-Control-Allow-Origin: * \r\nAccept-Ranges: bytes \r\n"
            b"Access-Control-Expose-Headers: *\r\nCross-Origin-Resource-Policy: cross-origin \r\n"
            b"Access-Control-Allow-Headers: *\r\n"
        )
        fails = b'If-Match: "image' in request
        same = b'If-None-Match: "v1"\r\n' in request or b"If-Modified-Since: Sun, 22 Nov" in request
        status = b"412 Failed" if fails else b"304 Same" if same else b"200 OK"
        yield b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n"

    with serving_bytes(answer) as server:
        assert codes(check_url(Target(f"{server.url}/disk.img", origin=PAGE))) == []


def test_nonsense_is_a_finding_and_no_crash() -> None:
    source = random.Random(3)

    def answer(_: bytes) -> Iterator[bytes]:
        yield source.choice(STATUSES)
        for _ in range(source.randrange(12)):
            yield source.choice(NONSENSE)

    limits = Limits(connect=1, stall=0.2, request=0.5, total=2)
    with serving_bytes(answer) as server:
        for number in range(60):
            client = source.choice([None, *CLIENTS])
            url = f"{server.url}/{NAMES[number % len(NAMES)]}"
            assert codes(check_url(Target(url, client=client, origin=PAGE), limits)), (url, client)


def redirecting(server: RangeServer, url: str, *, origin: str) -> None:
    """Let a server redirect all reads, as far as pages of this origin may see that."""
    server.origin = origin
    server.change = lambda request, right: (
        right(request) if request.method == "OPTIONS" else redirected(request, right, url)
    )


def test_a_page_has_no_origin_after_a_redirect_between_two_other_hosts() -> None:
    with serving_ranges(StaticImage(FILES)) as first, serving_ranges(StaticImage(FILES)) as second:
        redirecting(first, second.url("65536.img"), origin=PAGE)
        assert codes(check_url(Target(first.url("disk.img"), origin=PAGE))) == ["redirect"]
        assert "null" in {request.headers.get("origin") for request in second.asked}
        second.origin = PAGE
        assert "cors-origin-missing" in codes(check_url(Target(first.url("disk.img"), origin=PAGE)))


def test_a_page_of_the_same_origin_needs_permission_where_a_redirect_leads() -> None:
    with serving_ranges(StaticImage(FILES)) as first, serving_ranges(StaticImage(FILES)) as second:
        redirecting(first, second.url("65536.img"), origin="https://nobody.example")
        second.origin = first.base
        report = check_url(Target(first.url("disk.img"), client="browser", origin=first.base))
        assert codes(report) == ["redirect"]
        assert {request.headers.get("origin") for request in second.asked} == {None, first.base}
        second.origin = PAGE
        report = check_url(Target(first.url("disk.img"), client="browser", origin=first.base))
        assert codes(report) == ["redirect", "cors-origin-missing"]


def test_a_page_to_sign_in_at_is_a_refusal() -> None:
    page = Response(200, {"Content-Type": "text/html"}).with_body(b"<!doctype html><title>Sign in</title>")
    with serving_ranges(StaticImage(FILES)) as server:
        target = Target(server.url("65536.img"), {"Cookie": "session=s3cret"})
        assert "open-without-credentials" in codes(check_url(target))
        server.change = lambda request, right: right(request) if "cookie" in request.headers else page
        assert "open-without-credentials" not in codes(check_url(target))


def test_credentials_do_not_follow_a_redirect() -> None:
    with serving_ranges(StaticImage(FILES)) as first, serving_ranges(StaticImage(FILES)) as second:
        redirecting(first, second.url("65536.img"), origin=PAGE)
        check_url(Target(first.url("disk.img"), {"Authorization": "Bearer s3cret"}))
        assert any("authorization" in request.headers for request in first.asked)
        assert not [request for request in second.asked if "authorization" in request.headers]
