"""What CloudFront does with a signed request, written from its documentation alone.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-custom-policy.html
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_SHA1_PREFIX = bytes.fromhex("3021300906052b0e03021a05000414")  # DigestInfo of SHA-1, RFC 8017 §9.2
_TO_BASE64 = str.maketrans("-_~", "+=/")


@dataclass(frozen=True)
class Edge:
    """An edge location that trusts one key."""

    key_pair_id: str
    public_key: RSAPublicKey

    def admits_url(self, signed_url: str, now: float) -> bool:
        url, _, query = signed_url.partition("?")
        return self._admits(url, dict(parse_qsl(query, strict_parsing=True)), now)

    def admits_cookies(self, url: str, cookies: Mapping[str, str], now: float) -> bool:
        prefix = "CloudFront-"
        named = {
            name.removeprefix(prefix): value for name, value in cookies.items() if name.startswith(prefix)
        }
        return self._admits(url, named, now)

    def _admits(self, url: str, sent: Mapping[str, str], now: float) -> bool:
        if set(sent) != {"Policy", "Signature", "Key-Pair-Id"} or sent["Key-Pair-Id"] != self.key_pair_id:
            return False
        policy = decode(sent["Policy"])
        if not self._verifies(policy, decode(sent["Signature"])):
            return False
        (statement,) = json.loads(policy)["Statement"]
        condition = statement["Condition"]
        if set(condition) != {"DateLessThan"}:
            return False
        return matches(statement["Resource"], url) and now < condition["DateLessThan"]["AWS:EpochTime"]

    def _verifies(self, message: bytes, signature: bytes) -> bool:
        """RSASSA-PKCS1-v1_5 by plain arithmetic (RFC 8017 §8.2.2)."""
        numbers = self.public_key.public_numbers()
        length = self.public_key.key_size // 8
        ending = b"\x00" + _SHA1_PREFIX + sha1(message, usedforsecurity=False).digest()
        expected = (b"\x00\x01").ljust(length - len(ending), b"\xff") + ending
        opened = pow(int.from_bytes(signature), numbers.e, numbers.n)
        return len(signature) == length and opened.to_bytes(length) == expected


def decode(text: str) -> bytes:
    """Undo CloudFront's base64 alphabet; it knows no other characters."""
    assert re.fullmatch(r"[A-Za-z0-9_~-]+", text), "not in CloudFront's alphabet"
    return base64.b64decode(text.translate(_TO_BASE64), validate=True)


def matches(resource: str, url: str) -> bool:
    """`*` is any number of characters, `?` is one, each inside one part of the URL."""
    wanted, asked = urlsplit(resource), urlsplit(url)
    return (
        wanted.scheme == asked.scheme
        and _fits(wanted.netloc, asked.netloc)
        and _fits(wanted.path, asked.path)
    )


def _fits(pattern: str, text: str) -> bool:
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, text, re.DOTALL) is not None
