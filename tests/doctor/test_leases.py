"""Lease settings as the doctor sees them; tests/doctor/test_public_url.py asks a running gateway."""

from __future__ import annotations

import pytest

from image_gateway.doctor.leases import check_leases
from tests.support.environments import load
from tests.support.findings import codes_of, only_finding, skipped_of

HEX = "0123456789abcdef"
KEYS = f"new:{HEX * 4},old:{HEX[::-1] * 4}"
SERVER = {"HOST": "0.0.0.0", "ALLOW_INSECURE_DEV_AUTH": "true"}


def test_keys_in_rotation_are_named_without_their_secrets() -> None:
    checks = list(check_leases(load(LEASE_KEYS=KEYS)))
    assert codes_of(checks) == []
    assert checks[0].detail == "new signs, also accepted: old"
    assert HEX not in str(checks)


def test_development_needs_no_keys() -> None:
    checks = list(check_leases(load()))
    assert codes_of(checks) == []
    assert "for development" in skipped_of(checks)["keys"]


def test_a_gateway_for_other_machines_needs_keys() -> None:
    assert codes_of(check_leases(load(**SERVER))) == ["warning lease-keys-missing"]


def test_without_authentication_there_are_no_leases() -> None:
    assert list(skipped_of(check_leases(load(AUTH_MODE="none", HOST="0.0.0.0")))) == ["keys"]


def test_a_key_that_can_be_guessed() -> None:
    finding = only_finding(check_leases(load(LEASE_KEYS=f"new:{HEX * 4},old:{'ab' * 16}")))
    assert finding.code == "lease-key-weak"
    assert finding.what == "the secret of the key old has only 2 different characters"


def test_a_rotation_to_the_same_secret() -> None:
    found = codes_of(check_leases(load(LEASE_KEYS=f"new:{HEX * 4},old:{HEX * 4}")))
    assert found == ["warning lease-key-repeated"]


@pytest.mark.parametrize(
    ("cache", "ttl", "edge", "is_found"),
    [
        ("2", "5", False, False),
        ("10", "10", False, True),
        ("10", "15", True, True),
        ("10", "15", False, False),
    ],
)
def test_leases_that_end_before_the_caches_of_permissions(
    cache: str, ttl: str, edge: bool, is_found: bool
) -> None:
    token = {"EDGE_TOKEN": HEX * 4} if edge else {}
    settings = load(LEASE_KEYS=KEYS, ACCESS_CACHE_SECONDS=cache, LEASE_TTL_SECONDS=ttl, **token)
    assert codes_of(check_leases(settings)) == (["warning lease-ttl-short"] if is_found else [])


@pytest.mark.parametrize(
    ("url", "is_found"),
    [
        ("http://images.example.com", True),
        ("https://images.example.com", False),
        ("http://localhost:1", False),
    ],
)
def test_a_lease_cookie_without_https(url: str, is_found: bool) -> None:
    settings = load(GATEWAY_AUTH_MODE="cookie", PUBLIC_URL=url)
    assert codes_of(check_leases(settings)) == (["broken lease-cookie-insecure"] if is_found else [])
