"""RSA-SHA1 signatures by `cryptography` if it is installed, otherwise by the pure-Python `rsa`."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, repr=False)
class KeyPair:
    """An RSA key: `sign` and `verify` use PKCS#1 v1.5 with SHA-1; `bits` is the size of the modulus."""

    sign: Sign
    verify: Callable[[bytes, bytes], bool]
    bits: int


def load_key_pair(pkcs1_der: bytes) -> KeyPair:
    """Load a PKCS#1 DER key with the fastest installed library. Raises ValueError if it is not an RSA key."""
    if importlib.util.find_spec("cryptography"):
        return load_by_cryptography(pkcs1_der)
    return load_by_rsa(pkcs1_der)


def load_by_rsa(pkcs1_der: bytes) -> KeyPair:
    """Load a key with `rsa`, which takes about 20 ms per signature and holds the GIL."""
    import rsa

    try:
        with warnings.catch_warnings():
            # A damaged key loads with a warning; the caller detects it by a test signature.
            warnings.simplefilter("ignore")
            private = rsa.PrivateKey.load_pkcs1(pkcs1_der, "DER")
    except Exception:  # noqa: BLE001  # pyasn1 raises many types, with key bytes in the message
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
    """Load a key with `cryptography`, which takes about 0.3 ms per signature and releases the GIL."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        private = serialization.load_der_private_key(pkcs1_der, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("not a PKCS#1 RSA key") from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    # CloudFront verifies cookies and URLs without a Hash-Algorithm parameter with SHA-1.
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
