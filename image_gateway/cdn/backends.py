"""RSA by `cryptography` where it is installed, else by the pure-Python `rsa`; both behind `Sign`."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, repr=False)
class KeyPair:
    """A loaded key: `sign` makes, `verify` checks RSA-SHA1 PKCS#1 v1.5 signatures; `bits` of the modulus."""

    sign: Sign
    verify: Callable[[bytes, bytes], bool]
    bits: int


def load_key_pair(pkcs1_der: bytes) -> KeyPair:
    """Load a PKCS#1 DER key by the fastest library at hand; ValueError when it is no RSA key."""
    if importlib.util.find_spec("cryptography"):
        return load_by_cryptography(pkcs1_der)
    return load_by_rsa(pkcs1_der)


def load_by_rsa(pkcs1_der: bytes) -> KeyPair:
    """Load by `rsa`: about 20 ms a signature, holding the GIL."""
    import rsa

    try:
        with warnings.catch_warnings():
            # A damaged key loads with a warning; the caller's trial signature settles it.
            warnings.simplefilter("ignore")
            private = rsa.PrivateKey.load_pkcs1(pkcs1_der, "DER")
    except Exception:  # noqa: BLE001  # pyasn1 raises whatever it trips over, with the key's bytes in it
        raise ValueError("not a PKCS#1 RSA key") from None
    public = rsa.PublicKey(private.n, private.e)

    def sign(message: bytes) -> bytes:
        signature: bytes = rsa.sign(message, private, "SHA-1")
        return signature

    def verify(message: bytes, signature: bytes) -> bool:
        try:
            return bool(rsa.verify(message, signature, public) == "SHA-1")
        except rsa.VerificationError:
            return False

    return KeyPair(sign, verify, private.n.bit_length())


def load_by_cryptography(pkcs1_der: bytes) -> KeyPair:
    """Load by `cryptography`: about 0.3 ms a signature, without the GIL."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        private = serialization.load_der_private_key(pkcs1_der, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("not a PKCS#1 RSA key") from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    # CloudFront's cookies and URLs without a Hash-Algorithm are verified by SHA-1; the choice is AWS's.
    sha1 = hashes.SHA1()  # noqa: S303

    def sign(message: bytes) -> bytes:
        return private.sign(message, padding.PKCS1v15(), sha1)

    def verify(message: bytes, signature: bytes) -> bool:
        try:
            private.public_key().verify(signature, message, padding.PKCS1v15(), sha1)
        except InvalidSignature:
            return False
        return True

    return KeyPair(sign, verify, private.key_size)
