"""Makes RSA key pairs for CloudFront, by `cryptography` if it is installed, otherwise by `rsa`."""

from __future__ import annotations

import base64
import importlib.util
import textwrap
from dataclasses import dataclass, field

from image_gateway.cdn.keys import REQUIRED_BITS


@dataclass(frozen=True)
class GeneratedKeyPair:
    """A key pair in PEM: what the gateway signs with, and what CloudFront verifies with."""

    private_pem: str = field(repr=False)
    public_pem: str


def generate_key_pair() -> GeneratedKeyPair:
    """Make a key pair of the size that CloudFront requires, which takes `rsa` some seconds.

    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
    """
    if importlib.util.find_spec("cryptography"):
        return generate_by_cryptography()
    return generate_by_rsa()


def generate_by_cryptography() -> GeneratedKeyPair:
    """Make a key pair with `cryptography`."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = generate_private_key(65537, REQUIRED_BITS)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return GeneratedKeyPair(private.decode(), public.decode())


def generate_by_rsa() -> GeneratedKeyPair:
    """Make a key pair with `rsa`; the private key is PKCS#1."""
    import rsa

    public, private = rsa.newkeys(REQUIRED_BITS)
    return GeneratedKeyPair(private.save_pkcs1().decode(), _as_pem(public.save_pkcs1("DER")))


def _as_pem(pkcs1_der: bytes) -> str:
    """Wrap a PKCS#1 public key as SubjectPublicKeyInfo (RFC 5280 §4.1), as CloudFront requires."""
    from pyasn1.codec.der import decoder, encoder
    from pyasn1.type import univ

    algorithm = univ.Sequence()
    algorithm[0] = univ.ObjectIdentifier("1.2.840.113549.1.1.1")
    algorithm[1] = univ.Null("")
    info = univ.Sequence()
    info[0] = algorithm
    info[1] = univ.BitString.fromOctetString(encoder.encode(decoder.decode(pkcs1_der)[0]))
    text = base64.b64encode(encoder.encode(info)).decode()
    lines = "\n".join(textwrap.wrap(text, 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"
