"""The address at which clients reach the gateway, and the lease keys of the gateway there."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from image_gateway.doctor.http_probe import ProbeFailed
from image_gateway.doctor.leases import check_leases
from image_gateway.doctor.public_url import check_public_url
from image_gateway.local.ports import find_free_ports
from image_gateway.settings import Settings
from tests.support.black_hole import black_hole
from tests.support.certificates import make_certificate
from tests.support.environments import load
from tests.support.findings import codes_of, only_finding, skipped_of
from tests.support.served_gateway import served_gateway
from tests.support.small_http import small_server

NEW, OLD, OTHER = (
    ("new", "0123456789abcdef" * 4),
    ("old", "fedcba9876543210" * 4),
    ("new", "89abcdef01234567" * 4),
)
OK = {"/healthz": (200, {}, b'{"ok": true}')}


@pytest.fixture
def gateway(settings: Settings) -> Iterator[str]:
    """The URL of a gateway that signs with the key `new` and still accepts `old`."""
    with served_gateway(replace(settings, lease_keys=(NEW, OLD))) as url:
        yield url


def test_the_gateway_itself(gateway: str) -> None:
    checks = list(check_public_url(load(PUBLIC_URL=gateway)))
    assert codes_of(checks) == []
    assert skipped_of(checks) == {}


def test_without_a_public_url_nothing_is_asked() -> None:
    assert skipped_of(check_public_url(load())) == {"scheme": "PUBLIC_URL is not set"}


def test_a_closed_port() -> None:
    (port,) = find_free_ports(1)
    finding = only_finding(check_public_url(load(PUBLIC_URL=f"http://127.0.0.1:{port}")))
    assert (finding.code, finding.severity) == ("public-url-unreachable", "warning")
    assert "Connection refused" in finding.what


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.doctor.http_probe.READ_SECONDS", 0.2)
    with black_hole() as hole:
        found = codes_of(check_public_url(load(PUBLIC_URL=f"http://127.0.0.1:{hole.port}")))
    assert found == ["warning public-url-unreachable"]


@pytest.mark.parametrize(
    ("status", "headers", "body", "shown"),
    [
        (404, {}, b"<html>", "answers 404, and not as image-gateway does"),
        (200, {}, b"<html>", "answers 200, and not as image-gateway does"),
        (502, {}, b"<html>", "does not reach the gateway"),
        (
            301,
            {"Location": "https://new.example.com/?key=sesame"},
            b"",
            "redirects to https://new.example.com",
        ),
    ],
)
def test_another_server(status: int, headers: Mapping[str, str], body: bytes, shown: str) -> None:
    with small_server({"/healthz": (status, headers, body)}) as port:
        finding = only_finding(check_public_url(load(PUBLIC_URL=f"http://127.0.0.1:{port}")))
    assert finding.code == "public-url-not-gateway"
    assert shown in finding.what
    assert "sesame" not in finding.what


def test_a_gateway_of_another_version() -> None:
    with small_server({**OK, "/openapi.yaml": (200, {}, b"openapi: 3.1.0")}) as port:
        found = codes_of(check_public_url(load(PUBLIC_URL=f"http://127.0.0.1:{port}")))
    assert found == ["warning public-url-other-version"]


def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    _, certificate, key = make_certificate(tmp_path, "localhost")
    with small_server(OK, tls=(certificate, key)) as port:
        finding = only_finding(check_public_url(load(PUBLIC_URL=f"https://localhost:{port}")))
    assert finding.code == "public-url-tls"
    assert "unable to get local issuer certificate" in finding.what


def test_a_certificate_of_a_trusted_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, certificate, key = make_certificate(tmp_path, "localhost")
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(authority))
    with small_server({**OK, "/openapi.yaml": (404, {}, b"")}, tls=(certificate, key)) as port:
        found = codes_of(check_public_url(load(PUBLIC_URL=f"https://localhost:{port}")))
    assert found == ["warning public-url-other-version"]


def test_a_host_that_the_gateway_refuses(gateway: str) -> None:
    found = codes_of(check_public_url(load(PUBLIC_URL=gateway, ALLOWED_HOSTS="images.example.com")))
    assert found == ["broken public-url-host-refused"]


@pytest.mark.parametrize(
    ("more", "severity"),
    [
        ({}, "broken"),
        ({"CONSOLE": "false"}, "warning"),
        ({"CONSOLE": "false", "GATEWAY_AUTH_MODE": "cookie"}, "broken"),
    ],
)
def test_plain_http_beyond_this_machine(
    more: dict[str, str], severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise ProbeFailed("its host name cannot be resolved")

    monkeypatch.setattr("image_gateway.doctor.public_url.probe", fail)
    found = codes_of(check_public_url(load(PUBLIC_URL="http://images.example.com", **more)))
    assert found == [f"{severity} public-url-plain-http", "warning public-url-unreachable"]


def with_keys(url: str, *keys: tuple[str, str]) -> Settings:
    return replace(load(PUBLIC_URL=url), lease_keys=keys)


def test_the_running_gateway_knows_both_keys_of_a_rotation(gateway: str) -> None:
    checks = list(check_leases(with_keys(gateway, OLD, NEW)))
    assert codes_of(checks) == []
    assert "keys of the running gateway" not in skipped_of(checks)


def test_the_running_gateway_has_another_secret_of_the_same_key(gateway: str) -> None:
    finding = only_finding(check_leases(with_keys(gateway, OTHER, OLD)))
    assert finding.code == "lease-key-unknown"
    assert finding.what == f"the gateway at {gateway} refuses tokens of the key new"


def test_a_server_that_is_no_gateway_tells_nothing_of_keys() -> None:
    with small_server({}) as port:
        checks = list(check_leases(with_keys(f"http://127.0.0.1:{port}", NEW)))
    assert codes_of(checks) == []
    assert "answers 404" in skipped_of(checks)["keys of the running gateway"]
