"""TLS: the name decides, the address is only where the connection goes."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from image_gateway.errors import BadRequest, FetchFailed, SourceRefused
from image_gateway.fetching.pinned_connection import Connector
from image_gateway.fetching.remote_file import RemoteFile, open_remote
from image_gateway.fetching.url_rules import FetchRules
from tests.fetching.reading import IMPATIENT, PRIVATE, Names
from tests.fetching.source_server import SourceServer, redirect, running, stall
from tests.support.certificates import make_certificate

pytestmark = pytest.mark.thorough

HTTPS = replace(PRIVATE, allow_http=False)
NAMES = {"files_example": [["127.0.0.1"]], "other_example": [["127.0.0.1"]]}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """An authority, and a certificate and key for files.example."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "files.example")


@pytest.fixture
def source(files: tuple[Path, Path, Path]) -> Iterator[SourceServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[2])
    with running(context) as server:
        yield server


@pytest.fixture
def trusting(files: tuple[Path, Path, Path]) -> ssl.SSLContext:
    """What a client has that knows the authority."""
    return ssl.create_default_context(cafile=str(files[0]))


def open_by(tls: ssl.SSLContext | None, url: str, rules: FetchRules = HTTPS) -> RemoteFile:
    return open_remote(url, rules, connector=Connector(rules, lookup=Names(**NAMES), tls=tls))


def test_the_name_is_sent_and_checked(source: SourceServer, trusting: ssl.SSLContext) -> None:
    with open_by(trusting, source.url("/a", host="files.example")) as remote:
        assert b"".join(remote.read_from(0)) == source.data
    assert source.server_names == ["files.example"]
    assert source.requests[0][1]["Host"] == f"files.example:{source.port}"


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
def test_a_certificate_of_another_name(host: str, source: SourceServer, trusting: ssl.SSLContext) -> None:
    with pytest.raises(SourceRefused, match=f"the certificate of {host} is not valid: .*mismatch") as caught:
        open_by(trusting, source.url("/?secret", host=host))
    assert not caught.value.retryable
    assert "secret" not in caught.value.message
    assert source.requests == []


def test_an_unknown_authority(source: SourceServer) -> None:
    with pytest.raises(SourceRefused, match=r"the certificate of files\.example is not valid"):
        open_by(None, source.url(host="files.example"))
    assert source.requests == []


def test_resuming_checks_again(source: SourceServer, trusting: ssl.SSLContext) -> None:
    source.cuts += [5000]
    with open_by(trusting, source.url(host="files.example")) as remote:
        assert b"".join(remote.read_from(0)) == source.data
    assert source.server_names == ["files.example"] * 2


def test_a_redirect_to_http(source: SourceServer, trusting: ssl.SSLContext) -> None:
    with running() as plain:
        source.scripts += [redirect(plain.url(host="files.example"))] * 2
        with pytest.raises(BadRequest, match="http URLs are not allowed"):
            open_by(trusting, source.url(host="files.example"))
        assert plain.requests == []
        open_by(trusting, source.url(host="files.example"), PRIVATE).close()
        assert len(plain.requests) == 1


def test_a_server_without_tls(trusting: ssl.SSLContext) -> None:
    with running() as plain:
        url = plain.url(host="files.example").replace("http:", "https:")
        with pytest.raises(FetchFailed, match=r"the TLS handshake with files\.example failed") as caught:
            open_by(trusting, url)
    assert caught.value.retryable


@contextmanager
def _dripping_server() -> Iterator[str]:
    """A server that sends the header of a TLS record, and then a byte of it now and then."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x40\x00")
            while not ended.wait(0.02):
                connection.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"https://files.example:{listener.getsockname()[1]}/"
        ended.set()


def test_a_handshake_that_never_ends(trusting: ssl.SSLContext) -> None:
    """A TLS record of 16 KiB that comes one byte at a time, each within the limit of a single wait."""
    started = time.monotonic()
    with _dripping_server() as url, pytest.raises(FetchFailed, match="TLS handshake"):
        open_by(trusting, url, replace(IMPATIENT, connect_seconds=0.3))
    assert 0.3 < time.monotonic() - started < 3


def test_a_stalled_body(source: SourceServer, trusting: ssl.SSLContext) -> None:
    source.scripts.append(
        stall(b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 10240\r\n\r\n' + bytes(1))
    )
    with open_by(trusting, source.url(host="files.example"), IMPATIENT) as remote:
        assert b"".join(remote.read_from(0))[1:] == source.data[1:]
    assert source.ranges == [None, "bytes=1-"]
