"""Every secret has a shape or a name that the log does not let through, in time linear in the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_gateway.observability.masking import MASKED, mask, mask_fields, names_a_secret

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
PEM = "{0}BEGIN RSA PRIVATE KEY{0}\nMII{1}\n{1}\n{0}END RSA PRIVATE KEY{0}".format("-" * 5, SECRET)
CASES = [
    (f"/v1/l/igl~k1~{SECRET}~{SECRET}/disk.img", "/v1/l/igl~[masked]/disk.img"),
    (f"/v1/l/igl%7Ek1%7e{SECRET}%7E{SECRET}/disk.img", "/v1/l/igl%7E[masked]/disk.img"),
    (f"?next=%2Fv1%2Fl%2Figl%257Ek1%257E{SECRET}", "?next=%2Fv1%2Fl%2Figl%257E[masked]"),
    (f"redeemed igs_{SECRET}.", "redeemed igs_[masked]."),
    (f"igs_%s eyJhbGciOiJIUzI1NiJ9.eyJ{SECRET}.{SECRET}!", "igs_%s eyJ[masked]!"),
    (f"eyJhbGciOiJub25lIn0.eyJ{SECRET}", "eyJ[masked]"),
    ("eyJh.eyJz.c2Vj", "eyJ[masked]"),
    (f"/disk?X-Amz-Signature={SECRET}&partNumber=1", "/disk?X-Amz-Signature=[masked]&partNumber=1"),
    (f"x-amz-credential={SECRET}%2F2026%2Faws4_request&a=b", "x-amz-credential=[masked]&a=b"),
    (f"X-Amz-Security-Token={SECRET}", "X-Amz-Security-Token=[masked]"),
    (f"X-Amz-Security-Token: {SECRET}", "X-Amz-Security-Token: [masked]"),
    (
        f"u=https%3A%2F%2Fs3%2F%3FX-Amz-Signature%3D{SECRET}",
        "u=https%3A%2F%2Fs3%2F%3FX-Amz-Signature%3D[masked]",
    ),
    (
        f"?Policy={SECRET}&Signature={SECRET}&Key-Pair-Id=K1",
        "?Policy=[masked]&Signature=[masked]&Key-Pair-Id=[masked]",
    ),
    (f"/v1?token={SECRET}&x=1 HTTP/1.1", "/v1?token=[masked]&x=1 HTTP/1.1"),
    (f"access_token={SECRET}", "access_token=[masked]"),
    (f"aws_secret_access_key={SECRET}", "aws_secret_access_key=[masked]"),
    (f'{{"token": "{SECRET}", "a": 1}}', '{"token": "[masked]", "a": 1}'),
    (f"{{'password': '{SECRET}'}}", "{'password': '[masked]'}"),
    (f'"{{\\"token\\":\\"{SECRET}\\"}}"', '"{\\"token\\":\\"[masked]\\"}"'),
    (f"CloudFront-Policy={SECRET}; Path=/images", "CloudFront-Policy=[masked]; Path=/images"),
    (f"CloudFront-Key-Pair-Id={SECRET}", "CloudFront-Key-Pair-Id=[masked]"),
    (f"Set-Cookie: ImageLease={SECRET}; Secure", "Set-Cookie: ImageLease=[masked]; Secure"),
    (
        f'Cookie: theme=dark; __Host-ImageLease-2="{SECRET}"',
        'Cookie: theme=dark; __Host-ImageLease-2="[masked]"',
    ),
    (f"Authorization: Bearer {SECRET}", "Authorization: Bearer [masked]"),
    (f"Authorization: Basic {SECRET}==\nHost: x", "Authorization: Basic [masked]\nHost: x"),
    (f"authorization: AWS4-HMAC-SHA256 Credential=A, Signature={SECRET}", "authorization: [masked]"),
    (f"{{'Authorization': b'AWS4 {SECRET}', 'a': 1}}", "{'Authorization': b'[masked]', 'a': 1}"),
    (f"sent bearer {SECRET}, refused", "sent bearer [masked], refused"),
    (f"('Authorization', 'Bearer {SECRET}')", "('Authorization', 'Bearer [masked]')"),
    (f"?q=Bearer%20{SECRET}", "?q=Bearer%20[masked]"),
    (f"token=Bearer {SECRET}", "token=[masked] [masked]"),
    (f"key is {PEM} here", "key is -----BEGIN RSA PRIVATE KEY[masked] here"),
    (PEM.replace("\n", "\\n"), "-----BEGIN RSA PRIVATE KEY[masked]"),
    (PEM[:60], "-----BEGIN RSA PRIVATE KEY[masked]"),
    (f"LEASE_KEYS=k1:{SECRET}&',k2:{SECRET}", "LEASE_KEYS=[masked]"),
    (f"{{'LEASE_KEYS': 'k1:{SECRET}'}}", "{'LEASE_KEYS':[masked]"),
    (f"postgresql+psycopg://me:{SECRET}@db/images", "postgresql+psycopg://me:[masked]@db/images"),
]
PLAIN = [
    "",
    "request",
    "igl~",
    "igs_short",
    "/v1/images/00000000-0000-4000-8000-000000000000/range",
    "send a bearer token",
    "the bearer tokens' audience",
    "Policy of the house: none",
    "token: expired",
    "a sign: http://127.0.0.1:3000/v1/images?state=complete&limit=2",
    "GET /v1/images?cursor=abc HTTP/1.1",
    "Authorization is missing",
]
# Words that begin or end what is masked, in any order: where rules could disturb each other.
WORDS = st.sampled_from(
    [
        *(
            "igl",
            "~",
            "%7E",
            "%25",
            "igs_",
            "eyJ",
            ".eyJ",
            "token",
            "=",
            "%3D",
            ": ",
            '"',
            "\\",
            "'",
            " ",
            "&",
            ";",
        ),
        *("bearer", "basic ", "Authorization", "X-Amz-Signature", "ImageLease", "CloudFront-", "Policy"),
        *("LEASE_KEYS", "-----BEGIN ", "-----END ", "KEY-----", "://", "a:", "@", "/", "\n", "[", "b", ","),
        MASKED,
    ]
)


@pytest.mark.parametrize(("text", "expected"), CASES, ids=lambda text: str(text)[:30])
def test_secrets_are_masked(text: str, expected: str) -> None:
    assert mask(text) == expected
    assert SECRET not in mask(text.replace("\n", " "))


@pytest.mark.parametrize("text", PLAIN)
def test_the_rest_is_left_alone(text: str) -> None:
    assert mask(text) == text


@given(st.one_of(st.text(), st.lists(st.one_of(WORDS, st.text(max_size=9))).map("".join)))
@settings(max_examples=1000, deadline=None)
def test_masking_twice_changes_nothing(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@given(st.sampled_from(CASES), st.text(max_size=40), st.text(max_size=40))
def test_no_surroundings_let_a_secret_through(case: tuple[str, str], before: str, after: str) -> None:
    assert SECRET not in mask(f"{before} {case[0]} {after}")


@given(st.lists(WORDS, min_size=1, max_size=4).map("".join))
@settings(max_examples=100, deadline=None)
def test_time_is_linear(word: str) -> None:
    text = word * (120_000 // len(word))
    began = time.process_time()
    mask(text)
    assert time.process_time() - began < 1


def test_fields_are_masked_by_name_and_by_shape() -> None:
    fields = {
        "token": "abc",
        "tokens": 3,
        "url": f"/?token={SECRET}",
        "nested": {"Cookie": "a=b", f"igs_{SECRET}": [f"igs_{SECRET}", 1.5, None, True]},
        "path": ValueError(f"igs_{SECRET}"),
    }
    assert mask_fields(fields) == {
        "token": MASKED,
        "tokens": 3,
        "url": "/?token=[masked]",
        "nested": {"Cookie": MASKED, "igs_[masked]": ["igs_[masked]", 1.5, None, True]},
        "path": "igs_[masked]",
    }


@pytest.mark.parametrize("name", ["{authorization}i", "HTTP_COOKIE", "set-cookie", "X-Amz-Security-Token"])
def test_names_of_secrets(name: str) -> None:
    assert names_a_secret(name)
    assert not names_a_secret("{user-agent}i")
