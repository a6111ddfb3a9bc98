"""Lease tokens: what was not minted does not verify, and no key speaks for another."""

from __future__ import annotations

import base64
import json
import re
import string
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from image_gateway.identity.lease_tokens import (
    MAX_TOKEN,
    BadToken,
    LeaseClaims,
    LeaseKey,
    LeaseTokens,
    looks_like_lease,
)

ONE, TWO = LeaseKey("k1", "1" * 40), LeaseKey("k2", "2" * 40)
CLAIMS = LeaseClaims(
    lease_id="11111111-1111-4111-8111-111111111111",
    image_id="22222222-2222-4222-8222-222222222222",
    version="0123456789abcdef",
    scopes=("disk:read",),
    session_end=1_800_000_000,
)
OTHER = replace(CLAIMS, image_id="33333333-3333-4333-8333-333333333333")
TOKENS = LeaseTokens([ONE, TWO])
TOKEN = TOKENS.sign(CLAIMS)
ALPHABET = string.ascii_letters + string.digits + "-_~.=+/% \n\x00é٣"
PLACES = st.integers(0, len(TOKEN) - 1)


def verifies(token: str, tokens: LeaseTokens = TOKENS) -> bool:
    try:
        tokens.verify(token)
    except BadToken:
        return False
    return True


claims = st.builds(
    LeaseClaims,
    lease_id=st.uuids().map(str),
    image_id=st.uuids().map(str),
    version=st.text("0123456789abcdef", min_size=1, max_size=64),
    scopes=st.sampled_from([("disk:read",), ("disk:write",), ("disk:read", "disk:write")]),
    session_end=st.integers(0, 2**40),
)


@given(claims=claims)
@settings(max_examples=200)
def test_what_was_signed_comes_back_in_a_word_that_fits_into_a_path(claims: LeaseClaims) -> None:
    token = TOKENS.sign(claims)
    assert TOKENS.verify(token) == claims
    assert re.fullmatch(r"[A-Za-z0-9_~-]+", token)
    assert len(token) <= MAX_TOKEN
    assert looks_like_lease(token)


def test_signing_is_deterministic() -> None:
    assert LeaseTokens([ONE]).sign(CLAIMS) == TOKEN


def test_any_other_character_at_any_place() -> None:
    accepted = [
        (place, character)
        for place, character in product(range(len(TOKEN)), ALPHABET)
        if TOKEN[place] != character and verifies(TOKEN[:place] + character + TOKEN[place + 1 :])
    ]
    assert accepted == []


def test_any_character_left_out_or_put_in() -> None:
    assert not any(verifies(TOKEN[:place] + TOKEN[place + 1 :]) for place in range(len(TOKEN)))
    more = product(range(len(TOKEN) + 1), ALPHABET)
    assert not any(verifies(TOKEN[:place] + character + TOKEN[place:]) for place, character in more)


@given(one=PLACES, two=PLACES)
@settings(max_examples=200)
def test_two_characters_swapped(one: int, two: int) -> None:
    letters = list(TOKEN)
    letters[one], letters[two] = letters[two], letters[one]
    changed = "".join(letters)
    assume(changed != TOKEN)
    assert not verifies(changed)


@given(start=PLACES, end=st.integers(0, len(TOKEN)))
@settings(max_examples=200)
def test_a_part_of_it(start: int, end: int) -> None:
    assume((start, end) != (0, len(TOKEN)))
    assert not verifies(TOKEN[start:end])


@given(text=st.text(max_size=300) | st.text(string.ascii_letters + string.digits + "~-_", max_size=300))
@settings(max_examples=200)
@example("")
@example("igl~k1~~")
@example("igl~k1~e30~")
@example(f"{TOKEN}\n")
@example("x" * 10**6)
@example(f"igl~k1~{'A' * MAX_TOKEN}~x")
def test_text_that_was_never_minted(text: str) -> None:
    assert not verifies(text)
    assert not verifies(f"igl~k1~{text}")


@given(claims=claims, key_id=st.sampled_from(["k1", "k2", "k3", "", "K1", "k1 ", "../k1"]))
@settings(max_examples=200)
def test_claims_of_ones_own_under_a_signature_of_ours(claims: LeaseClaims, key_id: str) -> None:
    assume(claims != CLAIMS)
    prefix, _, _, signature = TOKEN.split("~")
    payload = TOKENS.sign(claims).split("~")[2]
    assert not verifies("~".join([prefix, key_id, payload, signature]))


@pytest.mark.parametrize("key_id", ["k2", "k3", "K1", "k", "k11", "-"])
def test_another_key_id_with_the_same_signature(key_id: str) -> None:
    assert not verifies(TOKEN.replace("~k1~", f"~{key_id}~"))


def test_parts_of_two_tokens_do_not_make_a_third() -> None:
    one, two = TOKEN.split("~"), TOKENS.sign(OTHER).split("~")
    made = {"~".join(parts) for parts in product(*zip(one, two, strict=True))}
    assert {token for token in made if verifies(token)} == {TOKEN, TOKENS.sign(OTHER)}


def test_the_first_key_signs_and_all_verify() -> None:
    old, rotated, dropped = LeaseTokens([ONE]), LeaseTokens([TWO, ONE]), LeaseTokens([TWO])
    assert rotated.verify(old.sign(CLAIMS)) == CLAIMS
    assert rotated.sign(CLAIMS).startswith("igl~k2~")
    assert not verifies(old.sign(CLAIMS), dropped)
    assert not verifies(rotated.sign(CLAIMS), old)


def test_the_same_id_with_another_secret_verifies_nothing() -> None:
    assert not verifies(TOKEN, LeaseTokens([LeaseKey("k1", "9" * 40)]))


def test_the_same_secret_under_another_id_verifies_nothing() -> None:
    assert not verifies(TOKEN.replace("~k1~", "~k9~"), LeaseTokens([LeaseKey("k9", ONE.secret)]))


@pytest.mark.parametrize(
    "document",
    [None, 1, "text", {}, [], [1] * 4, [1] * 6, ["a", "b", "c", None, 1], ["a", "b", "c", 5, 1]],
    ids=str,
)
def test_a_payload_of_another_program_is_no_lease(document: object) -> None:
    """Signed with our key, so only the shape is wrong."""
    from image_gateway.identity.lease_tokens import _make_signer

    payload = base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
    assert not verifies(_make_signer(ONE).sign(f"igl~k1~{payload}").decode())


@pytest.mark.parametrize("payload", ["A", "_w", "eA", "W10x"], ids=str)
def test_a_payload_that_is_no_json_is_no_lease(payload: str) -> None:
    from image_gateway.identity.lease_tokens import _make_signer

    assert not verifies(_make_signer(ONE).sign(f"igl~k1~{payload}").decode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [(TOKEN, True), ("igl~", True), ("igl", False), ("IGL~x", False), ("eyJhbGciOiJub25lIn0.e30.", False)],
)
def test_bearer_tokens_are_told_apart(text: str, expected: bool) -> None:
    assert looks_like_lease(text) is expected


def test_no_secret_is_shown() -> None:
    assert ONE.secret not in repr(ONE)
