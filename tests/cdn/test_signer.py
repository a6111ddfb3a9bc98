"""ShareRepository: exact policy bytes, one signature for an image and a time bucket, nothing of it told."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_gateway.cdn.backends import load_by_rsa
from image_gateway.cdn.signer import MAX_CACHED_POLICIES, CloudFrontSigner, SignedPolicy, make_policy
from tests.cdn.edge import decode

LIFETIME = 43_200
BUCKET = 3600
NOON = 1_704_110_400  # a multiple of the bucket
PREFIX = "https://d1.cloudfront.net/images/0a1b/image-1/v1"
unhurried = settings(deadline=None)


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class CountingSign:
    """Signs nothing, but counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.messages: list[bytes] = []

    def __call__(self, message: bytes) -> bytes:
        with self._lock:
            self.messages.append(message)
            return b"\xfb\xff\xfe" + len(self.messages).to_bytes(4)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign() -> CountingSign:
    return CountingSign()


@pytest.fixture
def signer(sign: CountingSign, clock: Clock) -> CloudFrontSigner:
    return CloudFrontSigner("K2JCJMDEHXQW5F", sign, LIFETIME, clock)


def test_the_exact_bytes_of_a_policy() -> None:
    assert make_policy(f"{PREFIX}/*", 1704153600) == (
        b'{"Statement":[{"Resource":"https://d1.cloudfront.net/images/0a1b/image-1/v1/*",'
        b'"Condition":{"DateLessThan":{"AWS:EpochTime":1704153600}}}]}'
    )


def test_a_policy_is_json_of_one_statement() -> None:
    condition = {"DateLessThan": {"AWS:EpochTime": 7}}
    expected = {"Statement": [{"Resource": f"{PREFIX}/*", "Condition": condition}]}
    assert json.loads(make_policy(f"{PREFIX}/*", 7)) == expected


@pytest.mark.parametrize(
    "resource",
    [
        *[f"https://d1/a{character}b/*" for character in '*?"\\\u00e9\n\x00'],
        *[f"https://d1/a{character}" for character in '?"\\\u00e9\n\x00'],
        "*://d1/*",
        "https://*.d1/*",
        "https://d1/**",
    ],
    ids=ascii,
)
def test_a_resource_that_means_more_than_it_says_is_refused(resource: str) -> None:
    with pytest.raises(ValueError, match="wildcard only as its last character"):
        make_policy(resource, 7)


@pytest.mark.parametrize("prefix", ["https://d1/a*b", "https://d1/a?b", 'https://d1/a"b', "*"])
def test_no_grant_over_a_prefix_with_wildcards(prefix: str, signer: CloudFrontSigner) -> None:
    with pytest.raises(ValueError, match="wildcard only"):
        signer.sign_policy(prefix)


def test_what_is_signed_is_what_is_sent(signer: CloudFrontSigner, sign: CountingSign) -> None:
    policy = signer.sign_policy(PREFIX)
    assert [decode(policy.policy)] == sign.messages == [make_policy(f"{PREFIX}/*", NOON + LIFETIME)]
    assert decode(policy.signature) == b"\xfb\xff\xfe\x00\x00\x00\x01"
    assert policy.key_pair_id == "K2JCJMDEHXQW5F"
    assert policy.expires_at.timestamp() == NOON + LIFETIME
    assert policy.expires_at.utcoffset() is not None


def test_a_signed_url_needs_no_quoting_and_holds_no_dot(signer: CloudFrontSigner) -> None:
    policy = signer.sign_policy(PREFIX)
    url, _, query = policy.sign_url(f"{PREFIX}/disk.img").partition("?")
    assert url == f"{PREFIX}/disk.img"
    assert query == f"Policy={policy.policy}&Signature={policy.signature}&Key-Pair-Id=K2JCJMDEHXQW5F"
    assert not set(query) & set(".%+/ ")


def test_a_grant_does_not_show_itself(signer: CloudFrontSigner) -> None:
    policy = signer.sign_policy(PREFIX)
    assert policy.policy not in f"{policy!r} {policy} {[policy]}"
    assert policy.signature not in f"{policy!r} {policy} {[policy]}"


