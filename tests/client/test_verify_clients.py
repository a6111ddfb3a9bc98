"""What Aero's clients demand of the answer of `stream-url`."""

from __future__ import annotations

from typing import Any

import pytest

from image_gateway.client.verify_clients import CLIENTS

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
