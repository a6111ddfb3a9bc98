"""nginx in front as the doctor sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from image_gateway.doctor.edge import check_edge
from image_gateway.local.ports import find_free_ports
from image_gateway.settings import Settings
from tests.support.certificates import make_certificate
from tests.support.environments import load
from tests.support.findings import codes_of, only_finding, skipped_of
from tests.support.small_http import small_server

TOKEN = "sesame-of-the-edge-" * 2
DAY = 86_400
OK = {"/healthz": (200, {}, b'{"ok": true}')}


def with_edge(**more: str) -> Settings:
    return load(**{"EDGE_TOKEN": TOKEN, "TRUSTED_PROXY_HOPS": "1", **more})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Files of an authority, of a certificate that is valid for one day, and of its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "images.example.com")


@pytest.fixture
def check_tls(files: tuple[Path, Path, Path]) -> Callable[..., list[str]]:
    def check(certificate: Path = files[1], key: Path = files[2], days: float = 0) -> list[str]:
        given = {"EDGE_TLS_CERTIFICATE": str(certificate), "EDGE_TLS_CERTIFICATE_KEY": str(key)}
        with small_server(OK, tls=(files[1], files[2])) as port:
            settings = with_edge(EDGE_PORT=str(port), **given)
            return codes_of(check_edge(settings, clock=lambda: time.time() + days * DAY))

    return check


def test_without_an_edge_nothing_is_asked() -> None:
    assert skipped_of(check_edge(load())) == {"nginx": "EDGE_TOKEN is not set"}


def test_a_healthy_edge_has_no_finding() -> None:
    with small_server(OK) as port:
        checks = list(check_edge(with_edge(EDGE_HOST="0.0.0.0", EDGE_PORT=str(port))))
    assert codes_of(checks) == []
    assert skipped_of(checks) == {"TLS certificate": "EDGE_TLS_CERTIFICATE is not set"}


@pytest.mark.parametrize(
    ("days", "code"),
    [
        (-20, "broken edge-tls-expired"),
        (-13.5, "broken edge-tls-expired"),
        (0, "warning edge-tls-expires-soon"),
        (2, "broken edge-tls-expired"),
    ],
)
def test_a_certificate_near_its_dates(check_tls: Callable[..., list[str]], days: float, code: str) -> None:
    assert check_tls(days=days) == [code]


def test_a_certificate_that_lasts(
    check_tls: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.doctor.edge.RENEWAL_DAYS", 0.5)
    assert check_tls() == []


def test_the_key_of_another_certificate(
    check_tls: Callable[..., list[str]], files: tuple[Path, Path, Path]
) -> None:
    assert check_tls(certificate=files[0]) == ["broken edge-tls-mismatch"]


def test_files_that_cannot_be_loaded(check_tls: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    assert check_tls(certificate=tmp_path / "empty.pem") == ["broken edge-tls-unreadable"]
    assert check_tls(key=tmp_path / "missing.pem") == ["broken edge-tls-unreadable"]


def test_a_renewed_certificate_that_nginx_has_not_read(
    check_tls: Callable[..., list[str]], tmp_path: Path
) -> None:
    _, certificate, key = make_certificate(tmp_path, "images.example.com")
    found = check_tls(certificate=certificate, key=key)
    assert found == ["warning edge-tls-expires-soon", "warning edge-tls-other-certificate"]


def test_files_of_another_machine(check_tls: Callable[..., list[str]], tmp_path: Path) -> None:
    assert check_tls(certificate=tmp_path / "none/full.pem", key=tmp_path / "none/key.pem") == []


@pytest.mark.parametrize("hops", ["0", "2"])
def test_proxy_hops_that_do_not_fit(hops: str) -> None:
    with small_server(OK) as port:
        found = codes_of(check_edge(with_edge(TRUSTED_PROXY_HOPS=hops, EDGE_PORT=str(port))))
    assert found == ["warning edge-proxy-hops"]


def test_no_nginx_on_this_machine() -> None:
    (port,) = find_free_ports(1)
    finding = only_finding(check_edge(with_edge(EDGE_PORT=str(port))))
    assert finding.code == "edge-unreachable"
    assert finding.what == f"nginx does not answer at http://127.0.0.1:{port}: Connection refused"
    elsewhere = list(check_edge(with_edge(EDGE_PORT=str(port), PUBLIC_URL="https://images.example.com")))
    assert codes_of(elsewhere) == []
    assert "may run on another machine" in skipped_of(elsewhere)["answers"]


@pytest.mark.parametrize(
    ("status", "code"), [(503, "broken edge-gateway-unreachable"), (404, "broken edge-not-gateway")]
)
def test_an_edge_without_its_gateway(status: int, code: str) -> None:
    with small_server({"/healthz": (status, {}, b"")}) as port:
        assert codes_of(check_edge(with_edge(EDGE_PORT=str(port)))) == [code]