@unhurried
@given(
    now=st.integers(0, 4_000_000_000) | st.floats(0, 4_000_000_000),
    lifetime=st.integers(60, 604_800),
)
def test_a_grant_lasts_the_lifetime_and_at_most_a_bucket_more(now: float, lifetime: int) -> None:
    policy = CloudFrontSigner("K", CountingSign(), lifetime, Clock(now)).sign_policy(PREFIX)
    assert now + lifetime <= policy.expires_at.timestamp() <= now + lifetime + lifetime // 12


def test_a_thousand_grants_in_a_bucket_make_one_signature(
    signer: CloudFrontSigner, sign: CountingSign, clock: Clock
) -> None:
    clock.now = NOON + 1
    first = signer.sign_policy(PREFIX)
    for step in range(1, 1001):
        clock.now = NOON + 1 + step * (BUCKET - 1) / 1001
        assert signer.sign_policy(PREFIX) is first
    assert len(sign.messages) == 1


def test_sixteen_threads_share_one_signature(pkcs1_der: bytes, clock: Clock) -> None:
    """Signed by `rsa`: slow enough for all the threads to arrive before the signature is there."""
    count, slow = CountingSign(), load_by_rsa(pkcs1_der).sign
    signer = CloudFrontSigner("K", lambda message: slow(count(message) + message), LIFETIME, clock)
    start = threading.Barrier(16)

    def ask(_: int) -> list[SignedPolicy]:
        start.wait(30)
        return [signer.sign_policy(PREFIX) for _ in range(63)]

    with ThreadPoolExecutor(16) as pool:
        grants = [policy for batch in pool.map(ask, range(16)) for policy in batch]
    assert len(count.messages) == 1
    assert len(grants) == 1008
    assert len({id(policy) for policy in grants}) == 1


def test_a_new_bucket_makes_a_new_signature(
    signer: CloudFrontSigner, sign: CountingSign, clock: Clock
) -> None:
    expiries = []
    for clock.now in (NOON, NOON + 1, NOON + BUCKET, NOON + BUCKET + 1, NOON + 2 * BUCKET):
        expiries.append(int(signer.sign_policy(PREFIX).expires_at.timestamp()) - NOON - LIFETIME)
    assert expiries == [0, BUCKET, BUCKET, 2 * BUCKET, 2 * BUCKET]
    assert len(sign.messages) == 3


def test_each_prefix_has_its_own_signature(signer: CloudFrontSigner, sign: CountingSign) -> None:
    grants = {signer.sign_policy(f"{PREFIX}{number}").signature for number in range(50) for _ in range(3)}
    assert len(grants) == len(sign.messages) == 50


def test_the_cache_is_bounded_and_forgets_the_oldest(signer: CloudFrontSigner, sign: CountingSign) -> None:
    for number in range(MAX_CACHED_POLICIES):
        signer.sign_policy(f"{PREFIX}{number}")
    signer.sign_policy(f"{PREFIX}0")
    assert len(sign.messages) == MAX_CACHED_POLICIES
    signer.sign_policy(f"{PREFIX}-one-more")
    signer.sign_policy(f"{PREFIX}0")
    assert len(sign.messages) == MAX_CACHED_POLICIES + 1
    signer.sign_policy(f"{PREFIX}1")
    assert len(sign.messages) == MAX_CACHED_POLICIES + 2


def test_a_failed_signature_is_not_remembered(clock: Clock) -> None:
    answers = iter([OverflowError("no"), b"signature"])

    def sign(_: bytes) -> bytes:
        answer = next(answers)
        if isinstance(answer, OverflowError):
            raise answer
        return answer

    signer = CloudFrontSigner("K", sign, LIFETIME, clock)
    with pytest.raises(OverflowError, match="no"):
        signer.sign_policy(PREFIX)
    assert decode(signer.sign_policy(PREFIX).signature) == b"signature"
