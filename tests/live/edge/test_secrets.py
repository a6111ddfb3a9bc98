"""No secret in any file that nginx or the gateway writes, whatever was asked and whatever failed."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, urlsplit

import pytest
from urllib3.exceptions import HTTPError

from image_gateway.local.seaweed import LocalStore
from tests.live.edge.conftest import SLICE, Pair, StartPair
from tests.support.fault_proxy import FaultProxy, fault_proxy

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
BAD_LEASE = f"igl~k1~{SECRET}~{SECRET}"


@pytest.fixture
def proxy(store: LocalStore) -> Iterator[FaultProxy]:
    parts = urlsplit(store.address.endpoint or "")
    with fault_proxy((parts.hostname or "", parts.port or 0)) as made:
        yield made


def send(pair: Pair, request: str) -> None:
    """Send raw bytes, and read until nginx closes or says no more."""
    address = "127.0.0.1", int(pair.environment["EDGE_PORT"])
    with (
        socket.create_connection(address, timeout=1) as connection,
        suppress(TimeoutError, ConnectionError),
    ):
        connection.sendall(request.encode())
        while connection.recv(65_536):
            pass


def ask_everything(
    pair: Pair, image_id: str, leases: list[str], owner: str, *, kinds: int | None = None
) -> None:
    """Each credential in each place, for each kind of read or the first so many."""
    path = f"/v1/images/{image_id}"
    ranges: list[dict[str, str]] = [
        {"Range": "bytes=5-9"},
        {},
        {"Range": f"bytes={SLICE}-"},
        {"Range": "bytes=99999999-"},
        {"Range": "bytes=1-2,4-5"},
        {"If-Match": '"other"'},
    ]
    for lease in leases:
        targets: list[tuple[str, dict[str, str]]] = [
            (f"/v1/l/{lease}/disk.img", {}),
            (f"/v1/l/{lease}/chunks/0", {}),
            (f"/v1/l/{lease}/manifest.json", {}),
            (f"/v1/l/{quote(lease).replace('~', '%7E')}/disk.img", {}),
            (f"{path}/range?token={lease}", {}),
            (f"{path}/chunked/chunks/0?token={lease}", {}),
            (f"{path}/range", {"Authorization": f"Bearer {lease}"}),
            (f"{path}/range", {"Cookie": f"session={SECRET}; ImageLease={lease}"}),
            (f"/nothing/{lease}?X-Amz-Signature={SECRET}", {"Referer": f"http://x/?token={lease}"}),
            (f"{path}/stream-url", {"X-User-Id": owner, "Cookie": f"ImageLease={lease}"}),
        ]
        for target, headers in targets:
            for requested in ranges[:kinds]:
                # A store that is away breaks answers off.
                with suppress(HTTPError):
                    pair.ask("GET", target, {**headers, **requested})


def ask_badly(pair: Pair, image_id: str, lease: str) -> None:
    """What is no request, is cut, or is too large, with a secret in it."""
    token = pair.environment["EDGE_TOKEN"]
    line = f"/v1/l/{lease}/disk.img"
    for request in (
        f"GET {line}\r\n\r\n",
        f"GET {line} HTTP/1.1\r\n\r\n",
        f"GET {line} HTTP/9.9\r\nHost: x\r\n\r\n",
        f"G\x01T {line} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {line} x HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /v1/l/{lease}/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {line} HTTP/1.1\r\nHost: {lease}\r\nHost: {lease}\r\n\r\n",
        f"GET {line} HTTP/1.1\r\nHost: x\r\nCookie ImageLease={lease}\r\n\r\n",
        f"GET {line} HTTP/1.1\r\nHost: x\r\nContent-Length: {lease}\r\n\r\n",
        f"GET {line}?{'x' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {lease}{'x' * 70_000}\r\n\r\n",
        f"POST {line} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz{lease}\r\n",
        f"POST {line} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        f"TRACE {line} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /v1/images/{image_id}/range HTTP/1.1\r\nHost: x\r\nX-Edge-Token: {token}\r\n\r\n",
        f"GET /_edge/permission?token={lease} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        send(pair, request)


def test_logs_hold_no_secret(start_pair: StartPair, proxy: FaultProxy, owner: str) -> None:
    pair = start_pair(
        S3_ENDPOINT=proxy.url,
        S3_READ_TIMEOUT_SECONDS="1",
        S3_CONNECT_TIMEOUT_SECONDS="1",
        EDGE_CONNECTIONS_PER_ADDRESS="2",
        SEND_TIMEOUT_SECONDS="1",
    )
    image_id, unread = (pair.make_image(owner, publish=True) for _ in range(2))
    link = pair.client(owner).make_share_link(image_id)["token"]
    good = pair.post("/v1/leases", owner, imageId=image_id)["token"]
    revoked = pair.post("/v1/leases", owner, imageId=image_id)
    assert pair.ask("DELETE", f"/v1/leases/{revoked['leaseId']}", {"X-User-Id": owner}).status == 200
    shared = pair.post("/v1/share-links/redeem", owner, token=link)["token"]
    other = pair.post("/v1/leases", owner, imageId=unread)["token"]
    leases = [good, revoked["token"], shared, BAD_LEASE]
    ask_everything(pair, image_id, leases, owner)
    ask_badly(pair, image_id, good)
    for target in (f"/v1/share-links/redeem?token={link}", f"/v1/share-links/{link}", f"/{link}"):
        pair.ask("POST", target, {"X-User-Id": owner}, body=b"{}")
    with socket.socket() as stalled:
        stalled.connect(("127.0.0.1", int(pair.environment["EDGE_PORT"])))
        stalled.sendall(f"POST /v1/l/{good}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        ask_everything(pair, image_id, [good], owner, kinds=2)
    proxy.go_down()
    ask_everything(pair, unread, [other], owner, kinds=1)
    proxy.come_back()
    pair.gateway.stop(grace=1)
    ask_everything(pair, unread, [other, str(uuid.uuid4())], owner, kinds=2)
    pair.edge.stop()
    written = pair.logs()
    credential = f"{pair.environment['AWS_ACCESS_KEY_ID']}/"
    secrets = {
        "a good lease": good,
        "a revoked lease": revoked["token"],
        "a lease by a link": shared,
        "another lease": other,
        "a share link": link,
        "EDGE_TOKEN": pair.environment["EDGE_TOKEN"],
        "what was sent as a secret": SECRET,
        "a credential of the store": credential,
        "a credential of the store, quoted": quote(credential, safe=""),
        "the store's secret key": pair.environment["AWS_SECRET_ACCESS_KEY"],
    }
    found = [name for name, text in secrets.items() if text in written]
    found += set(re.findall(r"X-Amz-Signature(?:=|%3D)[0-9a-f]{4}", written))
    assert found == []
