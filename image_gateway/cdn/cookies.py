"""CloudFront signed cookies. Each image gets its own set, scoped by the Path attribute.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-setting-signed-cookie-custom-policy.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from werkzeug.http import http_date

from image_gateway.cdn.signer import SignedPolicy


@dataclass(frozen=True)
class CookieRules:
    """Cookie attributes from the settings."""

    same_site: str
    partitioned: bool
    domain: str | None


@dataclass(frozen=True)
class SignedCookie:
    """A cookie; `attributes` are formatted for Set-Cookie."""

    name: str
    value: str = field(repr=False)
    attributes: tuple[str, ...]

    def as_header(self) -> str:
        """Return the value of a Set-Cookie header."""
        return "; ".join((f"{self.name}={self.value}", *self.attributes))


def make_cookies(policy: SignedPolicy, path: str, rules: CookieRules) -> tuple[SignedCookie, ...]:
    """Return the cookies that send `policy` to all URLs under `path`, which must end with a slash."""
    attributes = cookie_attributes(path, policy.expires_at, rules, secure=True)
    return tuple(SignedCookie(name, value, attributes) for name, value in policy.cookie_values().items())


def cookie_attributes(
    path: str, expires_at: datetime, rules: CookieRules, *, secure: bool
) -> tuple[str, ...]:
    """Return the Set-Cookie attributes of a cookie for all URLs under `path`."""
    attributes = [f"Path={path}", *(["Secure"] if secure else []), "HttpOnly", f"SameSite={rules.same_site}"]
    if rules.partitioned:
        attributes.append("Partitioned")
    if rules.domain:
        attributes.append(f"Domain={rules.domain}")
    return (*attributes, f"Expires={http_date(expires_at)}")
