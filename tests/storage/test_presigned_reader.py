"""GetObject by the SDK and by our own wire: the same facts of the same answers, and then some."""

from __future__ import annotations

import gc
import ipaddress
import logging
import random
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from image_gateway.errors import GatewayError, ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage import presigned_reader as reads_module
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.http_pool import MAX_HEAD
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import (
    ATTEMPTS,
    ObjectReader,
    PresignedReader,
    SdkReader,
    make_reader,
)
from tests.storage.test_objects import FACTS
from tests.support.fake_store import (
    Asked,
    FakeStore,
    Reply,
    Script,
    error_answer,
    in_turn,
    object_answer,
    render,
    running_store,
)

DATA = bytes(range(256)) * 40
GET_FACTS = [row[1:] for row in FACTS if row[0] == "get_object"]
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def good(asked: Asked) -> Reply:
    return Reply(object_answer(asked, DATA))


def saying(data: bytes, then: Any = "keep") -> Script:
    return lambda _: Reply(data, then)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *(name.upper() for name in PROXIES), "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeStore]:
    with running_store(good) as store:
        yield store


class Lean:
    """The lean way to one store, with the pauses that it made."""

    def __init__(self, clients: StoreClients) -> None:
        self.pauses: list[float] = []
        self.clients = clients
        self.reads = PresignedReader(clients, sleep=self.pauses.append)
        self.store = ObjectStore(clients, self.reads)

    def read(self, key: str = "k", byte_range: ByteRange | None = None) -> bytes:
        return self.store.open(key, byte_range=byte_range).body.read_all()

    def close_kept(self) -> int:
        """Close the connections that are kept, and say how many there were."""
        count = 0
        for pool in self.reads._pools.values():
            while kept := pool.take():
                kept.close()
                count += 1
        return count


@contextmanager
def nothing_dropped_unclosed() -> Iterator[None]:
    """Let Python warn, which is an error, of what is made within the block and dropped without being closed.

    What is older is left out: to look through everything that thousands of tests have imported takes seconds.
    """
    gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()


@pytest.fixture
def lean(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lean]:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    with nothing_dropped_unclosed():
        made = Lean(fake.clients())
        yield made
        made.close_kept()
        made.clients.requests.close()
        made.clients.requests_once.close()


def close_lean(reads: ObjectReader) -> None:
    for pool in reads._pools.values() if isinstance(reads, PresignedReader) else ():
        while kept := pool.take():
            kept.close()


