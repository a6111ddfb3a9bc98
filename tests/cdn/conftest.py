from __future__ import annotations

import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from image_gateway.cdn.backends import Sign, load_by_cryptography, load_by_rsa
from tests.support.keys import make_key


@pytest.fixture(scope="session")
def private_key() -> RSAPrivateKey:
    return make_key()


@pytest.fixture(scope="session")
def pkcs1_der(private_key: RSAPrivateKey) -> bytes:
    return private_key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.fixture(scope="session")
def pkcs1_pem(private_key: RSAPrivateKey) -> str:
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@pytest.fixture(scope="session")
def pkcs8_pem(private_key: RSAPrivateKey) -> str:
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="session")
def openssl_sign(pkcs8_pem: str, tmp_path_factory: pytest.TempPathFactory) -> Sign:
    """Sign with the openssl program."""
    path = tmp_path_factory.mktemp("openssl") / "key.pem"
    path.write_text(pkcs8_pem)

    def sign(message: bytes) -> bytes:
        command = ["openssl", "dgst", "-sha1", "-sign", str(path)]
        return subprocess.run(command, input=message, capture_output=True, check=True).stdout

    return sign


@pytest.fixture(params=[load_by_rsa, load_by_cryptography], ids=lambda loader: loader.__name__)
def any_back_end(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test once with each library behind `load_signing_key`."""
    monkeypatch.setattr("image_gateway.cdn.keys.load_key_pair", request.param)
