"""HTTP around the fake deltas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

from tests.client.deltas.fake import NOW, Answer, FakeDelta, FakeDeltas, FakeSession
from tests.client.fake_server import FaultyHandler, serving

_ROUTES = (
    ("POST", r"/v1/deltas()", "create"),
    ("GET", r"/v1/deltas()", "page"),
    ("GET", r"/v1/deltas/([^/]+)", "show"),
    ("DELETE", r"/v1/deltas/([^/]+)", "delete"),
    ("GET", r"/v1/deltas/([^/]+)/commits", "log"),
    ("GET", r"/v1/deltas/([^/]+)/snapshots", "snapshots"),
    ("POST", r"/v1/deltas/([^/]+)/snapshots", "make_snapshot"),
    ("DELETE", r"/v1/deltas/([^/]+)/snapshots/(?P<id>[^/]+)", "delete_snapshot"),
    ("POST", r"/v1/deltas/([^/]+)/reset", "reset"),
    ("POST", r"/v1/deltas/([^/]+)/flatten", "flatten"),
    ("POST", r"/v1/deltas/([^/]+)/sessions", "open_session"),
    ("GET", r"/v1/images/([^/]+)/jobs", "jobs_of"),
    ("GET", r"/v1/jobs/([^/]+)", "job"),
)


class _Handler(FaultyHandler):
    # Headers and body in one packet: two would wait for each other's acknowledgement.
    wbufsize = -1
    fake: FakeDeltas

    def do_POST(self) -> None:
        self._body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if path.endswith("/commits"):
            self._commit()
        elif match := re.fullmatch(r"/v1/leases/([^/]+)(/renew)?", path):
            self._lease(renewed=bool(match[2]))
        elif path.endswith("/disk.img"):
            self._disk(path)
        else:
            self._dispatch(path)

    do_DELETE = do_GET = do_HEAD = do_POST

    def _dispatch(self, path: str) -> None:
        given = dict(parse_qsl(urlsplit(self.path).query)) | json.loads(self._body or b"{}")
        for method, pattern, name in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match is None or method != self.command:
                continue
            if "/deltas/" in path and match[1] not in self.fake.deltas:
                self._answer(_not_found())
            elif not self._fail(name):
                answer = getattr(self.fake, name)(match[1], given | match.groupdict())
                self._fail(f"{name}.lost") or self._answer(answer)
            return
        self._answer(_not_found())

    def _session(self) -> FakeSession | None:
        """The session of the request; None when it was refused."""
        session = self.fake.sessions.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if session is None or session.expired:
            self._answer((401, {"error": {"code": "LEASE_EXPIRED", "message": "the lease expired"}}, {}))
            return None
        return session

    def _lease(self, *, renewed: bool) -> None:
        session = self.fake.sessions[self.headers["Authorization"].removeprefix("Bearer ")]
        if renewed:
            self._fail("renew") or self._answer(self.fake.renew(session))
        else:
            session.ended = True
            self._fail("end") or self._answer((200, {"ok": True}, {}))

    def _commit(self) -> None:
        if self.command == "GET":
            self._dispatch(urlsplit(self.path).path)
        elif not self._fail("commit") and (session := self._session()):
            answer = self.fake.commit(session, dict(self.headers), self._body)
            self._fail("commit.lost") or self._answer(answer)

    def _disk(self, path: str) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        if path.startswith("/v1/l/"):
            session = self._session()
            if session is None:
                return
            delta = session.delta
        else:
            delta = self.fake.deltas[path.split("/")[3]]
        self.fake.on_read()
        if not self._fail("read"):
            self._send_range(delta, int(query.get("generation", delta.generation)))

    def _send_range(self, delta: FakeDelta, generation: int) -> None:
        data, etag = delta.contents.get(generation), delta.etag(generation)
        if data is None:
            self._answer(_not_found(f"generation {generation} is no longer kept"))
        elif self.command == "HEAD":
            self._reply(200, {"Content-Length": str(len(data)), "ETag": etag})
        elif self.headers["If-Match"] != etag:
            self._answer((412, {"error": {"code": "PRECONDITION_FAILED", "message": "changed"}}, {}))
        else:
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
            self.fake.reads.append((first, last + 1))
            headers = {"ETag": etag, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
            self.fake.before_bytes()
            self._reply(206, headers, data[first : last + 1])

    def _answer(self, answer: Answer) -> None:
        status, document, headers = answer
        body = b"" if self.command == "HEAD" else json.dumps(document).encode()
        self._reply(status, {"Content-Type": "application/json", **headers}, body)

    def _reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response_only(status)
        self.send_header("Date", format_datetime(NOW, usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _not_found(message: str = "there is no such delta") -> Answer:
    return 404, {"error": {"code": "NOT_FOUND", "message": message}}, {}


@contextmanager
def running_deltas() -> Iterator[FakeDeltas]:
    fake = FakeDeltas()
    with serving(_Handler, fake):
        yield fake
