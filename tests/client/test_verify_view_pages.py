"""`image-gateway verify --as` for pages of another origin, other hosts, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.client.conftest import Run
from tests.client.view_faults import (
    base,
    found,
    replace,
    verify,
)
from tests.support.static_image import StaticServer, make_manifest, serving
from tests.support.static_views import (
    BLOCKS,
    DATA,
    ROOT,
    SIZE,
    URLS,
    make_views,
    put,
)

ORIGIN = ("--header", "Origin: https://page.example")


@pytest.fixture
def server() -> Iterator[StaticServer]:
    with serving(make_views()) as running:
        yield running


@pytest.mark.parametrize("view", URLS)
def test_headers_for_pages_of_another_origin(run: Run, server: StaticServer, view: str) -> None:
    assert {check for _, check in found(verify(run, server, view, *ORIGIN, "--keep-going"))} >= {"cors"}
    exposed = {"Access-Control-Expose-Headers": "Content-Range, ETag, accept-ranges"}
    for name in server.image.files:
        server.image.headers.setdefault(name, {}).update({"Access-Control-Allow-Origin": "*", **exposed})
    assert found(verify(run, server, view, *ORIGIN)) == set()
    assert {headers.get("origin") for _, headers in server.asked[-3:]} == {"https://page.example"}
    assert "cors" in {check for _, check in found(verify(run, server, view, *ORIGIN, "--cookie", "a=b"))}


def test_headers_that_the_script_cannot_read(run: Run, server: StaticServer) -> None:
    for name in server.image.files:
        server.image.set_header(name, "Access-Control-Allow-Origin", "https://page.example")
    for view, checks in {"webvm bytes": {"cors", "etag"}, "raw": {"cors"}, "webvm": set()}.items():
        problems = found(verify(run, server, view, *ORIGIN, "--keep-going"))
        assert {check for _, check in problems} == checks


def test_a_page_is_no_longer_known_after_a_redirect(run: Run, server: StaticServer) -> None:
    with serving(make_views()) as other:
        for image in (server.image, other.image):
            for name in image.files:
                image.set_header(name, "Access-Control-Allow-Origin", "https://page.example")
        part = BLOCKS["v86"][0]
        location = {"Location": f"{other.url}/{ROOT}/{part}"}
        server.script = lambda path, _: (307, location, b"") if path.endswith(part) else None
        assert found(verify(run, server, "v86", *ORIGIN)) == {(base(part), "cors")}
        assert [headers["origin"] for _, headers in other.asked] == ["null"]
        other.image.set_header(f"{ROOT}/{part}", "Access-Control-Allow-Origin", "*")
        assert found(verify(run, server, "v86", *ORIGIN)) == set()


@pytest.mark.parametrize("view", URLS)
@pytest.mark.parametrize("status", [401, 503])
def test_a_view_that_cannot_be_read(run: Run, server: StaticServer, view: str, status: int) -> None:
    server.script = lambda path, _: (status, {}, b"s3cret") if not path.endswith(f"{ROOT}/disk.img") else None
    ended = verify(run, server, view)
    assert ended.status == 75
    assert json.loads(ended.out)["problems"] == []
    assert "s3cret" not in ended.out


def test_a_view_that_does_not_exist(run: Run, server: StaticServer) -> None:
    server.image.files.pop(f"{ROOT}/{URLS['tinyemu']}")
    ended = verify(run, server, "tinyemu")
    assert (ended.status, json.loads(ended.out)["unreadable"][0]["check"]) == (75, "missing")


def test_files_of_another_host_are_compared_with_nothing(run: Run, server: StaticServer) -> None:
    server.image.files = {
        name.replace("l/igl~secret", "x"): data for name, data in server.image.files.items()
    }
    put(server.image, "x", b"")
    for view in ("tinyemu", "infinite-mac", "webvm"):
        ended = run("verify", f"{server.url}/x/{URLS[view]}", "--as", view)
        assert ended.status == 0, ended.out
        assert f"blocks of {view} and compared with nothing" in ended.out
    assert run("verify", f"{server.url}/x/{URLS['v86']}", "--as", "v86").status == 2


def test_a_file_of_tinyemus_own_tool(run: Run, server: StaticServer) -> None:
    put(server.image, URLS["tinyemu"], b"{\n  block_size: 64,\n  n_block: 5,\n}\n")
    assert found(verify(run, server, "tinyemu")) == set()


@pytest.mark.parametrize("view", ["v86", "tinyemu", "infinite-mac", "webvm", "sqlite"])
def test_a_base_in_place_of_a_document(run: Run, server: StaticServer, view: str) -> None:
    url = f"{server.url}/{ROOT}/{URLS[view].rpartition('/')[0]}/"
    ended = run("verify", url, "--as", view)
    assert ended.status == 0, ended.out + ended.err
    assert run("verify", f"{server.url}/{ROOT}/raw/", "--as", "raw").status == 2


def test_the_sha256_of_a_manifest_saves_reading_the_disk(run: Run, server: StaticServer) -> None:
    put(server.image, "manifest.json", json.dumps(make_manifest(DATA, 65_536)).encode())
    ended = verify(run, server, "webvm")
    assert found(ended) == set()
    answer = json.loads(ended.out)
    assert (answer["hashCompared"], answer["diskCompared"], answer["checkedBytes"]) == (True, False, SIZE)
    replace(BLOCKS["webvm"][1], lambda data: bytes(len(data)))(server)
    assert found(verify(run, server, "webvm")) == {("disk.ext2.c000000.txt", "sha256")}
