"""What reader clients demand of the answer of `stream-url`, and where they read."""

from __future__ import annotations

from typing import Any

import pytest

from image_gateway.client.verify_clients import CLIENTS
from image_gateway.client.verify_view_urls import NotAView

GOOD: dict[str, Any] = {
    "url": "https://host/v1/l/igl~x/disk.img",
    "size": 4096,
    "expiresAt": "2026-11-30T12:00:00Z",
    "auth": {"type": "url"},
    "chunked": {"delivery": "chunked", "manifestUrl": "https://host/v1/l/igl~x/manifest.json"},
}
COOKIES = {"type": "cookie", "cookies": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}


def test_urls_and_cookies_are_those_of_the_answer() -> None:
    view = CLIENTS["aero"].from_stream_url({**GOOD, "auth": COOKIES})
    assert view.problems == []
    assert view.urls is not None
    assert (view.urls.manifest, view.urls.disk) == (GOOD["chunked"]["manifestUrl"], GOOD["url"])
    assert not view.urls.optional_manifest
    assert view.credentials.headers == {"Cookie": "a=1; b=2"}
    assert "a=1" not in repr(view)


def test_without_chunks_the_disk_is_read() -> None:
    answer = {name: value for name, value in GOOD.items() if name not in ("chunked", "expiresAt")}
    view = CLIENTS["aero"].from_stream_url(answer)
    assert (view.problems, view.credentials.headers) == ([], {})
    assert view.urls is not None
    assert (view.urls.disk, view.urls.optional_manifest) == (GOOD["url"], True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", None),
        ("url", "ftp://host/disk.img"),
        ("url", "https://[/disk.img"),
        ("size", 4095),
        ("size", 0),
        ("size", "4096"),
        ("size", True),
        ("expiresAt", None),
        ("expiresAt", "soon"),
        ("expiresAt", "2026-11-30T12:00:00"),
        ("chunked", None),
        ("chunked", {}),
        ("chunked", {"manifestUrl": None}),
    ],
)
def test_what_the_clients_refuse(name: str, value: Any) -> None:
    view = CLIENTS["aero"].from_stream_url({**GOOD, name: value})
    assert [(problem.where, problem.check) for problem in view.problems] == [("stream-url", name)]
    assert view.urls is None


ROOT = "https://host/v1/l/igl~x"
VIEWS: dict[str, dict[str, Any]] = {
    "v86": {
        "url": f"{ROOT}/v86/65536/disk.img",
        "async": True,
        "use_parts": True,
        "size": 4096,
        "fixed_chunk_size": 65536,
    },
    "tinyemu": {"url": f"{ROOT}/tinyemu/64/blk.txt"},
    "infinite-mac": {
        "url": f"{ROOT}/infinite-mac/65536/manifest.json",
        "baseUrl": f"{ROOT}/infinite-mac/65536",
    },
    "webvm": {"url": f"{ROOT}/webvm/disk.ext2", "bytesUrl": f"{ROOT}/webvm/bytes/disk.ext2"},
    "sqlite": {"from": "jsonconfig", "configUrl": f"{ROOT}/sqlite/65536/config.json"},
    "raw": {"url": f"{ROOT}/raw/disk.img"},
}


@pytest.mark.parametrize(
    ("name", "urls"),
    [
        ("v86", ["v86/65536/disk.img", "v86/65536/disk.img.zst"]),
        ("tinyemu", ["tinyemu/64/blk.txt"]),
        ("infinite-mac", ["infinite-mac/65536/manifest.json"]),
        ("webvm", ["webvm/disk.ext2", "webvm/bytes/disk.ext2"]),
        ("sqlite", ["sqlite/65536/config.json", "sqlite/full/config.json"]),
        ("raw", ["raw/disk.img"]),
    ],
)
def test_views_of_the_answer(name: str, urls: list[str]) -> None:
    view = CLIENTS[name].from_stream_url({**GOOD, "views": VIEWS})
    assert view.problems == []
    assert [target.url for target in view.views] == [f"{ROOT}/{url}" for url in urls]
    assert view.urls is not None
    assert (view.urls.disk, view.urls.optional_manifest) == (GOOD["url"], True)
    assert "igl~" not in repr(view)
    given = CLIENTS[name].from_url(f"{ROOT}/{urls[0]}?a=b")
    assert given.urls is not None
    assert (given.urls.disk, given.urls.manifest) == (f"{ROOT}/disk.img?a=b", f"{ROOT}/manifest.json?a=b")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("v86", {"async": False}),
        ("v86", {"use_parts": None}),
        ("v86", {"size": "4096"}),
        ("v86", {"fixed_chunk_size": 0}),
        ("v86", {"url": "/disk.img"}),
        ("infinite-mac", {"baseUrl": None}),
        ("webvm", {"bytesUrl": 1}),
        ("sqlite", {"from": "inline"}),
        ("raw", {"url": "https://[/disk.img"}),
    ],
)
def test_options_that_a_client_cannot_use(name: str, changes: dict[str, Any]) -> None:
    view = CLIENTS[name].from_stream_url({**GOOD, "views": {name: {**VIEWS[name], **changes}}})
    assert [(problem.where, problem.check) for problem in view.problems] == [("stream-url", f"views.{name}")]
    assert (view.urls, view.views) == (None, ())


def test_an_answer_without_views() -> None:
    view = CLIENTS["raw"].from_stream_url(GOOD)
    assert [(problem.where, problem.check) for problem in view.problems] == [("stream-url", "views")]


@pytest.mark.parametrize(
    "url", ["https://host/disk.img", f"{ROOT}/v86/1/disk.img", f"{ROOT}/v86/512/disk.img?a=1.5"]
)
def test_urls_from_which_v86_cannot_read(url: str) -> None:
    with pytest.raises(NotAView):
        CLIENTS["v86"].from_url(url)


def test_the_disk_of_a_public_image() -> None:
    view = CLIENTS["webvm"].from_url("https://host/v1/images/7/views/webvm/")
    assert view.urls is not None
    assert (view.urls.disk, view.urls.manifest) == (
        "https://host/v1/images/7/range",
        "https://host/v1/images/7/chunked/manifest",
    )
    assert [target.url for target in view.views] == ["https://host/v1/images/7/views/webvm/disk.ext2"]
