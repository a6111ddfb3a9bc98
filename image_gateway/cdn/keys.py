"""Loads a CloudFront private key from any common format and returns a signing function."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from pyasn1.codec.der import decoder

from image_gateway.cdn.backends import KeyPair, Sign, load_key_pair

REQUIRED_BITS = 2048
_RSA_OID = "1.2.840.113549.1.1.1"
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_TEST_MESSAGE = b"image-gateway signs this once at start"


class UnusableKey(ValueError):
    """The key cannot be used; the message gives the reason and contains nothing of the key."""


def load_signing_key(text: str) -> Sign:
    """Return a function that signs bytes by RSA-SHA1 PKCS#1 v1.5, as CloudFront requires.

    Only 2048-bit RSA keys are accepted, as CloudFront documents. The key is tested with one signature, since
    a damaged key may load and produce invalid signatures.
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html

    Args:
        text: PEM (PKCS#1 or PKCS#8; line ends may be literal `\\n`; quotes and a BOM are removed), base64
            of PEM, or the path of a file that holds one of these.

    Raises:
        UnusableKey: The key cannot be read, is encrypted or has an unsupported type or size.
    """
    der, label = _unwrap_pem(_find_pem(text))
    pkcs1 = _unwrap_pkcs8(der) if label == "PRIVATE KEY" else der
    try:
        pair = load_key_pair(pkcs1)
    except ValueError:
        raise UnusableKey("is damaged: it cannot be read as an RSA key") from None
    _check(pair)
    return pair.sign


def _check(pair: KeyPair) -> None:
    if pair.bits != REQUIRED_BITS:
        raise UnusableKey(f"has {pair.bits} bits; CloudFront requires RSA keys of {REQUIRED_BITS} bits")
    try:
        verified = pair.verify(_TEST_MESSAGE, pair.sign(_TEST_MESSAGE))
    except (ValueError, ArithmeticError):
        raise UnusableKey("is damaged: it cannot sign") from None
    if not verified:
        raise UnusableKey("is damaged: its test signature does not verify")


def _find_pem(text: str) -> str:
    plain = _normalise(text)
    if "-----BEGIN" not in plain:
        plain = _normalise(_read_file(plain) or plain)
    if "-----BEGIN" not in plain:
        plain = _normalise(_decode_base64(plain) or "")
    if "-----BEGIN" not in plain:
        raise UnusableKey("is neither PEM text nor the path of a readable PEM file")
    return plain


def _normalise(text: str) -> str:
    return text.strip().lstrip("\ufeff").strip("\"'").replace("\\r", "").replace("\\n", "\n")


def _read_file(path: str) -> str | None:
    if len(path) > 1024 or "\n" in path:
        return None
    try:
        return Path(path).expanduser().read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError, RuntimeError):
        return None


def _decode_base64(text: str) -> str | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _unwrap_pem(pem: str) -> tuple[bytes, str]:
    match = _BLOCK.search(pem)
    if match is None:
        raise UnusableKey("is truncated: the END line is missing or does not match")
    label, content = match[1], match[2]
    if label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in content:
        raise UnusableKey("is encrypted; store it without a passphrase")
    if label not in ("RSA PRIVATE KEY", "PRIVATE KEY"):
        raise UnusableKey(f"is a {label}, not an RSA private key")
    try:
        return base64.b64decode("".join(content.split()), validate=True), label
    except (binascii.Error, ValueError) as error:
        raise UnusableKey("is not valid PEM: its base64 is invalid") from error


def _unwrap_pkcs8(der: bytes) -> bytes:
    """Return the PKCS#1 key inside a PKCS#8 PrivateKeyInfo (RFC 5208 §5)."""
    try:
        info, _ = decoder.decode(der)
        algorithm, octets = str(info[1][0]), bytes(info[2])
    except Exception:  # noqa: BLE001  # pyasn1 raises many types, with key bytes in the message
        raise UnusableKey("is damaged: its PKCS#8 structure is invalid") from None
    if algorithm != _RSA_OID:
        raise UnusableKey("is not an RSA key")
    return octets
