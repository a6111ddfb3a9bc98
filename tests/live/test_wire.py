"""What gunicorn really puts on the wire."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from tests.live.support import exchange

DATA = bytes(range(256)) * 4


@pytest.fixture
def image_path(client: GatewayClient, tmp_path: Path) -> str:
    file = tmp_path / "small.img"
    file.write_bytes(DATA)
    return f"/v1/images/{upload_file(client, file, parallel=1, on_bytes=lambda _: None).image_id}"


def ask(client: GatewayClient, method: str, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: gateway.test",
        f"X-User-Id: {client.who.credentials().headers['X-User-Id']}",
    ]
    request = "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode("latin-1")
    return split(exchange(client.base_url, request))


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines), "a header came twice"
    return int(first.split(" ")[1]), headers, body


def test_a_range_has_a_length_and_is_not_chunked(client: GatewayClient, image_path: str) -> None:
    status, headers, body = ask(client, "GET", f"{image_path}/range", "Range: bytes=1-10")
    assert (status, body) == (206, DATA[1:11])
    assert headers["Content-Length"] == "10"
    assert headers["Content-Range"] == "bytes 1-10/1024"
    assert "Transfer-Encoding" not in headers
    assert headers["Content-Encoding"] == "identity"


@pytest.mark.parametrize("accepted", ["gzip, br, zstd", "*;q=1", "identity;q=0"])
def test_nothing_is_ever_compressed(client: GatewayClient, image_path: str, accepted: str) -> None:
    status, headers, body = ask(client, "GET", f"{image_path}/range", f"Accept-Encoding: {accepted}")
    assert (status, headers["Content-Encoding"], body) == (200, "identity", DATA)


def test_head_has_the_headers_and_no_body(client: GatewayClient, image_path: str) -> None:
    status, headers, body = ask(client, "HEAD", f"{image_path}/range", "Range: bytes=0-1")
    assert (status, headers["Content-Length"], body) == (200, "1024", b"")


def test_not_modified_keeps_its_headers(client: GatewayClient, image_path: str) -> None:
    _, headers, _ = ask(client, "HEAD", f"{image_path}/range")
    status, again, body = ask(client, "GET", f"{image_path}/range", f"If-None-Match: {headers['ETag']}")
    assert (status, body) == (304, b"")
    for name in ("ETag", "Last-Modified", "Cache-Control", "Content-Encoding", "Accept-Ranges"):
        assert again[name] == headers[name]


def test_unsatisfiable_has_an_empty_body(client: GatewayClient, image_path: str) -> None:
    status, headers, body = ask(client, "GET", f"{image_path}/range", "Range: bytes=1024-")
    assert (status, headers["Content-Range"], headers["Content-Length"], body) == (
        416,
        "bytes */1024",
        "0",
        b"",
    )


SECRET = b"c2VjcmV0LXNlY3JldC1zZWNyZXQ"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /health?token=" + SECRET + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nBad Header: Bearer " + SECRET + b"\r\n\r\n", 400),
        (b"GET /health?token=" + SECRET + b" nonsense\r\n\r\n", 400),
    ],
    ids=["long URL", "large header", "bad header", "nonsense"],
)
def test_gunicorn_refuses_what_is_not_http_and_closes(
    gateway: LocalGateway, request_bytes: bytes, status: int
) -> None:
    got, headers, _ = split(exchange(gateway.url, request_bytes))
    assert (got, headers["Connection"]) == (status, "close")
    assert SECRET.decode() not in gateway.process.log.read_text()


def test_a_preflight_has_no_content_and_says_nothing_of_it(gateway: LocalGateway) -> None:
    preflight = b"OPTIONS /v1/images HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nConnection: close\r\n\r\n"
    status, headers, body = split(exchange(gateway.url, preflight))
    assert (status, body) == (204, b"")
    for name in ("Content-Type", "Content-Length", "Transfer-Encoding"):
        assert name not in headers


def test_a_long_range_header_is_the_apps_to_refuse(client: GatewayClient, image_path: str) -> None:
    long = "Range: bytes=0-" + "9" * 16_000
    assert ask(client, "GET", f"{image_path}/range", long)[0] == 206
    status, _, body = ask(client, "GET", f"{image_path}/range", long + "9" * 1000)
    assert (status, json.loads(body)["error"]["code"]) == (413, "TOO_LARGE")


def test_forwarded_headers_of_a_local_client_are_not_believed(client: GatewayClient, image_path: str) -> None:
    _, _, body = ask(
        client,
        "GET",
        f"{image_path}/metadata",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Ssl: on",
        "X-Forwarded-Host: evil.example",
    )
    assert json.loads(body)["url"] == f"http://gateway.test{image_path}/range"


@pytest.mark.parametrize("target", ["GET /healthz", "GET /nope", "POST /v1/images"])
def test_a_malformed_chunked_body_gets_one_answer(client: GatewayClient, target: str) -> None:
    head = f"{target} HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\nContent-Type: application/json\r\n"
    answer = exchange(client.base_url, f"{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert split(answer)[0] == {"GET /healthz": 200, "GET /nope": 404, "POST /v1/images": 400}[target]


def test_a_request_without_a_host_is_refused(client: GatewayClient) -> None:
    status, _, body = split(exchange(client.base_url, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"))
    assert (status, json.loads(body)["error"]["code"]) == (400, "BAD_REQUEST")


def test_a_cut_json_body_changes_nothing(client: GatewayClient, image_path: str) -> None:
    status, _, body = ask(
        client, "POST", f"{image_path}/complete", "Content-Type: application/json", "Content-Length: 0"
    )
    assert (status, json.loads(body)["error"]["code"]) == (400, "BAD_REQUEST")


def test_a_body_that_ends_early_changes_nothing(client: GatewayClient) -> None:
    user = client.who.credentials().headers["X-User-Id"]
    head = f"POST /v1/images HTTP/1.1\r\nHost: x\r\nX-User-Id: {user}\r\nContent-Type: application/json\r\n"
    for body in ("Content-Length: 20\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"):
        status, _, answer = split(exchange_and_close(client.base_url, (head + body).encode()))
        assert (status, json.loads(answer)["error"]["code"]) == (400, "BAD_REQUEST")
    assert client.list_images()["images"] == []


def exchange_and_close(url: str, request: bytes) -> bytes:
    """As `exchange`, but say at once that nothing more will be sent."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while block := connection.recv(65_536):
            received += block
    return bytes(received)
