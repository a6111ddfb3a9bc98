"""Certificates made when the tests run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.keys import pem_of


def make_certificate(folder: Path, host: str) -> tuple[Path, Path, Path]:
    """Files of an authority, of a certificate that it signed for a host, and of its key."""
    authority_key, key = generate_private_key(65537, 2048), generate_private_key(65537, 2048)
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    ends = now + timedelta(days=1)

    def builder(name: x509.Name) -> x509.CertificateBuilder:
        serial = x509.random_serial_number()
        return x509.CertificateBuilder(authority, name, None, serial, now - timedelta(hours=1), ends)

    ca = builder(authority).public_key(authority_key.public_key())
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    leaf = builder(subject).public_key(key.public_key())
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    files = folder / "ca.pem", folder / "host.pem", folder / "host-key.pem"
    files[0].write_bytes(ca.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files[1].write_bytes(leaf.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files[2].write_text(pem_of(key))
    return files
