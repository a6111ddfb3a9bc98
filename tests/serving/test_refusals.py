"""The error responses to what gunicorn refuses to parse, and whether a page may read them."""

from __future__ import annotations

import pytest

from image_gateway.routes.cors import EXPOSED
from image_gateway.serving.refusals import render_refusal

APP = "https://app.example.com"
NAMED = (APP, "http://localhost:5173")


def headers_of(allowed: tuple[str, ...], received: bytes) -> dict[str, str]:
    answer = render_refusal(431, "HEADERS_TOO_LARGE", "text", allowed_origins=allowed, received=received)
    head, _, body = answer.decode("ascii").partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    assert status == "HTTP/1.1 431 Request Header Fields Too Large"
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["Content-Length"]) == len(body)
    return headers


def test_any_page_may_read_them_when_any_may_read() -> None:
    headers = headers_of(("*",), b"GET / HTTP/1.1\r\nOrigin: https://any.example\r\n\r\n")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Expose-Headers"] == EXPOSED
    assert "Access-Control-Allow-Credentials" not in headers
    assert "Vary" not in headers


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(b"GET / HTTP/1.1\r\nOrigin: https://app.example.com\r\n\r\n", id="whole"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\norigin:https://app.example.com \r\nX: y", id="cut later"),
        pytest.param(b"GET /\0\r\nORIGIN:\thttps://app.example.com\r\n: x\r\n\r\nOrigin: x\r\n", id="odd"),
    ],
)
def test_a_listed_page_may_read_them_with_credentials(received: bytes) -> None:
    headers = headers_of(NAMED, received)
    assert headers["Access-Control-Allow-Origin"] == APP
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Access-Control-Expose-Headers"] == EXPOSED
    assert headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="no Origin"),
        pytest.param(b"GET / HTTP/1.1\r\nOrigin: \r\n\r\n", id="empty"),
        pytest.param(b"GET / HTTP/1.1\r\nOrigin: https://evil.example\r\n\r\n", id="not listed"),
        pytest.param(b"GET / HTTP/1.1\r\nOrigin: https://app.example.com", id="perhaps cut"),
        pytest.param(b"GET /?\r\nX-Origin: https://app.example.com\r\n\r\n", id="other header"),
        pytest.param(
            b"POST / HTTP/1.1\r\nX: y\r\n\r\nOrigin: https://app.example.com\r\n\r\n", id="in the body"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nOrigin: https://app.example.com\r\nOrigin: https://evil.example\r\n\r\n",
            id="several",
        ),
    ],
)
def test_another_page_may_not(received: bytes) -> None:
    headers = headers_of(NAMED, received)
    assert not [name for name in headers if name.startswith("Access-Control-")]
    assert headers["Vary"] == "Origin"
