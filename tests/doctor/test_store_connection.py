"""A store that cannot be used: what the doctor says of each reason."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest

from image_gateway.domain.findings import Severity
from image_gateway.local.ports import find_free_ports
from tests.doctor.conftest import Doctor
from tests.support.aws_shape import AwsShape, Canned
from tests.support.black_hole import black_hole
from tests.support.certificates import make_certificate
from tests.support.fake_store import Reply, error_answer, running_store

HTML = b"<!DOCTYPE html><html><body>Sign in to this network</body></html>"
AS_HTML = {"Content-Type": "text/html"}


def test_a_good_store_is_connected_to(doctor: Doctor) -> None:
    assert doctor.connect() == []


def test_a_closed_port_is_told(doctor: Doctor) -> None:
    (port,) = find_free_ports(1)
    (found,) = doctor.connect(endpoint=f"http://127.0.0.1:{port}")
    assert (found.code, found.severity) == ("store-refused", Severity.BROKEN)
    assert f"http://127.0.0.1:{port}: the connection was refused" in found.what


def test_a_store_that_never_answers_takes_bounded_time(doctor: Doctor) -> None:
    with black_hole() as hole:
        started = time.monotonic()
        (found,) = doctor.connect(endpoint=f"http://127.0.0.1:{hole.port}", read_timeout=1)
    assert (found.code, time.monotonic() - started < 30) == ("store-timeout", True)


def test_a_name_that_does_not_resolve_is_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (found,) = doctor.connect(endpoint="http://store.internal:9000")
    assert found.code == "store-dns"
    assert "http://store.internal:9000" in found.what
    assert "Name or service not known" in found.what


def test_a_proxy_that_is_down_is_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = find_free_ports(1)
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:a-password@127.0.0.1:{port}")
    (found,) = doctor.connect(endpoint="http://store.example.com:9000")
    assert found.code == "store-proxy"
    assert "a-password" not in repr(found)


def test_a_certificate_of_another_authority_is_told(doctor: Doctor, tmp_path: Path) -> None:
    _, certificate, key = make_certificate(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with running_store(lambda _: Reply(error_answer(403, "AccessDenied")), tls=tls) as store:
        (found,) = doctor.connect(endpoint=store.url)
    assert found.code == "store-tls"
    assert "certificate" in found.what


def test_https_to_a_port_without_tls_is_told(doctor: Doctor, shape: AwsShape) -> None:
    (found,) = doctor.connect(endpoint=shape.url.replace("http:", "https:"))
    assert found.code == "store-tls"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(b"", "close"), "store-connection"),
        (Reply(b"", "reset"), "store-connection"),
        (Reply(b"220 mail.example.com ESMTP\r\n", "close"), "store-not-s3"),
    ],
    ids=["closed", "reset", "another protocol"],
)
def test_a_connection_that_breaks_is_told(doctor: Doctor, reply: Reply, code: str) -> None:
    with running_store(lambda _: reply) as store:
        (found,) = doctor.connect(endpoint=store.url)
    assert found.code == code


@pytest.mark.parametrize("form", ["chunked", "length"])
@pytest.mark.parametrize(
    ("canned", "code", "says"),
    [
        (Canned(403, "InvalidAccessKeyId"), "store-wrong-credentials", "does not know the access key"),
        (Canned(403, "SignatureDoesNotMatch"), "store-wrong-credentials", "secret key is not that"),
        (Canned(400, "ExpiredToken"), "store-expired-token", "400 ExpiredToken"),
        (Canned(404, "NoSuchBucket"), "store-no-bucket", "no bucket images"),
        (Canned(301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-1"}), "store-wrong-region", "eu-"),
        (
            Canned(
                400,
                body=b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>",
            ),
            "store-wrong-region",
            "the bucket is in eu-west-1",
        ),
        (Canned(403, "RequestTimeTooSkewed"), "store-clock-skew", "clock"),
        (Canned(503, "SlowDown"), "store-busy", "503 SlowDown three times"),
        (Canned(502, None, AS_HTML, HTML), "store-busy", "502"),
        (Canned(200, None, AS_HTML, HTML), "store-not-s3", "text/html"),
        (Canned(302, None, {**AS_HTML, "Location": "/login"}, HTML), "store-not-s3", "302"),
        (Canned(400, "MetadataTooLarge"), "store-unexpected-answer", "400 MetadataTooLarge"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("store-") else "",
)
def test_what_the_store_answers_is_told(
    doctor: Doctor, shape: AwsShape, canned: Canned, code: str, says: str, form: str
) -> None:
    shape.script = lambda *_: replace(canned, chunked=form == "chunked")
    (found,) = doctor.connect()
    assert (found.code, found.severity) == (code, Severity.BROKEN)
    assert says in found.what


def test_a_store_without_credentials_is_told(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    (found,) = doctor.connect(credentials=None)
    assert found.code == "store-no-credentials"
    monkeypatch.setenv("AWS_PROFILE", "production")
    (found,) = doctor.connect(credentials=None)
    assert found.code == "store-no-credentials"
    assert "production" in found.what


@pytest.mark.parametrize(
    ("offset", "severity"),
    [(-300, Severity.WARNING), (300, Severity.WARNING), (-3600, Severity.BROKEN), (3600, Severity.BROKEN)],
)
def test_a_clock_that_is_off_is_told(
    doctor: Doctor, shape: AwsShape, offset: int, severity: Severity
) -> None:
    shape.clock_offset = offset
    (found,) = doctor.connect()
    assert (found.code, found.severity) == ("store-clock-skew", severity)
    assert ("ahead of" if offset < 0 else "behind") in found.what


def test_a_few_seconds_of_skew_are_fine(doctor: Doctor, shape: AwsShape) -> None:
    shape.clock_offset = 5
    assert doctor.connect() == []
