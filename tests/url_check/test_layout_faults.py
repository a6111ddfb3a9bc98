"""`image-gateway check` of the files of emulators, right ones and spoiled ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from image_gateway.url_check.check import check_url
from image_gateway.url_check.clients import UrlKind
from image_gateway.url_check.report import UrlReport, Verdict
from image_gateway.url_check.target import Target
from tests.support.static_image import IMMUTABLE, StaticImage, StaticServer, make_image, serving
from tests.support.static_views import BEYOND, BLOCKS, ROOT, URLS, change_document, make_views, put

PAGE = "https://page.example.com"
CLIENTS = {
    "v86": "v86",
    "v86 zst": "v86",
    "v86 any": "v86",
    "tinyemu": "tinyemu",
    "infinite-mac": "infinite-mac",
    "webvm": "webvm",
    "sqlite": "sqljs",
}
Spoil = Callable[[StaticImage], None]


@pytest.fixture
def server() -> Iterator[StaticServer]:
    image = make_views()
    for name in image.files:
        image.headers.setdefault(name, {}).update(
            {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Headers": "range",
                "Access-Control-Expose-Headers": "content-range, etag, accept-ranges",
                "Cross-Origin-Resource-Policy": "cross-origin",
            }
        )
    with serving(image) as running:
        yield running


def check(server: StaticServer, view: str, client: str | None = None, origin: str | None = PAGE) -> UrlReport:
    name = f"{URLS[view]}.meta" if view == "webvm" else URLS[view]
    return check_url(Target(f"{server.url}/{ROOT}/{name}", {}, client, origin))


def codes(report: UrlReport) -> list[str]:
    return [finding.code for each in report.checks for finding in each.findings]


def is_right(report: UrlReport) -> bool:
    """Whether nothing is wrong but the missing refusal: this server asks nobody for a lease."""
    return set(codes(report)) <= {"open-without-credentials", "preflight-refused"}


@pytest.mark.parametrize("view", CLIENTS)
def test_a_right_layout(server: StaticServer, view: str) -> None:
    for client in (None, CLIENTS[view]):
        report = check(server, view, client, origin=None)
        assert is_right(report), codes(report)
        assert {each.verdict for each in report.verdicts if each.client == CLIENTS[view]} <= {
            Verdict.WORKS,
            # The static server knows no preflight.
            *([Verdict.OWN_ORIGIN, Verdict.BREAKS] if view == "sqlite" else []),
        }


@pytest.mark.parametrize("view", CLIENTS)
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda image, name: image.files.pop(name), "chunk-missing"),
        (lambda image, name: image.files.update({name: image.files[name][:-1]}), "chunk-size-wrong"),
        (lambda image, name: image.set_header(name, "Content-Encoding", "gzip"), "content-encoding"),
        (lambda image, name: image.set_header(name, "Cache-Control", "public"), "no-transform-missing"),
        (
            lambda image, name: image.set_header(
                name, "Access-Control-Allow-Origin", "https://other.example"
            ),
            "cors-origin-wrong",
        ),
    ],
    ids=["missing", "short", "encoded", "transformable", "cors"],
)
def test_a_spoiled_last_piece(
    server: StaticServer, view: str, spoil: Callable[[StaticImage, str], object], code: str
) -> None:
    spoil(server.image, f"{ROOT}/{BLOCKS[view][1]}")
    found = set(codes(check(server, view)))
    if (view, code) == ("v86 zst", "chunk-size-wrong"):
        code = "chunk-differs"  # A frame that is cut is no frame any more.
    assert code in found


@pytest.mark.parametrize(
    ("view", "changes"),
    [("tinyemu", {"block_size": 3}), ("infinite-mac", {"chunks": []}), ("sqlite", {"serverMode": "none"})],
)
def test_a_document_that_the_client_cannot_use(
    server: StaticServer, view: str, changes: dict[str, object]
) -> None:
    change_document(server.image, view, **changes)
    report = check(server, view, CLIENTS[view])
    assert "manifest-invalid" in codes(report)
    assert [each.verdict for each in report.verdicts] == [Verdict.BREAKS]


def test_pieces_beyond_the_end(server: StaticServer) -> None:
    put(server.image, BEYOND["tinyemu"], b"x")
    assert "beyond-end-not-404" in codes(check(server, "tinyemu"))


def test_a_document_that_is_a_page(server: StaticServer) -> None:
    put(server.image, URLS["tinyemu"], b"<!DOCTYPE html><title>Sign in</title>")
    assert codes(check(server, "tinyemu")) == ["not-an-image"]


@pytest.mark.parametrize(
    ("client", "path"), [("v86", "/v86/262144/disk.img"), ("sqljs", "/disk.json"), ("tinyemu", "/disk.img")]
)
def test_a_url_that_the_client_cannot_be_given(server: StaticServer, client: str, path: str) -> None:
    report = check_url(Target(f"{server.url}{path}", client=client))
    assert set(codes(report)) <= {"layout-wrong", "status"}
    assert codes(report)
    assert [each.verdict for each in report.verdicts] == [Verdict.BREAKS]


def test_the_kind_of_a_manifest_is_seen_in_it(server: StaticServer) -> None:
    document = server.image.files[f"{ROOT}/{URLS['infinite-mac']}"]
    image = StaticImage({"manifest.json": json.dumps({**json.loads(document), "name": "x"}).encode()})
    image.files |= {
        name.rpartition("/")[2]: data for name, data in server.image.files.items() if name.endswith(".chunk")
    }
    with serving(image) as other:
        report = check_url(Target(f"{other.url}/manifest.json"))
    assert report.kind is UrlKind.INFINITE_MAC
    assert codes(report) == []


def test_a_chunked_image_and_its_disk() -> None:
    image = make_image()
    with serving(image) as server:
        assert codes(check_url(Target(f"{server.url}/manifest.json"))) == []
        report = check_url(Target(f"{server.url}/disk.img", chunked=True))
        assert (report.kind, codes(report)) == (UrlKind.CHUNKED, [])
        assert report.facts["Size"] == f"{len(image.files['disk.img'])} bytes"
        # Another disk than the chunks are of, which their hashes do not show.
        image.flip("disk.img")
        assert codes(check_url(Target(f"{server.url}/manifest.json"))) == ["chunk-differs"]
        del image.files["disk.img"]
        report = check_url(Target(f"{server.url}/manifest.json"))
        assert codes(report) == []
        skipped = [each.skipped for each in report.checks if each.name == "chunk 0 and the disk"]
        assert skipped == ["no disk can be read beside the manifest (HTTP 404)"]
        image.set_header("chunks/00000000.bin", "Cache-Control", IMMUTABLE.replace(", no-transform", ""))
        assert codes(check_url(Target(f"{server.url}/manifest.json"))) == ["no-transform-missing"]
