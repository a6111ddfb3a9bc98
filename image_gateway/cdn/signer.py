"""Signs CloudFront custom policies for an image's prefix; used in signed URLs and signed cookies.

One signature covers an image version for one time bucket: the disk, its manifest and all chunks.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-custom-policy.html
"""

from __future__ import annotations

import base64
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from image_gateway.cdn.backends import Sign
from image_gateway.observability.metrics import SIGNATURES_MADE, SIGNATURES_REUSED

BUCKETS_PER_LIFETIME = 12
MAX_CACHED_POLICIES = 4096
_RESOURCE = re.compile(r"https://[A-Za-z0-9._~:/-]+/\*", re.ASCII)
_URL_SAFE = bytes.maketrans(b"+=/", b"-_~")


@dataclass(frozen=True)
class SignedPolicy:
    """A signed CloudFront policy: read access to one prefix until `expires_at` (aware UTC)."""

    policy: str = field(repr=False)
    signature: str = field(repr=False)
    key_pair_id: str
    expires_at: datetime

    def sign_url(self, url: str) -> str:
        """Return `url` with this policy in its query string; `url` must not have a query string."""
        query = {"Policy": self.policy, "Signature": self.signature, "Key-Pair-Id": self.key_pair_id}
        return f"{url}?{urlencode(query, safe='~')}"

    def cookie_values(self) -> dict[str, str]:
        """Return the names and values of the CloudFront cookies."""
        return {
            "CloudFront-Policy": self.policy,
            "CloudFront-Signature": self.signature,
            "CloudFront-Key-Pair-Id": self.key_pair_id,
        }


class CloudFrontSigner:
    """Signs policies that grant read access to a URL prefix for at least `lifetime` seconds.

    The expiry is rounded up to a bucket of a twelfth of the lifetime. All threads reuse one signature for
    each prefix and bucket.
    """

    def __init__(self, key_pair_id: str, sign: Sign, lifetime: int, clock: Callable[[], float]) -> None:
        self._key_pair_id = key_pair_id
        self._sign = sign
        self._lifetime = lifetime
        self._bucket = max(1, lifetime // BUCKETS_PER_LIFETIME)
        self._clock = clock
        self._lock = threading.Lock()
        self._policies: OrderedDict[tuple[str, int], SignedPolicy] = OrderedDict()

    def with_clock(self, clock: Callable[[], float]) -> CloudFrontSigner:
        """Return a signer with the same key that takes the time from another clock."""
        return CloudFrontSigner(self._key_pair_id, self._sign, self._lifetime, clock)

    def sign_policy(self, prefix_url: str) -> SignedPolicy:
        """Return the policy for `<prefix_url>/*`; `prefix_url` has no trailing slash and no wildcard."""
        expires = self._round_up(math.ceil(self._clock()) + self._lifetime)
        with self._lock:
            key = (prefix_url, expires)
            policy = self._policies.get(key)
            if policy is None:
                policy = self._policies[key] = self._make(prefix_url, expires)
                SIGNATURES_MADE.inc()
            else:
                SIGNATURES_REUSED.inc()
            self._policies.move_to_end(key)
            while len(self._policies) > MAX_CACHED_POLICIES:
                self._policies.popitem(last=False)
        return policy

    def _round_up(self, seconds: int) -> int:
        return -(-seconds // self._bucket) * self._bucket

    def _make(self, prefix_url: str, expires: int) -> SignedPolicy:
        policy = make_policy(f"{prefix_url}/*", expires)
        return SignedPolicy(
            policy=_encode(policy),
            signature=_encode(self._sign(policy)),
            key_pair_id=self._key_pair_id,
            expires_at=datetime.fromtimestamp(expires, UTC),
        )


def make_policy(resource: str, expires: int) -> bytes:
    """Return the exact bytes of a custom policy: one statement, no white space, expiry in epoch seconds.

    Raises:
        ValueError: The resource has a wildcard before its end, or characters that are not plain in a URL.
    """
    if not _RESOURCE.fullmatch(resource):
        raise ValueError(
            "a resource may contain only unreserved URL characters, and a wildcard only as its last character"
        )
    condition = f'{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}'
    return f'{{"Statement":[{{"Resource":"{resource}","Condition":{condition}}}]}}'.encode()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).translate(_URL_SAFE).decode()
