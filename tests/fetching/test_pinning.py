"""Where connections go: names, redirects, several addresses, a resolver that changes its mind."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace

import pytest

from image_gateway.errors import BadRequest, FetchFailed, SourceRefused
from image_gateway.fetching.pinned_connection import Connector
from image_gateway.fetching.remote_file import open_remote
from tests.fetching.reading import PRIVATE, PUBLIC, Names, open_with, read_all
from tests.fetching.refused_urls import REFUSED
from tests.fetching.source_server import SourceServer, redirect, response

pytestmark = pytest.mark.thorough

PUBLIC_ADDRESS = "1.1.1.1"
NOT_PUBLIC = [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "::1",
    "::ffff:127.0.0.1",
    "fd00:ec2::254",
    "fe80::1",
    "64:ff9b::7f00:1",
]


@pytest.mark.parametrize("url", REFUSED)
def test_a_refused_url_is_not_looked_up(url: str) -> None:
    names = Names()
    with pytest.raises(BadRequest):
        open_with(url, PUBLIC, names)
    assert names.asked == []


def test_the_server_is_reached_only_when_private_addresses_are_allowed(source: SourceServer) -> None:
    for host in ("127.0.0.1", "localhost", "files.example"):
        names = Names(localhost=[["127.0.0.1"]], files_example=[["127.0.0.1"]])
        with pytest.raises(BadRequest, match=r"not (a )?public"):
            open_with(source.url(host=host), PUBLIC, names)
    assert source.requests == []
    assert read_all(source.url()) == source.data
    assert [path for path, _ in source.requests] == ["/disk.img"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_of_an_address_that_is_not_public(address: str, source: SourceServer) -> None:
    for answers in ([address], [PUBLIC_ADDRESS, address], [address, PUBLIC_ADDRESS]):
        names = Names(files_example=[answers])
        with pytest.raises(BadRequest, match=r"^the host files\.example has an address that is not public$"):
            open_with(source.url(host="files.example"), PUBLIC, names)
    assert source.requests == []


def test_the_real_resolver_is_judged_as_well(source: SourceServer) -> None:
    with pytest.raises(BadRequest, match="not public"):
        open_remote(source.url(host=socket.gethostname()), PUBLIC)
    assert source.requests == []


def test_the_connection_goes_to_the_first_answer(source: SourceServer) -> None:
    # 127.0.0.2 is another address of this machine, where nobody listens.
    names = Names(files_example=[["127.0.0.1"], ["127.0.0.2"]])
    with open_with(source.url(host="files.example"), PRIVATE, names) as remote:
        assert names.asked.count("files.example") == 1
        assert b"".join(remote.read_from(0)) == source.data
    assert names.asked.count("files.example") == 1
    assert source.requests[0][1]["Host"] == f"files.example:{source.port}"


def test_a_public_first_answer_does_not_admit_a_private_second_one(
    source: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []

    class RecordingSocket(socket.socket):
        def connect(self, address: object) -> None:
            connected.append(address)
            raise ConnectionRefusedError

    monkeypatch.setattr("image_gateway.fetching.pinned_socket.socket.socket", RecordingSocket)
    names = Names(files_example=[[PUBLIC_ADDRESS], ["127.0.0.1"]])
    with pytest.raises(FetchFailed, match="connecting to files"):
        open_with(source.url(host="files.example"), PUBLIC, names)
    assert connected == [(PUBLIC_ADDRESS, source.port)]
    with pytest.raises(BadRequest, match="not public"):
        open_with(source.url(host="files.example"), PUBLIC, names)
    assert len(connected) == 1


def test_a_name_that_changes_between_two_connections_is_judged_again(
    source: SourceServer, public_source: SourceServer
) -> None:
    public_source.cuts.append(100)
    names = Names(files_example=[["127.0.0.3"], ["127.0.0.1"]])
    with open_with(public_source.url(host="files.example"), PUBLIC, names) as remote:
        blocks = remote.read_from(0)
        assert next(blocks) == source.data[:100]
        with pytest.raises(BadRequest, match="not public"):
            next(blocks)
    assert len(public_source.requests) == 1


def test_the_next_address_is_tried(source: SourceServer) -> None:
    names = Names(files_example=[["127.0.0.2", "127.0.0.1"]])
    assert read_all(source.url(host="files.example"), PRIVATE, names) == source.data


def test_nobody_listens() -> None:
    with pytest.raises(FetchFailed, match=r"connecting to 127\.0\.0\.1 failed") as caught:
        open_with("http://127.0.0.1:1024/")
    assert caught.value.retryable
    assert caught.value.code == "SOURCE_UNREACHABLE"


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), False),
        (socket.gaierror(socket.EAI_AGAIN, "later"), True),
        (OSError(), True),
        (UnicodeError(), True),
    ],
)
def test_a_name_that_is_not_found(error: Exception, retryable: bool) -> None:
    def lookup(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise error

    with pytest.raises(FetchFailed, match=r"looking up files\.example failed") as caught:
        open_remote("https://files.example/", PUBLIC, connector=Connector(PUBLIC, lookup=lookup))
    assert caught.value.retryable is retryable


def test_a_name_without_addresses() -> None:
    with pytest.raises(FetchFailed, match="has no address"):
        open_with("https://files.example/", PUBLIC, Names(files_example=[[]]))


def test_a_resolver_that_hangs() -> None:
    released = threading.Event()

    def lookup(*_: object, **__: object) -> list[tuple[object, ...]]:
        released.wait(30)
        return []

    rules = replace(PUBLIC, connect_seconds=0.1)
    with pytest.raises(FetchFailed, match=r"looking up files\.example took too long") as caught:
        open_remote("https://files.example/", rules, connector=Connector(rules, lookup=lookup))
    released.set()
    assert caught.value.retryable


def test_proxies_of_the_environment_are_not_used(
    source: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")
    assert read_all(source.url()) == source.data


REDIRECTS = [
    "http://127.0.0.2/",
    "http://2130706433/",
    "//localhost/",
    "http://[::1]/",
    "http://a@example.org/",
    "ftp://example.org/",
    "http:\\\\example.org/",
    "http://\xef\xbc\x91/",
    "http://loop.example/",
    "http://exa mple.org/",
    "http://[/",
]


@pytest.mark.parametrize("location", REDIRECTS)
def test_a_redirect_is_judged(location: str, source: SourceServer) -> None:
    source.scripts.append(redirect(location))
    rules = replace(PRIVATE, allowed_hosts=("files.example",))
    names = Names(files_example=[["127.0.0.1"]], loop_example=[["127.0.0.1"]])
    with pytest.raises(BadRequest, match=r"^files\.example redirects to a URL that is (refused|malformed)"):
        open_with(source.url("/a?secret", host="files.example"), rules, names)
    assert names.asked.count("files.example") == 1
    assert len(source.requests) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "loop.example", "localhost"])
def test_a_redirect_to_loopback(host: str, source: SourceServer, public_source: SourceServer) -> None:
    public_source.scripts.append(redirect(source.url(host=host)))
    names = Names(files_example=[["127.0.0.3"]], loop_example=[["127.0.0.1"]])
    with pytest.raises(BadRequest, match=r"not (a )?public"):
        open_with(public_source.url(host="files.example"), PUBLIC, names)
    assert len(public_source.requests) == 1
    assert source.requests == []


def test_a_redirect_to_a_public_address(public_source: SourceServer) -> None:
    names = Names(a_example=[["127.0.0.3"]], b_example=[["127.0.0.3"]])
    public_source.scripts.append(redirect(public_source.url(host="b.example")))
    assert read_all(public_source.url(host="a.example"), PUBLIC, names) == public_source.data
    assert names.asked == ["a.example", "127.0.0.3", "b.example", "127.0.0.3"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int, source: SourceServer) -> None:
    source.scripts += [redirect("../b%20c?d", status), redirect("/\xe9 e", status), redirect("?f#g", status)]
    with open_with(source.url("/x/first.img")) as remote:
        assert b"".join(remote.read_from(0)) == source.data
        assert remote.name == "first.img"
    assert [path for path, _ in source.requests] == [
        "/x/first.img",
        "/b%20c?d",
        "/%C3%A9%20e",
        "/%C3%A9%20e?f",
    ]


def test_five_redirects_and_no_more(source: SourceServer) -> None:
    source.scripts += [redirect("/again")] * 5
    assert read_all(source.url()) == source.data
    source.requests.clear()
    source.scripts += [redirect("/again")] * 6
    with pytest.raises(SourceRefused, match="more than 5 redirects") as caught:
        open_with(source.url())
    assert not caught.value.retryable
    assert len(source.requests) == 6


def test_a_redirect_without_a_target(source: SourceServer) -> None:
    source.scripts.append(response("Content-Length: 0", status=302))
    with pytest.raises(SourceRefused, match="without a target"):
        open_with(source.url())


def test_credentials_and_cookies_are_never_sent(source: SourceServer) -> None:
    source.scripts.append(response("Set-Cookie: a=b", "Location: /next", "Content-Length: 0", status=302))
    assert read_all(source.url()) == source.data
    for _, headers in source.requests:
        assert {"Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"} == set(headers)
        assert headers["Accept-Encoding"] == "identity"
