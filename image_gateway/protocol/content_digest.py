"""The Content-Digest header field (RFC 9530)."""

from __future__ import annotations

import base64
import binascii
import re

_SHA256_BYTES = 32
# A dictionary of byte sequences (RFC 9651 §3.2 and §3.3.5); parameters are allowed, and mean nothing here.
_MEMBER = re.compile(
    r"(?P<key>[a-z*][a-z0-9_.*-]*)=:(?P<value>[A-Za-z0-9+/]*={0,2}):(;[ ]*[a-z*][^,;]*)*", re.ASCII
)


def parse_content_digest(header: str) -> bytes | None:
    """Return the SHA-256 in a Content-Digest; None if it has only digests of other algorithms.

    Raises:
        ValueError: The header is malformed, or what it calls a SHA-256 has not 32 bytes.
    """
    found: bytes | None = None
    for text in header.split(","):
        member = _MEMBER.fullmatch(text.strip(" \t"))
        if member is None:
            raise ValueError("it must be sha-256=:BASE64:, the SHA-256 in base64 between colons")
        if member["key"] == "sha-256":
            found = _decode_sha256(member["value"])
    return found


def _decode_sha256(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("sha-256 is not valid base64") from error
    if len(digest) != _SHA256_BYTES:
        raise ValueError(f"sha-256 has {len(digest)} bytes instead of {_SHA256_BYTES}")
    return digest
