"""Checks of the client with which browsers sign in at the OpenID Connect issuer."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.components import make_verifier, oidc_client_rules
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.errors import GatewayError
from image_gateway.identity.oidc_claims import OidcUnusable
from image_gateway.identity.oidc_keys import Discovery
from image_gateway.identity.oidc_sign_in import ClientRules, OidcSignIn
from image_gateway.routes.sessions import CALLBACK_PATH
from image_gateway.settings import Settings

SUBJECT = "oidc"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint")
# RFC 6749 §5.2 and §4.1.2.1. The first ones are what servers answer to a code that they have not issued.
_OF_KNOWN_CLIENTS = frozenset({"invalid_grant", "invalid_request", "redirect_uri_mismatch"})
_CODES = frozenset(
    {"unsupported_grant_type", "invalid_scope", "access_denied", "server_error", "temporarily_unavailable"}
)
_NO_SIGN_IN = "Nobody can sign in to the console."


def check_client(settings: Settings, discovery: Discovery) -> Iterator[Check]:
    """Check that the issuer supports the code flow with PKCE and knows the client of OIDC_CLIENT_ID."""
    rules = oidc_client_rules(settings)
    if rules is None:
        yield Check(SUBJECT, "client of browsers", skipped="OIDC_CLIENT_ID is not set")
        return
    missing = [name for name in _ENDPOINTS if not _is_url(discovery.get(name))]
    yield Check(SUBJECT, "endpoints", findings=_find_missing(missing))
    yield Check(SUBJECT, "PKCE", findings=_find_no_pkce(discovery.get("code_challenge_methods_supported")))
    if not missing:
        yield _try_client(settings, rules, discovery)


def _try_client(settings: Settings, rules: ClientRules, discovery: Discovery) -> Check:
    name = "client id and secret"
    verifier = make_verifier(settings)
    if verifier is None:
        return Check(SUBJECT, name, skipped="AUTH_MODE is not oidc")
    redirect_uri = f"{settings.public_url or 'https://images.example.com'}{CALLBACK_PATH}"
    try:
        sign_in = OidcSignIn(rules, verifier.for_audience(rules.client_id), lambda: discovery)
        code = sign_in.try_client(redirect_uri)
    except OidcUnusable as error:
        return Check(SUBJECT, name, findings=(_bad_token_endpoint(str(error)),))
    except GatewayError as error:
        return Check(SUBJECT, name, findings=(_bad_token_endpoint(error.message),))
    if code in ("invalid_client", "unauthorized_client"):
        return Check(SUBJECT, name, findings=(_refused_client(code, rules),))
    if code not in _OF_KNOWN_CLIENTS:
        return Check(SUBJECT, name, findings=(_bad_token_endpoint(_explain(code)),))
    register = redirect_uri if settings.public_url else f"{CALLBACK_PATH} of the gateway's public URL"
    return Check(SUBJECT, name, f"accepted; the redirect URI to register is {register}")


def _explain(code: str) -> str:
    if code in _CODES:
        return f"the error code is {code}"
    # It may repeat what was sent.
    return "there is no error code of a refused authorization code"


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))


def _find_missing(missing: list[str]) -> tuple[Finding, ...]:
    if not missing:
        return ()
    return (
        Finding(
            "oidc-no-endpoint",
            Severity.BROKEN,
            f"the discovery document has no usable {' and no usable '.join(missing)}",
            f"{_NO_SIGN_IN} See OpenID Connect Discovery §3.",
            "enable the authorization code flow at the issuer",
        ),
    )


def _find_no_pkce(methods: object) -> tuple[Finding, ...]:
    if isinstance(methods, list) and "S256" in methods:
        return ()
    is_listed = isinstance(methods, list)
    return (
        Finding(
            "oidc-no-pkce",
            Severity.BROKEN if is_listed else Severity.WARNING,
            "the issuer does not list S256 in code_challenge_methods_supported"
            if is_listed
            else "the discovery document has no code_challenge_methods_supported",
            "The gateway always sends a PKCE challenge of the method S256 (RFC 7636 §4.2); "
            "an issuer that ignores it does not protect the authorization code.",
            "enable PKCE with S256 for the client at the issuer",
        ),
    )


def _bad_token_endpoint(reason: str) -> Finding:
    return Finding(
        "oidc-token-endpoint",
        Severity.BROKEN,
        f"a sign-in with a made-up code was not answered as RFC 6749 §5.2 says: {reason}",
        _NO_SIGN_IN,
        "let this machine reach the token_endpoint of the discovery document, and enable the authorization "
        "code flow at the issuer",
    )


def _refused_client(code: str, rules: ClientRules) -> Finding:
    secret = "another OIDC_CLIENT_SECRET" if rules.client_secret else "OIDC_CLIENT_SECRET"
    return Finding(
        "oidc-client-refused",
        Severity.BROKEN,
        f"the issuer refuses OIDC_CLIENT_ID={rules.client_id} with {code}",
        _NO_SIGN_IN,
        f"set {secret} if the client is not a public one, correct OIDC_CLIENT_ID, "
        "and allow client_secret_basic for the client at the issuer",
    )
