"""A CloudFront private key in any common form → one function that signs bytes with it."""

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
    """The key cannot be used; the text says why and holds nothing of the key."""


def load_signing_key(text: str) -> Sign:
    """Return a function that signs bytes by RSA-SHA1 PKCS#1 v1.5, what CloudFront verifies.

    `text` is PEM (PKCS#1 or PKCS#8, real or literal `\\n` line ends, in quotes or with a BOM), base64
    of PEM, or the path of a file with one of those. Only RSA keys of 2048 bits are taken, as CloudFront
    documents. The key is tried out on one message, since a damaged key may load and sign garbage.
    Raises UnusableKey.
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
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
        raise UnusableKey(f"has {pair.bits} bits; CloudFront takes RSA keys of {REQUIRED_BITS} bits")
    try:
        verified = pair.verify(_TEST_MESSAGE, pair.sign(_TEST_MESSAGE))
    except (ValueError, ArithmeticError):
        raise UnusableKey("is damaged: it cannot sign") from None
    if not verified:
        raise UnusableKey("is damaged: what it signs does not verify")


def _find_pem(text: str) -> str:
    plain = _tidy(text)
    if "-----BEGIN" not in plain:
        plain = _tidy(_read_file(plain) or plain)
    if "-----BEGIN" not in plain:
        plain = _tidy(_decode_base64(plain) or "")
    if "-----BEGIN" not in plain:
        raise UnusableKey("is neither PEM text nor the path of a readable PEM file")
    return plain


def _tidy(text: str) -> str:
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
        raise UnusableKey("is cut off: the END line is missing or another")
    label, content = match[1], match[2]
    if label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in content:
        raise UnusableKey("is encrypted; store it without a passphrase")
    if label not in ("RSA PRIVATE KEY", "PRIVATE KEY"):
        raise UnusableKey(f"is a {label}, not an RSA private key")
    try:
        return base64.b64decode("".join(content.split()), validate=True), label
    except (binascii.Error, ValueError) as error:
        raise UnusableKey("is not valid PEM: its base64 is broken") from error


def _unwrap_pkcs8(der: bytes) -> bytes:
    """Return the PKCS#1 key inside a PKCS#8 PrivateKeyInfo (RFC 5208 §5)."""
    try:
        info, _ = decoder.decode(der)
        algorithm, octets = str(info[1][0]), bytes(info[2])
    except Exception:  # noqa: BLE001  # pyasn1 raises whatever it trips over, with the key's bytes in it
        raise UnusableKey("is damaged: its PKCS#8 structure cannot be read") from None
    if algorithm != _RSA_OID:
        raise UnusableKey("is not an RSA key")
    return octets
