"""What a rightly signed payload must say, and what is read from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from image_gateway.errors import Unauthenticated
from image_gateway.identity.oidc import Identity, OidcRules, OidcUnusable
from image_gateway.identity.oidc_claims import identity_of, read_claims

NOW = 1_800_000_000.0
LEEWAY = 30
ISSUER = "https://id.example.com/realm"


def read(rules: dict[str, Any] | None = None, **changes: Any) -> Identity:
    """Read the claims of a good token with these changes; a claim of `...` is left out."""
    claims = {"iss": ISSUER, "aud": "gateway", "sub": "alice", "exp": NOW + 60, **changes}
    payload = json.dumps({name: value for name, value in claims.items() if value is not ...})
    given = {"issuer": ISSUER, "audience": ("gateway", "other"), "leeway": LEEWAY, **(rules or {})}
    return identity_of(read_claims(payload.encode(), OidcRules(**given), NOW), OidcRules(**given))


def assert_refused(reason: str, rules: dict[str, Any] | None = None, **changes: Any) -> None:
    with pytest.raises(Unauthenticated, match=reason) as caught:
        read(rules, **changes)
    assert caught.value.headers == {
        "WWW-Authenticate": f'Bearer error="invalid_token", error_description="{caught.value.message}"'
    }


def test_a_good_token() -> None:
    assert read() == Identity("alice", False)


@pytest.mark.parametrize(
    "times",
    [
        {"exp": NOW - LEEWAY + 1},
        {"exp": NOW - LEEWAY + 0.5},
        {"nbf": NOW + LEEWAY},
        {"iat": NOW + LEEWAY},
        {"nbf": NOW - 1e9, "iat": NOW - 1e9},
        {"exp": 10**400},
        {"exp": 1e300},
        {"nbf": -(10**400)},
    ],
    ids=str,
)
def test_times_that_are_right_with_leeway(times: dict[str, Any]) -> None:
    assert read(**times).user == "alice"


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"exp": NOW - LEEWAY}, "has expired"),
        ({"exp": NOW - LEEWAY - 1}, "has expired"),
        ({"exp": 0}, "has expired"),
        ({"exp": ...}, "has no exp"),
        ({"nbf": NOW + LEEWAY + 1}, "not yet valid"),
        ({"iat": NOW + LEEWAY + 1}, "not yet valid"),
        ({"nbf": 10**400}, "not yet valid"),
        *[
            ({name: value}, "must be numbers")
            for name in ("exp", "nbf", "iat")
            for value in (None, True, "1900000000", [], {}, float("inf"), float("nan"))
        ],
    ],
    ids=str,
)
def test_times_that_are_wrong(times: dict[str, Any], reason: str) -> None:
    assert_refused(reason, **times)


@pytest.mark.parametrize("issuer", [..., None, "", f"{ISSUER}/", ISSUER.upper(), [ISSUER], {}, True, 1])
def test_another_issuer(issuer: object) -> None:
    assert_refused("wrong issuer", iss=issuer)


@pytest.mark.parametrize("audience", ["gateway", "other", ["gateway"], ["foreign", "other"]])
def test_our_audiences(audience: object) -> None:
    assert read(aud=audience).user == "alice"


@pytest.mark.parametrize(
    "audience",
    [
        ...,
        None,
        "",
        "foreign",
        "gateway other",
        "Gateway",
        [],
        ["foreign"],
        ["gateway", 1],
        [["gateway"]],
        {},
        1,
    ],
    ids=str,
)
def test_other_audiences(audience: object) -> None:
    assert_refused("wrong audience", aud=audience)


@pytest.mark.parametrize("user", ["a", "x" * 256, "auth0|5f7c", "José Ñandú", "a b"])
def test_users(user: str) -> None:
    assert read(sub=user).user == user


@pytest.mark.parametrize(
    "user",
    [..., None, "", "x" * 257, "a\nb", "a\x00", "\u202eecila", "\ud800", 7, True, ["alice"], {}],
    ids=ascii,
)
def test_no_usable_user(user: object) -> None:
    assert_refused("no usable user claim", sub=user)


def test_the_user_from_another_claim() -> None:
    assert read({"user_claim": "preferred_username"}, preferred_username="al").user == "al"
    assert read({"user_claim": "ext.id"}, ext={"id": "al"}).user == "al"
    assert read({"user_claim": "https://example.com/id"}, **{"https://example.com/id": "al"}).user == "al"
    assert_refused("no usable user claim", {"user_claim": "preferred_username"})


@pytest.mark.parametrize(
    ("rule", "claims", "admin"),
    [
        (None, {"admin": True}, False),
        ("admin", {"admin": True}, True),
        *[("admin", {"admin": value}, False) for value in (False, 1, "true", [True], {}, None, ...)],
        ("a.b", {"a": {"b": True}}, True),
        ("a.b", {"a.b": True}, True),
        ("a.b", {"a": True, "b": True}, False),
        ("a.b", {"a": [{"b": True}]}, False),
        ("role=admin", {"role": "admin"}, True),
        ("role=admin", {"role": ["user", "admin"]}, True),
        ("role=admin", {"role": "user admin"}, True),
        *[
            ("role=admin", {"role": value}, False)
            for value in ("administrator", "Admin", "admin\tx", "user,admin", "", True, 1, ["user admin"])
        ],
        *[("role=admin", {"role": value}, False) for value in ([["admin"]], {"admin": True}, None, ...)],
        ("role=a=b", {"role": "a=b"}, True),
        ("realm_access.roles=admin", {"realm_access": {"roles": ["admin"]}}, True),
        ("realm_access.roles=admin", {"realm_access": ["admin"]}, False),
        ("https://example.com/roles=admin", {"https://example.com/roles": ["admin"]}, True),
    ],
    ids=str,
)
def test_admins(rule: str | None, claims: dict[str, Any], admin: bool) -> None:
    assert read({"admin_claim": rule}, **claims) == Identity("alice", admin)


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff{}", b'{"exp":' + b"9" * 5000 + b"}", b"[" * 4000],
    ids=len,
)
def test_a_payload_that_is_no_object(payload: bytes) -> None:
    with pytest.raises(Unauthenticated, match="malformed"):
        read_claims(payload, OidcRules(ISSUER, ("gateway",)), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ""},
        {"audience": ()},
        {"algorithms": ()},
        {"algorithms": ("RS256", "HS256")},
        {"algorithms": ("none",)},
        {"admin_claim": "role="},
        {"admin_claim": "=admin"},
    ],
    ids=str,
)
def test_rules_that_make_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(OidcUnusable):
        OidcRules(**{"issuer": ISSUER, "audience": ("gateway",), **changes})
