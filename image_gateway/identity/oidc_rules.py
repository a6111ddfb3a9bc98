"""Which tokens are believed, and what is read from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from image_gateway.identity.oidc_errors import OidcUnusable

DEFAULT_ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "EdDSA",
)


@dataclass(frozen=True)
class OidcRules:
    """What a token must say; `leeway` in seconds.

    Without `jwks_url` the keys are discovered from the issuer. `admin_claim` is the name of a claim that
    must be true, or name=value. Dots in a claim's name descend into objects, unless the whole name is there.
    Raises OidcUnusable for rules that would believe no token, or one signed with a shared secret.
    """

    issuer: str
    audience: tuple[str, ...]
    jwks_url: str | None = field(default=None, repr=False)
    user_claim: str = "sub"
    admin_claim: str | None = None
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    leeway: int = 30

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise OidcUnusable("needs an issuer and an audience")
        if not self.algorithms or not set(self.algorithms) <= set(DEFAULT_ALGORITHMS):
            raise OidcUnusable(f"takes only the algorithms {', '.join(DEFAULT_ALGORITHMS)}")
        name, equals, value = (self.admin_claim or "none").partition("=")
        if not name or (equals and not value):
            raise OidcUnusable("needs an admin claim like name or name=value")


@dataclass(frozen=True)
class Identity:
    """Who the caller is, as the issuer says."""

    user: str
    admin: bool