@pytest.fixture(params=["sdk", "lean"])
def either(
    request: pytest.FixtureRequest, fake: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ObjectStore]:
    """An ObjectStore by each way, neither of which waits between its tries."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    with nothing_dropped_unclosed():
        clients = fake.clients()
        reads = (
            SdkReader(clients) if request.param == "sdk" else PresignedReader(clients, sleep=lambda _: None)
        )
        yield ObjectStore(clients, reads)
        close_lean(reads)
        clients.requests.close()


# The same facts by either way


@pytest.mark.parametrize(("code", "status", "fact"), GET_FACTS)
def test_facts(either: ObjectStore, fake: FakeStore, code: str, status: int, fact: type[Exception]) -> None:
    fake.answer = saying(error_answer(status, code))
    with pytest.raises(fact) as caught:
        either.open("k", byte_range=ByteRange(0, 1), pin=Pin(etag='"e"'))
    assert type(caught.value) is fact


@pytest.mark.parametrize(
    ("status", "fact"),
    [
        (301, StoreError),
        (400, StoreError),
        (403, StoreError),
        (404, ObjectMissing),
        (412, ObjectChanged),
        (416, ObjectChanged),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"<Error></Error>", b"<Error><Code>", b"\xff\x00"])
def test_errors_without_a_code_go_by_their_status(
    lean: Lean, fake: FakeStore, status: int, fact: type[Exception], body: bytes
) -> None:
    fake.answer = saying(render(f"{status} No", {"Content-Length": str(len(body))}, body))
    allowed = (fact,) if _is_xml(body) else (fact, StoreError)
    with pytest.raises(allowed) as caught:
        lean.read()
    assert type(caught.value) in allowed


def _is_xml(body: bytes) -> bool:
    """What the SDK cannot parse is refused, whatever its status."""
    return body in (b"", b"<html>no</html>", b"<Error></Error>")


@pytest.mark.parametrize(
    "changes",
    [
        {"content_range": None},
        {"content_range": "bytes 0-4/10240"},
        {"content_range": "bytes 10-14/*"},
        {"content_range": "items 10-14/10240"},
        {"content_range": "bytes 10-14"},
        {"etag": None},
        {"last_modified": None},
        {"last_modified": "yesterday"},
        {"content_encoding": "gzip"},
        {"content_encoding": "aws-chunked"},
    ],
    ids=str,
)
def test_an_odd_ranged_answer_is_refused(
    either: ObjectStore, fake: FakeStore, changes: dict[str, str | None]
) -> None:
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, **changes))
    with pytest.raises(StoreError):
        either.open("k", byte_range=ByteRange(10, 15))


def test_a_whole_answer_to_a_ranged_read_is_refused(either: ObjectStore, fake: FakeStore) -> None:
    def whole(asked: Asked) -> Reply:
        return Reply(object_answer(Asked(asked.target, {}, asked.connection), DATA), "close")

    fake.answer = whole
    with pytest.raises(StoreError):
        either.open("k", byte_range=ByteRange(10, 15))


def test_more_than_the_range_is_refused(either: ObjectStore, fake: FakeStore) -> None:
    def more(asked: Asked) -> Reply:
        headers = {"Content-Length": "90", "ETag": '"e"', "Content-Range": "bytes 10-99/10240"}
        return Reply(render("206 OK", headers, b"x" * 90))

    fake.answer = more
    with pytest.raises(StoreError):
        either.open("k", byte_range=ByteRange(10, 15))


PARTS = [None, ByteRange(0, 1), ByteRange(100, 5000), ByteRange(10239, 10240)]


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_good_answers(either: ObjectStore, fake: FakeStore, part: ByteRange | None) -> None:
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, cache_control="no-store"))
    opened = either.open("k", byte_range=part)
    assert opened.body.read_all() == (DATA[part.start : part.stop] if part else DATA)
    assert (opened.info.size, opened.info.etag, opened.info.cache_control) == (len(DATA), '"e"', "no-store")
    assert opened.info.last_modified == datetime(2026, 11, 22, tzinfo=UTC)


def test_the_conditions_are_sent(either: ObjectStore, fake: FakeStore) -> None:
    since = datetime(2026, 11, 22, 19, 0, 1, tzinfo=UTC)
    pin = Pin(etag='"a-1"', unmodified_since=since.astimezone())
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, etag='"a-1"'))
    either.open("some/key", byte_range=ByteRange(5, 9), pin=pin).body.close()
    (asked,) = fake.asked
    assert asked.path == "/images/some/key"
    assert asked.headers["host"] == f"127.0.0.1:{fake.port}"
    assert asked.headers["range"] == "bytes=5-8"
    assert asked.headers["if-match"] == '"a-1"'
    assert asked.headers["if-unmodified-since"].removesuffix("GMT").strip() == "Sun, 22 Nov 2026 19:00:01"


def test_no_condition_is_sent_unasked(lean: Lean, fake: FakeStore) -> None:
    lean.read()
    assert set(fake.asked[0].headers) <= {"host", "user-agent", "accept-encoding"}


@pytest.mark.parametrize("key", ["a b", "ü/日本", "a%2Fb", "a+b", "a//b", "a?b#c", "a\r\nX: y"])
def test_keys_are_quoted_as_by_the_sdk(fake: FakeStore, key: str) -> None:
    targets = []
    for way in (SdkReader, PresignedReader):
        clients = fake.clients()
        reads: ObjectReader = way(clients)
        reads.get(key, {})["Body"].close()
        targets.append(fake.asked[-1].path)
        close_lean(reads)
        clients.requests.close()
    assert targets[0] == targets[1]


# Tries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(lean: Lean, fake: FakeStore, status: int) -> None:
    bad = saying(error_answer(status, "SlowDown"))
    fake.answer = in_turn(bad, bad, bad, good)
    assert lean.read() == DATA
    # The first was the fast one, the others the SDK's.
    assert (len(fake.asked), lean.pauses) == (1 + ATTEMPTS, [])


@pytest.mark.parametrize("status", [500, 503])
def test_three_times_is_unavailable(either: ObjectStore, fake: FakeStore, status: int) -> None:
    fake.answer = saying(error_answer(status, None))
    with pytest.raises(StoreUnavailable):
        either.open("k")
    fast = isinstance(either._reads, PresignedReader)
    assert len(fake.asked) == ATTEMPTS + fast


@pytest.mark.parametrize("code", ["NoSuchKey", "InvalidRange", "PreconditionFailed"])
def test_what_does_not_pass_is_not_tried_again(lean: Lean, fake: FakeStore, code: str) -> None:
    fake.answer = saying(error_answer(404, code))
    with pytest.raises((ObjectMissing, ObjectChanged, StoreError)):
        lean.read()
    assert (len(fake.asked), lean.pauses) == (2, [])


@pytest.mark.parametrize("status", [500, 503])
def test_once_is_once(lean: Lean, fake: FakeStore, status: int) -> None:
    fake.answer = saying(error_answer(status, None))
    with pytest.raises(ClientError):
        lean.reads.get("k", {}, once=True)
    # Fast, and by the SDK to know what the answer means.
    assert (len(fake.asked), lean.pauses) == (2, [])


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    lean = Lean(FakeStore(port, good).clients())
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert len(lean.pauses) == ATTEMPTS - 1


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
def test_a_black_hole_is_unavailable(fake: FakeStore, beginning: bytes) -> None:
    fake.answer = saying(beginning, "silence")
    lean = Lean(fake.clients(read_timeout=1))
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert (len(fake.asked), len(lean.pauses)) == (ATTEMPTS, ATTEMPTS - 1)
    fake.wait_until(lambda: not fake._open)


def test_a_refusal_is_answered_by_a_new_signature(lean: Lean, fake: FakeStore) -> None:
    signed = count_signatures(lean.clients)
    fake.answer = in_turn(saying(error_answer(403, "AccessDenied")), good)
    assert lean.read() == DATA
    assert (len(fake.asked), len(signed), lean.pauses) == (2, 1, [])
    assert lean.read() == DATA
    assert (len(fake.asked), len(signed)) == (3, 2)


def test_a_second_refusal_is_an_error(lean: Lean, fake: FakeStore) -> None:
    fake.answer = saying(error_answer(403, "AccessDenied"))
    with pytest.raises(StoreError):
        lean.read()
    assert (len(fake.asked), lean.pauses) == (2, [])


# Kept connections


def test_a_connection_is_used_again(lean: Lean, fake: FakeStore) -> None:
    for _ in range(5):
        assert lean.read(byte_range=ByteRange(0, 9)) == DATA[:9]
        assert lean.read() == DATA
    assert fake.accepted == 1


@pytest.mark.parametrize("status", [404, 416])
def test_a_connection_is_not_used_again_after_an_error(lean: Lean, fake: FakeStore, status: int) -> None:
    bad = saying(error_answer(status, None))
    fake.answer = in_turn(bad, bad, good)
    with pytest.raises((ObjectMissing, ObjectChanged)):
        lean.read()
    assert lean.close_kept() == 0
    assert lean.read() == DATA


def test_one_that_was_closed_meanwhile_is_no_try(lean: Lean, fake: FakeStore) -> None:
    lean.read()
    fake.hang_up()
    assert lean.read() == DATA
    assert (fake.accepted, len(fake.asked), lean.pauses) == (2, 2, [])


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 2"], ids=["nothing", "a beginning"])
def test_one_that_ends_when_it_is_asked_is_no_try(
    lean: Lean, fake: FakeStore, then: str, beginning: bytes
) -> None:
    fake.answer = in_turn(good, saying(beginning, then), good)
    lean.read()
    assert lean.read() == DATA
    assert (fake.accepted, len(fake.asked), lean.pauses) == (2, 3, [])


def test_one_that_falls_silent_is_a_try(fake: FakeStore) -> None:
    fake.answer = in_turn(good, saying(b"", "silence"), good)
    lean = Lean(fake.clients(read_timeout=1))
    lean.read()
    assert lean.read() == DATA
    assert (fake.accepted, len(lean.pauses)) == (2, 1)
    lean.close_kept()


@pytest.mark.parametrize("then", ["close", "reset"])
def test_new_ones_that_end_are_tries(lean: Lean, fake: FakeStore, then: str) -> None:
    fake.answer = saying(b"", then)
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert (len(fake.asked), len(lean.pauses)) == (ATTEMPTS, ATTEMPTS - 1)


@pytest.mark.parametrize("value", ["close", "Close"])
def test_one_that_is_to_be_closed_is_not_kept(lean: Lean, fake: FakeStore, value: str) -> None:
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, connection=value))
    assert lean.read() == DATA
    assert lean.close_kept() == 0


def test_http_1_0_is_read_and_closed(lean: Lean, fake: FakeStore) -> None:
    def old(asked: Asked) -> Reply:
        answer = object_answer(asked, DATA, connection="keep-alive")
        return Reply(answer.replace(b"HTTP/1.1", b"HTTP/1.0", 1), "close")

    fake.answer = old
    assert lean.read() == DATA
    assert lean.close_kept() == 0


@pytest.mark.parametrize("read", [0, 1, len(DATA) - 1])
def test_one_with_a_body_left_over_is_closed(lean: Lean, fake: FakeStore, read: int) -> None:
    stream = lean.reads.get("k", {})["Body"]
    if read:
        stream.read(read)
    stream.close()
    assert lean.close_kept() == 0
    fake.wait_until(lambda: not fake._open)


@pytest.mark.parametrize("extra", [b"x", object_answer(Asked("", {}, 0), b"of another", '"stale"')])
def test_one_that_said_too_much_is_not_used_again(lean: Lean, fake: FakeStore, extra: bytes) -> None:
    """What came behind a body, together with it: who knows what comes after that."""
    fake.answer = in_turn(lambda asked: Reply(object_answer(asked, b"short") + extra), good)
    assert lean.read() == b"short"
    assert lean.read() == DATA
    assert fake.accepted == 2


def test_many_threads(fake: FakeStore) -> None:
    lean = Lean(fake.clients(pool_size=8))
    source = random.Random(5)
    parts = [
        (start := source.randrange(len(DATA)), source.randrange(start, len(DATA)) + 1) for _ in range(50)
    ]

    def read(_: int) -> int:
        wrong = 0
        for start, stop in parts:
            wrong += lean.read(byte_range=ByteRange(start, stop)) != DATA[start:stop]
        return wrong

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(read, range(32))) == 0
    assert len(fake.asked) == 32 * len(parts)
    fake.wait_until(lambda: len(fake._open) <= 8)
    assert 1 <= lean.close_kept() <= 8
    fake.wait_until(lambda: not fake._open)


# Answers that are none

NO_LENGTH = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}
NO_ANSWERS = {
    "no length": render("200 OK", NO_LENGTH, b"hello"),
    "chunked": render("200 OK", {**NO_LENGTH, "Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked with a length": render(
        "200 OK", {**NO_LENGTH, "Transfer-Encoding": "chunked", "Content-Length": "5"}, b"hello"
    ),
    "two lengths": render("200 OK", {**NO_LENGTH, "Content-Length": "5", "content-length": "6"}, b"hello!"),
    "two lengths in one": render("200 OK", {**NO_LENGTH, "Content-Length": "5, 5"}, b"hello"),
    "a negative length": render("200 OK", {**NO_LENGTH, "Content-Length": "-5"}, b"hello"),
    "a length of other digits": render("200 OK", {**NO_LENGTH, "Content-Length": "²"}, b"hello"),
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "a huge head": b"HTTP/1.1 200 OK\r\nA: " + b"a" * (3 * MAX_HEAD),
    "http/2": b"HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_no_answer_is_unavailable(lean: Lean, fake: FakeStore, name: str) -> None:
    fake.answer = saying(NO_ANSWERS[name], "close")
    # What is HTTP but has no length goes to the SDK, which reads it but cannot tell whether it is whole.
    with pytest.raises((StoreError, StoreUnavailable)):
        lean.read()
    assert len(fake.asked) >= 2
    assert lean.close_kept() == 0


@pytest.mark.parametrize(
    "answer",
    [
        render("200 OK", {**NO_LENGTH, "Content-Length": "9" * 5000}),
        render("200 OK", {"ETag": '"e"', "Last-Modified": "yesterday", "Content-Length": "5"}, b"hello"),
        render("2²0 OK", {**NO_LENGTH, "Content-Length": "5"}, b"hello"),
    ],
    ids=["a length beyond numbers", "no date", "no status"],
)
def test_what_cannot_be_read_is_refused_and_closed(lean: Lean, fake: FakeStore, answer: bytes) -> None:
    fake.answer = saying(answer, "silence")
    with pytest.raises((StoreError, StoreUnavailable)):
        lean.read()
    assert lean.close_kept() == 0
    fake.wait_until(lambda: not fake._open, seconds=2)


def test_an_error_may_be_long_or_break_off(lean: Lean, fake: FakeStore) -> None:
    long = b"<Error>" + b" " * 100_000 + b"<Code>NoSuchKey</Code>"
    fake.answer = saying(render("404 No", {"Content-Length": str(len(long))}, long))
    with pytest.raises(ObjectMissing):
        lean.read()
    broken = error_answer(503, "SlowDown")[:-20]
    fake.answer = saying(broken, "close")
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert lean.close_kept() == 0


# Signatures


def count_signatures(clients: StoreClients) -> list[str]:
    """The keys that URLs are signed for from now on."""
    signed: list[str] = []
    sign: Callable[..., str] = clients.requests.generate_presigned_url

    def counted(operation: str, arguments: dict[str, str], **options: Any) -> str:
        signed.append(arguments["Key"])
        return sign(operation, arguments, **options)

    clients.requests.generate_presigned_url = counted  # type: ignore[method-assign]
    return signed


def test_a_url_serves_for_five_minutes(lean: Lean, fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(reads_module, "time", SimpleNamespace(monotonic=lambda: now))
    signed = count_signatures(lean.clients)
    for now in (1000.0, 1001.0, 1299.9):
        lean.read("a", byte_range=ByteRange(0, int(now) - 999))
    assert signed == ["a"]
    assert len({asked.target for asked in fake.asked}) == 1
    assert int(fake.asked[0].query["X-Amz-Expires"]) >= 2 * 300
    lean.read("b")
    assert signed == ["a", "b"]
    now = 1300.0
    lean.read("a")
    assert signed == ["a", "b", "a"]


def test_few_urls_are_kept(lean: Lean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_module, "MAX_CACHED_URLS", 3)
    signed = count_signatures(lean.clients)
    for key in ("a", "b", "c", "d", "d", "c", "b"):
        lean.read(key)
    assert signed == ["a", "b", "c", "d"]
    lean.read("a")
    assert signed[-1] == "a"


def test_temporary_credentials(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session/token+")
    lean = Lean(fake.clients(credentials=None))
    assert lean.read() == DATA
    assert fake.asked[0].query["X-Amz-Security-Token"] == "session/token+"
    assert fake.asked[0].query["X-Amz-Credential"].startswith("ASIA1/")
    lean.close_kept()


def test_no_credentials(fake: FakeStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match="no credentials"):
        Lean(fake.clients(credentials=None)).read()
    assert fake.asked == []


TROUBLES: dict[str, Script] = {
    "refused": saying(error_answer(403, "AccessDenied")),
    "busy": saying(error_answer(503, "SlowDown")),
    "garbage": saying(b"garbage\r\n\r\n", "close"),
    "reset": saying(b"", "reset"),
    "no range": saying(render("200 OK", {**NO_LENGTH, "Content-Length": "5"}, b"hello")),
    "cut": lambda asked: Reply(object_answer(asked, DATA)[:-9], "close"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_no_signature_gets_into_logs_or_errors(
    lean: Lean, fake: FakeStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("image_gateway.storage.body.RETRY_DELAYS", (0,))
    for logger in ("image_gateway", "urllib3"):
        caplog.set_level(logging.DEBUG, logger)
    fake.answer = TROUBLES[name]
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whichever it is
        lean.read(byte_range=ByteRange(0, len(DATA)))
    signature = fake.asked[0].query["X-Amz-Signature"]
    told = [caplog.text, repr(lean.reads), repr(lean.store), repr(lean.reads._pools)]
    error: BaseException | None = caught.value
    while error is not None:
        told += [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        error = error.__cause__ or error.__context__
    for text in told:
        assert "X-Amz" not in text
        assert signature not in text
        assert "secret" not in text


# TLS and proxies


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate that nobody signed but itself, and what serves by it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store of a test")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return path, context


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = make_certificate(tmp_path)
    with running_store(good, tls=context) as store:
        unknown = Lean(store.clients())
        with pytest.raises(StoreUnavailable):
            unknown.read()
        assert store.asked == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        lean = Lean(store.clients())
        connections = store.accepted
        for _ in range(5):
            assert lean.read() == DATA
            assert lean.read(byte_range=ByteRange(5, 50)) == DATA[5:50]
        assert store.accepted == connections + 1
        store.hang_up()
        assert lean.read() == DATA
        assert lean.pauses == []
        lean.close_kept()


def test_tls_of_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = make_certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with running_store(good, tls=context) as store:
        address = StoreAddress(
            "images",
            "us-east-1",
            f"https://localhost:{store.port}",
            path_style=True,
            credentials=("key", "secret"),
        )
        with pytest.raises(StoreUnavailable):
            Lean(StoreClients(address)).read()
        assert store.asked == []


@pytest.mark.parametrize(
    ("variables", "endpoint", "expected"),
    [
        ({}, "http://store:9000", PresignedReader),
        ({}, None, PresignedReader),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://store", SdkReader),
        ({"https_proxy": "http://proxy:3128"}, None, SdkReader),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://store:9000", SdkReader),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://store:9000", SdkReader),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "store"}, "https://store:9000", PresignedReader),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None, PresignedReader),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "elsewhere"}, "https://store", SdkReader),
        ({"NO_PROXY": "elsewhere"}, "https://store", PresignedReader),
    ],
    ids=str,
)
def test_a_proxy_is_the_sdks_business(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], endpoint: str | None, expected: type
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    clients = StoreClients(StoreAddress("images", "us-east-1", endpoint, credentials=("key", "secret")))
    assert type(make_reader(clients)) is expected


def test_errors_are_the_sdks(lean: Lean, fake: FakeStore) -> None:
    fake.answer = saying(b"", "close")
    with pytest.raises(EndpointConnectionError) as caught:
        lean.reads.get("k", {}, once=True)
    assert str(caught.value) == f'Could not connect to the endpoint URL: "{fake.url}"'
    fake.answer = saying(error_answer(412, "PreconditionFailed"))
    with pytest.raises(ClientError) as refused:
        lean.reads.get("k", {})
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"
    assert not isinstance(refused.value, GatewayError)
