"""What can go wrong with bearer tokens and their issuer's keys."""

from __future__ import annotations

from image_gateway.errors import Unauthenticated


class OidcUnusable(ValueError):
    """Tokens can never be checked as configured or installed; the text says why."""


class KeysUnobtainable(Exception):
    """One attempt to get the issuer's keys failed; the text names the host and the reason, nothing secret."""


def refuse(reason: str) -> Unauthenticated:
    """The answer to a bad token; `reason` is plain ASCII without quotes and holds nothing of the token.

    https://www.rfc-editor.org/rfc/rfc6750#section-3
    """
    challenge = f'Bearer error="invalid_token", error_description="{reason}"'
    return Unauthenticated(reason, headers={"WWW-Authenticate": challenge})
