"""TLS by our own wire, and proxies, which are left to the SDK."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from image_gateway.errors import StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.presigned_reader import (
    PresignedReader,
    SdkReader,
    make_reader,
)
from tests.storage.presigned_reader.conftest import DATA, Lean, good
from tests.support.fake_store import (
    running_store,
)


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
