"""Keys that must stop the start-up, with one clear line that holds nothing of the key."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from image_gateway.cdn.keys import UnusableKey, load_signing_key
from tests.cdn.pem import armour, chain, unarmour
from tests.support.keys import make_key

PKCS1, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


def pem(key: object, form: PrivateFormat, password: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()  # type: ignore[attr-defined]


def refusal(text: str) -> str:
    """The message; fails when it, or any error behind it, holds 12 characters of the key."""
    with pytest.raises(UnusableKey) as caught:
        load_signing_key(text)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    told = "\n".join(line for error in chain(caught.value) for line in traceback.format_exception_only(error))
    body = "".join(line for line in text.splitlines() if "-----" not in line and ":" not in line)
    assert not any(body[start : start + 12] in told for start in range(len(body) - 11))
    return message


def certificate(key: RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime(2024, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=9000))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def public(key: RSAPrivateKey, form: PublicFormat) -> str:
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def elliptic() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def cut(text: str, length: int) -> str:
    """PEM with whole lines and an END, but only so many bytes of the key."""
    label = "RSA PRIVATE KEY" if "RSA" in text else "PRIVATE KEY"
    return armour(unarmour(text)[:length], label)


# What it is → (how to make it, what the message says).
REFUSED: dict[str, tuple[Callable[[RSAPrivateKey], str], str]] = {
    "encrypted PKCS#8": (lambda key: pem(key, PKCS8, b"secret"), "is encrypted"),
    "encrypted PKCS#1": (lambda key: pem(key, PKCS1, b"secret"), "is encrypted"),
    "EC, PKCS#8": (lambda _: pem(elliptic(), PKCS8), "is not an RSA key"),
    "EC, SEC 1": (lambda _: pem(elliptic(), PKCS1), "is a EC PRIVATE KEY, not an RSA private key"),
    "Ed25519": (lambda _: pem(ed25519.Ed25519PrivateKey.generate(), PKCS8), "is not an RSA key"),
    "public key": (lambda key: public(key, PublicFormat.SubjectPublicKeyInfo), "is a PUBLIC KEY"),
    "PKCS#1 public key": (lambda key: public(key, PublicFormat.PKCS1), "is a RSA PUBLIC KEY"),
    "certificate": (certificate, "is a CERTIFICATE"),
    "1024 bits": (lambda _: pem(make_key(1024), PKCS8), "has 1024 bits"),
    "3072 bits": (lambda _: pem(make_key(3072), PKCS1), "has 3072 bits"),
    "4096 bits": (lambda _: pem(make_key(4096), PKCS8), "has 4096 bits"),
    "no END": (lambda key: pem(key, PKCS8)[:-30], "is truncated"),
    "half": (lambda key: pem(key, PKCS1)[:800], "is truncated"),
    "first line only": (lambda key: pem(key, PKCS8).splitlines()[0], "is truncated"),
    "another END": (lambda key: pem(key, PKCS8).replace("END PRIVATE", "END RSA PRIVATE"), "is truncated"),
    "a line lost, PKCS#1": (lambda key: without_line(pem(key, PKCS1), 9), "is damaged"),
    "a line lost, PKCS#8": (lambda key: without_line(pem(key, PKCS8), 9), "is damaged"),
    "last byte lost, PKCS#1": (lambda key: cut(pem(key, PKCS1), -1), "is damaged"),
    "last byte lost, PKCS#8": (lambda key: cut(pem(key, PKCS8), -1), "is damaged"),
    "nothing inside, PKCS#1": (lambda key: cut(pem(key, PKCS1), 0), "is damaged"),
    "nothing inside, PKCS#8": (lambda key: cut(pem(key, PKCS8), 0), "is damaged"),
    "foreign character": (lambda key: swap(pem(key, PKCS8), 300, "!"), "its base64 is invalid"),
    "non-ASCII character": (lambda key: swap(pem(key, PKCS1), 300, "\u00e9"), "its base64 is invalid"),
    "a character lost": (lambda key: swap(pem(key, PKCS1), 300, ""), "its base64 is invalid"),
    "PKCS#1 called PKCS#8": (lambda key: armour(unarmour(pem(key, PKCS1)), "PRIVATE KEY"), "is "),
}
NO_PEM = {
    "empty": "",
    "white space": " \n",
    "quotes": '""',
    "no such file": "/nonexistent/key.pem",
    "a folder": "/",
    "a path with a NUL": "/tmp/\x00",
    "a home that does not exist": "~nobody-of-this-name/key.pem",
    "words": "my private key",
    "base64 of no PEM": "aGVsbG8gd29ybGQ=",
}


def without_line(text: str, number: int) -> str:
    lines = text.splitlines()
    return "\n".join(lines[:number] + lines[number + 1 :])


def swap(text: str, place: int, character: str) -> str:
    return text[:place] + character + text[place + 1 :]


@pytest.mark.usefixtures("any_back_end")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str, private_key: RSAPrivateKey) -> None:
    make, words = REFUSED[kind]
    assert words in refusal(make(private_key))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"\x30\x82\x04\xa4"], ids=["empty", "binary", "DER"]
)
def test_a_file_without_a_key(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    assert refusal(str(path)) == "is neither PEM text nor the path of a readable PEM file"
