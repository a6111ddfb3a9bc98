"""Sends single requests to the store and returns what it answered, errors included.

Unlike ObjectStore, nothing is translated: checks of a store need its status, error code and headers.
"""

from __future__ import annotations

import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from botocore import exceptions as sdk
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.exceptions import TimeoutError as HttpTimeoutError

from image_gateway.protocol.repeated_secrets import Secrets
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.part_signer import PartSigner
from image_gateway.storage.presigned_reader import ca_bundle

URL_SECONDS = 300
MAX_BODY = 8 * 1024 * 1024
ATTEMPTS = 3
CONNECT_SECONDS, READ_SECONDS = 5, 15
_TIMEOUTS = (sdk.ConnectTimeoutError, sdk.ReadTimeoutError, HttpTimeoutError, TimeoutError)
_BUSY = frozenset({429, 500, 502, 503, 504})
_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]{1,30}:[A-Za-z]{1,60})")
_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9._-]{1,80})\s*</Code>")
_REGION = re.compile(rb"<Region>\s*([a-z0-9-]{2,40})\s*</Region>")


class Failure(StrEnum):
    """Why a request got no answer."""

    DNS = "dns"
    REFUSED = "refused"
    CONNECTION = "connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROXY = "proxy"
    NO_CREDENTIALS = "no-credentials"
    BAD_ANSWER = "bad-answer"


class ProbeFailed(Exception):
    """A request got no usable answer; the message says why and contains no URL with a signature."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(text)
        self.failure = failure


@dataclass(frozen=True)
class Answer:
    """The answer to one request.

    Attributes:
        headers: With names in lower case.
        fields: The fields of the SDK's answer; empty for requests by URL.
        code: The error code, the status if the error has none, or empty on success.
        region: The region that the answer names.
        denied_action: The IAM action that AWS names as not allowed.
        requested_at: When the request was sent and when its answer came, in seconds since the epoch.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    code: str = ""
    region: str | None = None
    denied_action: str | None = None
    requested_at: tuple[float, float] = (0.0, 0.0)

    @property
    def ok(self) -> bool:
        return not self.code

    @property
    def is_busy(self) -> bool:
        """Whether the store could not answer for now."""
        return self.status in _BUSY and self.code != "NotImplemented"

    @property
    def shown(self) -> str:
        """Status and error code, for people."""
        return f"{self.status} {self.code}" if self.code not in ("", str(self.status)) else str(self.status)


class StoreProbe:
    """Calls the store by the SDK (`call`), or by presigned and other URLs (`send`).

    No request waits for longer than 5 s for a connection or 15 s for an answer; one that the store is too
    busy for is sent up to three times. Both raise ProbeFailed when there is no answer.
    """

    def __init__(self, address: StoreAddress, sleep: Callable[[float], None] = time.sleep) -> None:
        self.address = replace(
            address,
            connect_timeout=min(address.connect_timeout, CONNECT_SECONDS),
            read_timeout=min(address.read_timeout, READ_SECONDS),
            attempts=1,
        )
        self.clients = StoreClients(self.address)
        self._sleep = sleep

    @cached_property
    def _ca_bundle(self) -> str:
        return ca_bundle()

    @property
    def origin(self) -> str:
        """The endpoint of the store, for people."""
        return self.address.endpoint or f"AWS S3 in {self.address.region}"

    def call(self, operation: str, **arguments: Any) -> Answer:
        """Call an S3 operation of the bucket, named as the method of the SDK's client."""
        return self._retry(lambda: self._call(operation, arguments))

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request as a browser does: without following redirects or decoding the body."""
        return self._retry(lambda: self._send(method, url, dict(headers or {}), body))

    def presign(self, operation: str, *, public: bool = False, **arguments: Any) -> str:
        """Return a presigned URL of the bucket, valid for five minutes, on the public host if `public`."""
        with _translated():
            client = self.clients.signing if public else self.clients.requests
            url: str = client.generate_presigned_url(
                operation, {"Bucket": self.address.bucket, **arguments}, ExpiresIn=URL_SECONDS
            )
            return url

    def presign_part(
        self, key: str, upload_id: str, number: int, *, length: int | None = None, age: int = 0
    ) -> str:
        """Return a URL as browsers get it for a part; `age` says how many seconds ago it was signed."""
        signer = PartSigner(self.clients, clock=lambda: time.time() - age)
        with _translated():
            return signer.sign(key, upload_id, number, lifetime=URL_SECONDS, length=length)

    def _retry(self, send: Callable[[], Answer]) -> Answer:
        for attempt in range(1, ATTEMPTS):
            answer = send()
            if not answer.is_busy:
                return answer
            self._sleep(random.random() * 2 ** (attempt - 1))  # noqa: S311  # jitter
        return send()

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> Answer:
        with _translated():
            try:
                fields = getattr(self.clients.requests, operation)(Bucket=self.address.bucket, **arguments)
            except sdk.ClientError as error:
                return _refusal(error)
            body = fields["Body"].read(MAX_BODY) if operation == "get_object" else b""
        answered = fields["ResponseMetadata"]
        return Answer(answered["HTTPStatusCode"], answered["HTTPHeaders"], body, fields)

    def _send(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        request = AWSRequest(method=method, url=url, headers=headers, data=body, stream_output=True)
        with _translated():
            session = URLLib3Session(
                # Both take what the SDK itself gives them, which the type stubs do not know.
                verify=self._ca_bundle,  # type: ignore[arg-type]
                timeout=(self.address.connect_timeout, self.address.read_timeout),  # type: ignore[arg-type]
                proxies=get_environ_proxies(url),
            )
        sent = time.time()
        try:
            with _translated():
                response = session.send(request.prepare())
                received = time.time()
                try:
                    data = response.raw.read(MAX_BODY)
                finally:
                    response.raw.close()
        finally:
            session.close()
        # A proxy or another server may repeat the signature.
        secrets = Secrets([url], {})
        named = {name.lower(): secrets.hide(value) for name, value in response.headers.items()}
        code = "" if response.status_code < 300 else _found(_CODE, data) or str(response.status_code)
        region = named.get("x-amz-bucket-region") or _found(_REGION, data)
        return Answer(
            response.status_code, named, data, code=code, region=region, requested_at=(sent, received)
        )


def unsigned(url: str) -> str:
    """Return a presigned URL without its signature."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, True) if not name.startswith("X-Amz-")]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(kept), parts.fragment))


