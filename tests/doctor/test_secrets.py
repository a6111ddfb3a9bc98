"""Nothing that the doctor prints has a secret of the settings, whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_gateway.cli.findings import checks_document, print_checks
from image_gateway.doctor.database import check_database
from image_gateway.doctor.disk import check_disk
from image_gateway.doctor.edge import check_edge
from image_gateway.doctor.jobs import check_jobs
from image_gateway.doctor.leases import check_leases
from image_gateway.doctor.oidc import check_oidc
from image_gateway.doctor.public_url import check_public_url
from image_gateway.doctor.redis import check_redis
from image_gateway.domain.findings import Check
from image_gateway.settings import Settings
from tests.support.environments import load
from tests.support.findings import codes_of
from tests.support.oidc_code_flow import CLIENT_ID, CodeFlow
from tests.support.oidc_provider import OidcProvider
from tests.support.small_http import small_server

# None is a part of any other text.
LEASE_SECRETS = ("Quokka0Quokka1Quokka2Quokka3Quokka4", "Wombat0Wombat1Wombat2Wombat3Wombat4")
SECRETS = {
    "EDGE_TOKEN": "Numbat0Numbat1Numbat2Numbat3Numbat4",
    "METRICS_TOKEN": "Dunnart0Dunnart1Dunnart2",
    "OIDC_CLIENT_SECRET": "Bandicoot",
}
PASSWORDS = ("Bilby", "Potoroo")


def examine(settings: Settings) -> Iterator[Check]:
    for check in (
        check_database,
        check_oidc,
        check_leases,
        check_redis,
        check_edge,
        check_public_url,
        check_disk,
        check_jobs,
    ):
        yield from check(settings)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings with a secret wherever one may be, and with nothing that works but an issuer."""
    with (
        OidcProvider.start() as provider,
        small_server(
            {"/healthz": (302, {"Location": f"/sign-in?token={SECRETS['METRICS_TOKEN']}"}, b"")}
        ) as port,
    ):
        CodeFlow(provider, client_secret="another")
        yield {
            "DATABASE_URL": f"postgresql+psycopg://gateway:{PASSWORDS[0]}@127.0.0.1:1/images",
            "RATE_LIMIT_STORAGE_URL": f"redis://:{PASSWORDS[1]}@127.0.0.1:1",
            "AUTH_MODE": "oidc",
            "OIDC_ISSUER": provider.issuer,
            "OIDC_AUDIENCE": "image-gateway",
            "OIDC_CLIENT_ID": CLIENT_ID,
            "LEASE_KEYS": ",".join(f"k{number}:{secret}" for number, secret in enumerate(LEASE_SECRETS)),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "METRICS_PORT": "9090",
            "EDGE_PORT": str(port),
            "RANGE_CACHE_DIR": str(tmp_path / "cache"),
            **SECRETS,
        }


def test_no_output_has_a_secret(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    checks = print_checks(examine(load(**environment)))
    printed = capsys.readouterr().out + json.dumps(checks_document(checks)) + repr(checks)
    assert {"database-refused", "oidc-client-refused", "redis-unreachable", "public-url-not-gateway"} <= {
        code.partition(" ")[2] for code in codes_of(checks)
    }
    for secret in (*SECRETS.values(), *PASSWORDS, *LEASE_SECRETS):
        assert secret not in printed
        assert secret[:7] not in printed
