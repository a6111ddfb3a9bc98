"""An OpenID Connect issuer on 127.0.0.1 that rotates its keys, goes away, comes back and misbehaves."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

DISCOVERY_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/keys"
AUDIENCE = "image-gateway"
LIFETIME = 300
# A held request is answered in the end, even if a test never releases it.
HOLD_SECONDS = 60
_CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


@dataclass(frozen=True)
class Key:
    """A signing key of the issuer: `jwk` is what it publishes."""

    kid: str
    algorithm: str
    private: Any = field(repr=False)

    @property
    def jwk(self) -> dict[str, Any]:
        public = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def sign(self, message: bytes, algorithm: str | None = None) -> bytes:
        return jwt.get_algorithm_by_name(algorithm or self.algorithm).sign(message, self.private)


@dataclass(frozen=True)
class Request:
    """A request to the issuer; parameters that come twice are refused before."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What the issuer answers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class OidcProvider:
    """`with OidcProvider.start() as provider`, or `stop()` in the end; times of tokens come from `clock`.

    `answers` maps a path to what it answers instead of the truth; `published` is the list of JWKs, the tests'
    to change. `endpoints` and `metadata` are what else the issuer offers: see `oidc_code_flow.py`.
    """

    def __init__(self, clock: Callable[[], float], host: str = "127.0.0.1") -> None:
        self._clock = clock
        self._host = host
        self._server: ThreadingHTTPServer | None = None
        self._placeholder: socket.socket | None = None
        self._made = 0
        self.port = 0
        self.paths: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.published: list[dict[str, Any]] = []
        self.endpoints: dict[tuple[str, str], Callable[[Request], Answer]] = {}
        self.metadata: dict[str, Any] = {}
        self._held: dict[str, threading.Event] = {}

    @classmethod
    def start(
        cls,
        algorithm: str = "RS256",
        clock: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
    ) -> OidcProvider:
        """Listen on 127.0.0.1; `host` is what URLs call it: browsers take `localhost` for another site."""
        provider = cls(clock, host)
        provider.rotate(algorithm)
        provider.up()
        return provider

    @property
    def issuer(self) -> str:
        return f"http://{self._host}:{self.port}"

    @property
    def jwks_url(self) -> str:
        return self.issuer + JWKS_PATH

    @property
    def fetches(self) -> int:
        """How many requests for the keys were received; none is while the issuer is down."""
        return self.paths.count(JWKS_PATH)

    def rotate(self, algorithm: str = "RS256", *, keep: bool = True) -> Key:
        """Sign with a new key from now on; the old ones stay published if they are to be kept."""
        self._made += 1
        self.key = Key(f"key-{self._made}", algorithm, make_private_key(algorithm, self._made))
        self.published = [self.key.jwk, *(self.published if keep else [])]
        return self.key

    def down(self) -> None:
        """Refuse connections; the port stays ours."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            # A socket that is bound, but does not listen, keeps the port from others and refuses all.
            self._placeholder = socket.socket()
            self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._placeholder.bind(("127.0.0.1", self.port))

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._release()
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler_of(self))
            self._server.daemon_threads = True
            self.port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.down()
        self._release()

    def _release(self) -> None:
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    def __enter__(self) -> OidcProvider:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def claims(self, user: str = "alice", **changes: Any) -> dict[str, Any]:
        """The claims of a good token of `user` with these changes; a claim of `...` is left out."""
        now = int(self._clock())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + LIFETIME}
        return {name: value for name, value in {**claims, **changes}.items() if value is not ...}

    def token(
        self,
        user: str = "alice",
        *,
        key: Key | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token of `user`, signed by `key` or the newest one; a claim or header of `...` is left out."""
        key = key or self.key
        header = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid, **(headers or {})}
        header = {name: value for name, value in header.items() if value is not ...}
        return make_token(header, self.claims(user, **claims), key.sign)

    @contextmanager
    def holding(self, path: str) -> Iterator[None]:
        """Answer requests for this path only when the block has ended."""
        self._held[path] = released = threading.Event()
        try:
            yield
        finally:
            del self._held[path]
            released.set()

    def answer(self, request: Request) -> Answer:
        self.paths.append(request.path)
        if (held := self._held.get(request.path)) is not None:
            held.wait(HOLD_SECONDS)
        if request.path in self.answers:
            return self.answers[request.path]
        if (endpoint := self.endpoints.get((request.method, request.path))) is not None:
            return endpoint(request)
        documents: dict[str, Any] = {
            DISCOVERY_PATH: {"issuer": self.issuer, "jwks_uri": self.jwks_url, **self.metadata},
            JWKS_PATH: {"keys": self.published},
        }
        if request.method != "GET" or request.path not in documents:
            return Answer(status=404)
        return Answer(json.dumps(documents[request.path]).encode())


def make_token(header: object, payload: object, sign: Callable[[bytes], bytes]) -> str:
    """A compact JWS of whatever is given; bytes are taken as they are, the rest as JSON."""
    message = b".".join(
        encode(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)
    )
    return f"{message.decode()}.{encode(sign(message)).decode()}"


def encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@cache
def make_private_key(algorithm: str, number: int) -> Any:
    """The same key for the same arguments, so that the slow ones are made once in a process."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def _parameters(text: str) -> dict[str, str]:
    """Parse a query or a form; a parameter that comes twice is an error (RFC 6749 §3.1)."""
    pairs = parse_qsl(text, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a parameter is repeated")
    return dict(pairs)


def _handler_of(provider: OidcProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(form="")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            is_form = self.headers.get_content_type() == "application/x-www-form-urlencoded"
            self._respond(form=body if is_form else "")

        def _respond(self, form: str) -> None:
            url = urlsplit(self.path)
            try:
                request = Request(
                    self.command, url.path, _parameters(url.query), dict(self.headers), _parameters(form)
                )
                answer = provider.answer(request)
            except ValueError:
                answer = Answer(status=400)
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
