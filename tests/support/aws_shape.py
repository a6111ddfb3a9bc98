"""A proxy before a store that makes its answers look like those of AWS.

AWS sends error documents with `Transfer-Encoding: chunked` and no Content-Length, names each request by
`x-amz-request-id` and `x-amz-id-2`, closes some connections after an error, and says SlowDown when it likes
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}
REQUEST_ID, HOST_ID = "4442587FB7D0A2F9", "an id of the host that answered, as support asks for it"


@dataclass(frozen=True)
class Canned:
    """An answer in place of the store's; in `chunked` form, or with a length."""

    status: int
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    chunked: bool = True
    close: bool = False

    @property
    def document(self) -> bytes:
        if self.body is not None:
            return self.body
        if self.code is None:
            return b""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>as AWS says</Message>"
            f"<RequestId>{REQUEST_ID}</RequestId><HostId>{HOST_ID}</HostId></Error>"
        ).encode()


# Method, target, and headers by lower-case names → what is answered instead of asking the store.
Script = Callable[[str, str, Mapping[str, str]], Canned | None]


@dataclass
class AwsShape:
    """What the proxy does: `script` may answer instead of the store, and every n-th call is slowed down."""

    port: int = 0
    script: Script = lambda _method, _target, _headers: None
    slow_down_every: int = 0
    # Whether the answer to a request that the store has served is lost on its way.
    loses: Callable[[str, str], bool] = lambda _method, _target: False
    # Changes headers (with names in lower case) of a request before the store sees it, and of its answer.
    edit_request: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers
    edit_answer: Callable[[str, str, dict[str, str]], dict[str, str]] = lambda _, __, headers: headers
    # By how many seconds Date is ahead.
    clock_offset: float = 0
    calls: list[str] = field(default_factory=list)
    slowed: int = 0
    _numbers: Any = field(default_factory=lambda: count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def decide(self, method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        with self._lock:
            self.calls.append(f"{method} {target.partition('?')[0]}")
            if self.slow_down_every and next(self._numbers) % self.slow_down_every == 0:
                self.slowed += 1
                return Canned(503, "SlowDown")
        return self.script(method, target, headers)


@contextmanager
def aws_shape(store: tuple[str, int]) -> Iterator[AwsShape]:
    """Run the proxy before a store at (host, port)."""
    shape = AwsShape()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _serve(self) -> None:
            body = self._read_body()
            canned = shape.decide(
                self.command, self.path, {name.lower(): value for name, value in self.headers.items()}
            )
            if canned is None:
                self._forward(body)
            else:
                self._send(canned.status, canned.headers, canned.document, canned.chunked, canned.close)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = _serve

        def _read_body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _forward(self, body: bytes) -> None:
            upstream = http.client.HTTPConnection(*store, timeout=30)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            given = shape.edit_request({name.lower(): value for name, value in self.headers.items()})
            for name, value in given.items():
                if name not in ("content-length", "transfer-encoding", "connection", "expect"):
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            headers = {
                name.lower(): value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP
            }
            data = answer.read()
            if self.command == "HEAD" and answer.headers.get("Content-Length"):
                headers["Content-Length"] = answer.headers["Content-Length"]
            upstream.close()
            headers = shape.edit_answer(self.command, self.path, headers)
            if shape.loses(self.command, self.path):
                self.close_connection = True
                return
            self._send(answer.status, headers, data, answer.status >= 300, False)

        def _send(
            self, status: int, headers: dict[str, str], body: bytes, chunked: bool, close: bool
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("x-amz-request-id", REQUEST_ID)
            self.send_header("x-amz-id-2", HOST_ID)
            if close:
                self.send_header("Connection", "close")
                self.close_connection = True
            if self.command == "HEAD" or status in (204, 304):
                self.end_headers()
                return
            if not chunked:
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            self.wfile.write(b"0\r\n\r\n")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + shape.clock_offset, usegmt=True)

        def log_message(self, format: str, *args: Any) -> None:
            """What passes is not logged."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    shape.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield shape
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# The response headers of GetObject, https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html,
# and those that every answer of S3 may have.
AWS_HEADERS = {
    "x-amz-delete-marker": "false",
    "x-amz-expiration": 'expiry-date="Fri, 21 Dec 2029 00:00:00 GMT", rule-id="r"',
    "x-amz-restore": 'ongoing-request="false"',
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-checksum-crc32c": "AAAAAA==",
    "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=",
    "x-amz-checksum-sha1": "c2hhMQ==",
    "x-amz-checksum-sha256": "c2hhMjU2",
    "x-amz-checksum-type": "COMPOSITE",
    "x-amz-missing-meta": "1",
    "x-amz-version-id": "3sL4kqtJlcpXroDTDmJ",
    "Cache-Control": "public, max-age=31536000",
    "Content-Disposition": "attachment",
    "Content-Encoding": "x-other",
    "Content-Language": "en",
    "Content-Type": "text/html",
    "Expires": "Fri, 01 Jan 2100 00:00:00 GMT",
    "x-amz-website-redirect-location": "/elsewhere",
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key-MD5": "bWQ1",
    "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:111122223333:key/1234abcd",
    "x-amz-server-side-encryption-bucket-key-enabled": "true",
    "x-amz-storage-class": "INTELLIGENT_TIERING",
    "x-amz-request-charged": "requester",
    "x-amz-replication-status": "COMPLETED",
    "x-amz-mp-parts-count": "2",
    "x-amz-tagging-count": "1",
    "x-amz-object-lock-mode": "GOVERNANCE",
    "x-amz-object-lock-retain-until-date": "2030-01-01T00:00:00Z",
    "x-amz-object-lock-legal-hold": "OFF",
    "Accept-Ranges": "bytes",
    "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    "Access-Control-Allow-Origin": "https://evil.example",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "x-amz-version-id",
    "Set-Cookie": "AWSALB=1",
}