def forged(url: str) -> str:
    """Return a presigned URL with a wrong signature of the right form."""
    return re.sub(r"(X-Amz-Signature=)[0-9a-f]+", rf"\g<1>{'0' * 64}", url)


def _refusal(error: sdk.ClientError) -> Answer:
    answered = error.response.get("ResponseMetadata", {})
    status = answered.get("HTTPStatusCode", 0)
    headers = answered.get("HTTPHeaders", {})
    named: Mapping[str, Any] = error.response.get("Error", {})
    region = headers.get("x-amz-bucket-region") or named.get("Region")
    action = _ACTION.search(named.get("Message") or "")
    return Answer(
        status,
        headers,
        code=named.get("Code") or str(status),
        region=region,
        denied_action=action[1] if action else None,
    )


def _found(pattern: re.Pattern[bytes], data: bytes) -> str | None:
    match = pattern.search(data[:65_536])
    return match[1].decode() if match else None


@contextmanager
def _translated() -> Iterator[None]:
    """Raise ProbeFailed for what botocore, urllib3 and the system raise when there is no answer."""
    try:
        yield
    except (sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.CredentialRetrievalError) as error:
        raise ProbeFailed(Failure.NO_CREDENTIALS, _shown(error)) from error
    except (sdk.ProfileNotFound, sdk.TokenRetrievalError, sdk.SSOError) as error:
        raise ProbeFailed(Failure.NO_CREDENTIALS, _shown(error)) from error
    except (sdk.BotoCoreError, HTTPError, OSError) as error:
        raise _no_answer(error) from error
    except (ResponseParserError, RecursionError, ValueError, KeyError) as error:
        raise ProbeFailed(Failure.BAD_ANSWER, f"the answer is not S3's ({type(error).__name__})") from error


def _no_answer(error: Exception) -> ProbeFailed:
    causes = list(_causes(error))
    system = next((cause for cause in causes if isinstance(cause, OSError) and cause.errno), None)
    reason = str(system.strerror) if system is not None else type(causes[-1]).__name__
    if isinstance(error, sdk.SSLError):
        return ProbeFailed(Failure.TLS, _tls_text(causes))
    if isinstance(error, sdk.ProxyConnectionError):
        return ProbeFailed(Failure.PROXY, f"the proxy cannot be used ({reason})")
    if isinstance(error, _TIMEOUTS):
        what = "connection" if isinstance(error, sdk.ConnectTimeoutError) else "answer"
        return ProbeFailed(Failure.TIMEOUT, f"no {what} within the time limit")
    if any(isinstance(cause, (NameResolutionError, socket.gaierror)) for cause in causes):
        return ProbeFailed(Failure.DNS, f"its name cannot be resolved ({reason})")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return ProbeFailed(Failure.REFUSED, "the connection was refused")
    if isinstance(error, sdk.EndpointConnectionError):
        return ProbeFailed(Failure.CONNECTION, f"the connection failed ({reason})")
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return ProbeFailed(
            Failure.CONNECTION, f"the connection was closed before the answer ended ({reason})"
        )
    return ProbeFailed(Failure.BAD_ANSWER, f"the answer is not HTTP ({reason})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those inside it: the SDK wraps urllib3's, which wrap those of the system."""
    yield error
    wrapped = getattr(error, "kwargs", {}).get("error") or error.__cause__
    inner = [wrapped, *error.args] if wrapped is not error else list(error.args)
    for candidate in inner:
        if isinstance(candidate, BaseException):
            yield from _causes(candidate)


def _tls_text(causes: Iterable[BaseException]) -> str:
    """Return OpenSSL's reason."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return cause.reason.replace("_", " ").lower()
    return "the TLS handshake failed"


def _shown(error: Exception) -> str:
    """Return the message of an error about credentials in one line; it names files and profiles only."""
    return " ".join(str(error).split())[:200]
