"""Damage inside a key: noticed at start-up, whichever library reads it, and never quoted."""

from __future__ import annotations

import pytest

from image_gateway.cdn.backends import load_by_rsa
from image_gateway.cdn.keys import UnusableKey, load_signing_key
from tests.cdn.pem import HEADER, armour, flip, integers, tells, unarmour

NUMBERS = ["version", "n", "e", "d", "p", "q", "d mod p-1", "d mod q-1", "inverse of q"]
OTHER_TAGS = {"octet string": 0x02 ^ 0x04, "real": 0x02 ^ 0x09, "null": 0x02 ^ 0x05, "sequence": 0x02 ^ 0x30}


def refusal(der: bytes, label: str) -> UnusableKey:
    with pytest.raises(UnusableKey) as caught:
        load_signing_key(armour(der, label))
    return caught.value


def refuse(_: bytes) -> None:
    raise ValueError("no key is loaded here")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_flipped_bit_is_noticed(number: str, pkcs1_der: bytes) -> None:
    _, middle = integers(pkcs1_der)[NUMBERS.index(number)]
    assert "is damaged" in str(refusal(flip(pkcs1_der, middle, 1), "RSA PRIVATE KEY"))


@pytest.mark.parametrize("number", ["n", "e", "d"])
def test_a_flipped_bit_in_what_rsa_signs_with_is_noticed(
    number: str, pkcs1_der: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rsa` loads such a key and signs garbage; the trial signature tells."""
    monkeypatch.setattr("image_gateway.cdn.keys.load_key_pair", load_by_rsa)
    _, middle = integers(pkcs1_der)[NUMBERS.index(number)]
    assert "is damaged" in str(refusal(flip(pkcs1_der, middle, 1), "RSA PRIVATE KEY"))


@pytest.mark.usefixtures("any_back_end")
@pytest.mark.parametrize("number", NUMBERS[1:])
@pytest.mark.parametrize("tag", OTHER_TAGS)
def test_a_number_of_another_type_is_refused_and_not_told(tag: str, number: str, pkcs1_der: bytes) -> None:
    place, _ = integers(pkcs1_der)[NUMBERS.index(number)]
    error = refusal(flip(pkcs1_der, place, OTHER_TAGS[tag]), "RSA PRIVATE KEY")
    assert "is damaged" in str(error)
    assert not tells(error, pkcs1_der)


@pytest.mark.parametrize("place", range(HEADER))
def test_any_damage_to_the_pkcs8_wrapping_is_refused_and_not_told(
    place: int, pkcs8_pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.cdn.keys.load_key_pair", refuse)
    der = unarmour(pkcs8_pem)
    errors = [refusal(flip(der, place, bits), "PRIVATE KEY") for bits in range(1, 256)]
    assert not [bits for bits, error in enumerate(errors, start=1) if tells(error, der)]


@pytest.mark.usefixtures("any_back_end")
@pytest.mark.parametrize("place", range(0, 500, 50))
def test_bytes_lost_or_doubled_are_noticed(place: int, pkcs1_der: bytes) -> None:
    for der in (
        pkcs1_der[:place] + pkcs1_der[place + 3 :],
        pkcs1_der[: place + 3] + pkcs1_der[place:],
        pkcs1_der[:place],
    ):
        error = refusal(der, "RSA PRIVATE KEY")
        assert "is damaged" in str(error)
        assert not tells(error, pkcs1_der)
