"""The issuer rotates its keys, goes away and comes back; nothing is restarted for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from image_gateway.errors import IdentityUnavailable, Unauthenticated
from image_gateway.identity.oidc import Identity, OidcRules, OidcVerifier
from image_gateway.identity.oidc_keys import COOLDOWN_SECONDS, LIFETIME_SECONDS
from tests.support.oidc_provider import AUDIENCE, JWKS_PATH, Answer, Key, OidcProvider, make_private_key

ALICE = Identity("alice", False)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(clock: Clock) -> Iterator[OidcProvider]:
    with OidcProvider.start("ES256", clock) as provider:
        yield provider


@pytest.fixture
def verifier(provider: OidcProvider, clock: Clock) -> OidcVerifier:
    return OidcVerifier(OidcRules(provider.issuer, (AUDIENCE,)), clock)


def foreign_token(provider: OidcProvider, number: int = 0) -> str:
    return provider.token(key=Key(f"foreign-{number}", "ES256", make_private_key("ES256", 666)))


def assert_unknown(verifier: OidcVerifier, token: str) -> None:
    with pytest.raises(Unauthenticated, match="key id is unknown"):
        verifier.verify(token)


def test_a_rotation_needs_no_restart(provider: OidcProvider, verifier: OidcVerifier, clock: Clock) -> None:
    old = provider.token(exp=clock() + 3600)
    assert verifier.verify(old) == ALICE
    provider.rotate("RS256")
    assert_unknown(verifier, provider.token())
    clock.now += COOLDOWN_SECONDS
    assert verifier.verify(provider.token()) == ALICE
    assert verifier.verify(old) == ALICE
    assert provider.fetches == 2


def test_a_withdrawn_key_is_forgotten(provider: OidcProvider, verifier: OidcVerifier, clock: Clock) -> None:
    old = provider.token(exp=clock() + 3600)
    assert verifier.verify(old) == ALICE
    provider.rotate("ES256", keep=False)
    clock.now += LIFETIME_SECONDS
    assert_unknown(verifier, old)
    assert verifier.verify(provider.token()) == ALICE
    assert provider.fetches == 2


@pytest.mark.parametrize("named", [True, False])
def test_a_new_key_under_the_same_name_or_none(
    named: bool, provider: OidcProvider, verifier: OidcVerifier, clock: Clock
) -> None:
    headers = {"kid": "key-1" if named else ...}
    assert verifier.verify(provider.token(headers=headers)) == ALICE
    provider.rotate("ES256", keep=False)
    provider.published[0]["kid"] = "key-1"
    clock.now += COOLDOWN_SECONDS
    assert verifier.verify(provider.token(headers=headers)) == ALICE


def test_an_issuer_that_goes_away_and_comes_back(
    provider: OidcProvider, verifier: OidcVerifier, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert verifier.verify(provider.token()) == ALICE
    provider.down()
    clock.now += 30 * 86_400
    started = time.monotonic()
    for number in range(100):
        assert verifier.verify(provider.token()) == ALICE
        assert_unknown(verifier, foreign_token(provider, number))
    # Waiting a second for each of the hundred would take longer, and the slowest machine less.
    assert time.monotonic() - started < 60
    assert caplog.messages == ["fetching the identity provider's keys failed: 127.0.0.1: Connection refused"]
    provider.up()
    provider.rotate("ES256")
    assert_unknown(verifier, provider.token())
    clock.now += COOLDOWN_SECONDS
    assert verifier.verify(provider.token()) == ALICE


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=500),
        Answer(status=404),
        Answer(b""),
        Answer(b"<html>"),
        Answer(b"{}"),
        Answer(b'{"keys": []}'),
        Answer(b'{"keys": [{"kty": "oct", "k": "AA"}]}'),
        Answer(b'{"keys": []}', headers={"Content-Length": "99"}),
    ],
    ids=str,
)
def test_a_bad_answer_does_not_replace_good_keys(
    answer: Answer, provider: OidcProvider, verifier: OidcVerifier, clock: Clock
) -> None:
    assert verifier.verify(provider.token()) == ALICE
    provider.answers[JWKS_PATH] = answer
    clock.now += LIFETIME_SECONDS
    for _ in range(10):
        assert verifier.verify(provider.token()) == ALICE
    assert provider.fetches == 2
    provider.rotate("ES256", keep=False)
    provider.answers.clear()
    clock.now += COOLDOWN_SECONDS
    assert verifier.verify(provider.token()) == ALICE


def test_an_issuer_that_never_was_up(provider: OidcProvider, verifier: OidcVerifier, clock: Clock) -> None:
    provider.answers[JWKS_PATH] = Answer(status=503)
    for attempt in range(1, 4):
        for _ in range(50):
            with pytest.raises(IdentityUnavailable):
                verifier.verify(provider.token())
        assert provider.fetches == attempt
        clock.now += COOLDOWN_SECONDS
    provider.answers.clear()
    assert verifier.verify(provider.token()) == ALICE


def test_an_issuer_that_refuses_connections(
    provider: OidcProvider, verifier: OidcVerifier, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provider.down()
    for _ in range(50):
        with pytest.raises(IdentityUnavailable):
            verifier.verify(provider.token())
    assert len(caplog.messages) == 1
    provider.up()
    clock.now += COOLDOWN_SECONDS
    assert verifier.verify(provider.token()) == ALICE


def test_a_thousand_unknown_keys_cause_a_few_fetches(
    provider: OidcProvider, verifier: OidcVerifier, clock: Clock
) -> None:
    for number in range(1000):
        clock.now += 0.01  # ten seconds in all
        assert_unknown(verifier, foreign_token(provider, number))
    assert 2 <= provider.fetches <= 1 + 10 // COOLDOWN_SECONDS


def test_sixteen_threads_with_unknown_keys_cause_one_fetch(
    provider: OidcProvider, verifier: OidcVerifier, clock: Clock
) -> None:
    assert verifier.verify(provider.token()) == ALICE
    clock.now += COOLDOWN_SECONDS
    tokens = [foreign_token(provider, number) for number in range(1000)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda token: assert_unknown(verifier, token), tokens))
    assert provider.fetches == 2
    assert verifier.verify(provider.token()) == ALICE


def test_an_issuer_that_comes_back_is_noticed_before_the_next_token(
    provider: OidcProvider, verifier: OidcVerifier, clock: Clock
) -> None:
    provider.down()
    with pytest.raises(IdentityUnavailable):
        verifier.verify(provider.token())
    provider.up()
    clock.now += COOLDOWN_SECONDS
    deadline = time.monotonic() + 30
    while not provider.fetches:
        assert time.monotonic() < deadline, "the keys were not fetched"
    assert verifier.verify(provider.token()) == ALICE
    assert provider.fetches == 1
