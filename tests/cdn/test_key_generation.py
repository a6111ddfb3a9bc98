"""Key pairs that are made here, read by the gateway and by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from image_gateway.cdn import key_generation
from image_gateway.cdn.key_generation import generate_by_cryptography, generate_by_rsa
from image_gateway.cdn.keys import load_signing_key
from tests.cdn.edge import Edge


@pytest.fixture(params=["cryptography", "rsa"])
def pair(
    request: pytest.FixtureRequest, private_key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> key_generation.GeneratedKeyPair:
    if request.param == "cryptography":
        return generate_by_cryptography()
    # Making primes takes it seconds.
    numbers = private_key.private_numbers()
    parts = (numbers.public_numbers.n, numbers.public_numbers.e)
    made = rsa.PublicKey(*parts), rsa.PrivateKey(*parts, numbers.d, numbers.p, numbers.q)
    monkeypatch.setattr(rsa, "newkeys", lambda bits: made if bits == 2048 else None)
    return generate_by_rsa()


def test_the_public_key_verifies_what_the_gateway_signs(pair: key_generation.GeneratedKeyPair) -> None:
    sign = load_signing_key(pair.private_pem)
    public = load_pem_public_key(pair.public_pem.encode())
    assert isinstance(public, RSAPublicKey)
    assert public.key_size == 2048
    assert Edge("K", public)._verifies(b"message", sign(b"message"))
    assert load_pem_private_key(pair.private_pem.encode(), None).public_key() == public


def test_the_public_key_has_the_form_that_cloudfront_reads(
    pair: key_generation.GeneratedKeyPair, tmp_path: Path
) -> None:
    assert pair.public_pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert pair.public_pem.endswith("\n-----END PUBLIC KEY-----\n")
    assert "PRIVATE" not in repr(pair)
    (tmp_path / "public.pem").write_text(pair.public_pem)
    command = ["openssl", "pkey", "-pubin", "-in", str(tmp_path / "public.pem"), "-pubout"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    assert shown == pair.public_pem


def test_the_fastest_installed_library_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_generation, "generate_by_rsa", lambda: "rsa")
    monkeypatch.setattr(key_generation, "generate_by_cryptography", lambda: "cryptography")
    assert key_generation.generate_key_pair() == "cryptography"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert key_generation.generate_key_pair() == "rsa"
