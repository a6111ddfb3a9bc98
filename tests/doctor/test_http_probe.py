"""Requests that get no answer: the reason is said, and the signature is not."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from image_gateway.doctor import http_probe
from image_gateway.doctor.http_probe import ProbeFailed, probe, send_request
from image_gateway.local.ports import find_free_ports
from tests.support.byte_server import serving_bytes
from tests.support.certificates import make_certificate

SECRET = "/images/x?Policy=secret&Signature=secret"


@pytest.fixture(scope="module")
def tls_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server with a certificate of an authority that nobody knows."""
    _, certificate, key = make_certificate(tmp_path_factory.mktemp("tls"), "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def refuse_to_talk() -> None:
        connection, _ = listener.accept()
        with connection, pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse_to_talk, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def reason(url: str) -> str:
    with pytest.raises(ProbeFailed) as caught:
        send_request("GET", url, {})
    assert "secret" not in f"{caught.value!r}{caught.value.__cause__}"
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_a_certificate_of_nobody_known(tls_port: int) -> None:
    assert reason(f"https://localhost:{tls_port}{SECRET}").startswith("TLS failed: ")


def test_a_name_that_does_not_exist() -> None:
    assert reason(f"https://nothing.invalid{SECRET}") == "its host name cannot be resolved"


def test_a_port_at_which_nobody_listens() -> None:
    [port] = find_free_ports(1)
    assert reason(f"http://127.0.0.1:{port}{SECRET}") == "Connection refused"


def test_headers_that_come_byte_by_byte_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_probe, "ANSWER_SECONDS", 0.5)
    ended = threading.Event()

    def drip(_: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX-Slow: "
        for _ in range(400):
            if ended.wait(0.05):
                return
            yield b"x"

    started = time.monotonic()
    try:
        with serving_bytes(drip) as server, pytest.raises(ProbeFailed, match="no whole answer within"):
            probe(server.url)
        assert time.monotonic() - started < 10
    finally:
        ended.set()
