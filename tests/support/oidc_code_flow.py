"""The authorization code flow with PKCE at a fake issuer, and ways in which it goes wrong.

RFC 6749 §4.1, RFC 7636, OpenID Connect Core §3.1, OpenID Connect RP-Initiated Logout.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlencode

from tests.support.oidc_provider import Answer, OidcProvider, Request

AUTHORIZATION_PATH = "/authorize"
TOKEN_PATH = "/token"
END_SESSION_PATH = "/end-session"
CLIENT_ID = "image-gateway-console"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_PAGE = """<!doctype html>
<html lang="en"><title>Issuer</title><link rel="icon" href="data:,"><h1>Issuer</h1>
<form method="post" action="{action}">{hidden}
<label>User <input name="user" required></label>
<button name="decision" value="approve">Sign in</button>
<button name="decision" value="deny" formnovalidate>Deny</button>
</form></html>
"""


@dataclass(frozen=True)
class _Grant:
    """What a code stands for."""

    user: str
    redirect_uri: str
    challenge: str
    nonce: str | None


class _Refused(Exception):
    """An error answer of the token endpoint: its code (RFC 6749 §5.2) and its HTTP status."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class CodeFlow:
    """Adds the code flow to an issuer, for one client that may return to `redirect_uris` and no other URI.

    What tests may change:
        user: Who signs in without being asked; None shows a page with a field `User` and two buttons.
        client_secret: None makes the client a public one.
        claims: Other claims of ID tokens; `...` leaves a claim out.
        redirect_changes: Other parameters of the redirect to the client, like `state`; `...` leaves one out.
        authorization_error: Every sign-in ends with this error, like `access_denied`.

    `OidcProvider.answers` makes an endpoint answer anything else, and `OidcProvider.holding` makes it slow.
    """

    def __init__(self, provider: OidcProvider, *, client_secret: str | None = None) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._grants: dict[str, _Grant] = {}
        self.client_id = CLIENT_ID
        self.client_secret = client_secret
        self.redirect_uris: set[str] = set()
        self.return_uris: set[str] = set()
        self.user: str | None = "alice"
        self.claims: dict[str, Any] = {}
        self.redirect_changes: dict[str, Any] = {}
        self.authorization_error: str | None = None
        self.refusals: list[str] = []
        self.sign_outs = 0
        provider.endpoints |= {
            ("GET", AUTHORIZATION_PATH): lambda request: self._authorize(request.query),
            ("POST", AUTHORIZATION_PATH): lambda request: self._authorize(request.form),
            ("POST", TOKEN_PATH): self._token,
            ("GET", END_SESSION_PATH): self._end_session,
        }
        provider.metadata |= {
            "authorization_endpoint": provider.issuer + AUTHORIZATION_PATH,
            "token_endpoint": provider.issuer + TOKEN_PATH,
            "end_session_endpoint": provider.issuer + END_SESSION_PATH,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid", "profile"],
            "id_token_signing_alg_values_supported": [provider.key.algorithm],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        }

    def environment(self) -> dict[str, str]:
        """The settings of a gateway that signs browsers in here."""
        settings = {
            "AUTH_MODE": "oidc",
            "OIDC_ISSUER": self._provider.issuer,
            "OIDC_AUDIENCE": "image-gateway",
            "OIDC_CLIENT_ID": self.client_id,
        }
        return settings | ({"OIDC_CLIENT_SECRET": self.client_secret} if self.client_secret else {})

    def register(self, gateway: str) -> None:
        """Let browsers come back to the gateway with this origin, after signing in and out."""
        self.redirect_uris.add(f"{gateway}/oauth/callback")
        self.return_uris.add(f"{gateway}/")

    def _authorize(self, asked: Mapping[str, str]) -> Answer:
        if asked.get("client_id") != self.client_id or asked.get("redirect_uri") not in self.redirect_uris:
            # Nobody is redirected to a URI that is not registered (RFC 6749 §4.1.2.1).
            self.refusals.append("invalid redirect_uri or client_id")
            return Answer(b"unknown client or redirect_uri", status=400)
        error = self.authorization_error or _authorization_error(asked)
        if error is not None:
            return self._redirect(asked, error=error)
        user = self.user or asked.get("user")
        if asked.get("decision") == "deny":
            return self._redirect(asked, error="access_denied")
        if not user:
            return _sign_in_page(asked)
        code = secrets.token_urlsafe(32)
        self._grants[code] = _Grant(user, asked["redirect_uri"], asked["code_challenge"], asked.get("nonce"))
        return self._redirect(asked, code=code)

    def _redirect(self, asked: Mapping[str, str], **parameters: str) -> Answer:
        if "error" in parameters:
            self.refusals.append(parameters["error"])
        state = {"state": asked["state"]} if "state" in asked else {}
        sent = {
            name: value
            for name, value in {**parameters, **state, **self.redirect_changes}.items()
            if value is not ...
        }
        return Answer(status=302, headers={"Location": f"{asked['redirect_uri']}?{urlencode(sent)}"})

    def _token(self, request: Request) -> Answer:
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        try:
            document = self._tokens_for(request)
        except _Refused as refused:
            self.refusals.append(refused.code)
            if refused.status == 401:
                headers["WWW-Authenticate"] = "Basic"
            return Answer(json.dumps({"error": refused.code}).encode(), refused.status, headers)
        return Answer(json.dumps(document).encode(), headers=headers)

    def _tokens_for(self, request: Request) -> dict[str, Any]:
        form = request.form
        self._check_client(request)
        if form.get("grant_type") != "authorization_code":
            raise _Refused("unsupported_grant_type")
        with self._lock:
            # Taken out even if what follows fails: a code is good for one try.
            grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or form.get("redirect_uri") != grant.redirect_uri:
            raise _Refused("invalid_grant")
        verifier = form.get("code_verifier", "")
        if not _VERIFIER.fullmatch(verifier) or s256(verifier) != grant.challenge:
            raise _Refused("invalid_grant")
        claims = {"aud": self.client_id, "nonce": ... if grant.nonce is None else grant.nonce, **self.claims}
        return {
            "access_token": secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "openid profile",
            "id_token": self._provider.token(grant.user, **claims),
        }

    def _check_client(self, request: Request) -> None:
        """Refuse any client but ours; its secret comes in the header or in the form, not in both."""
        form, header = request.form, request.headers.get("Authorization")
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if header is not None:
            if secret is not None:
                raise _Refused("invalid_request")
            client_id, secret = _basic_credentials(header)
        if client_id != self.client_id or secret != self.client_secret:
            raise _Refused("invalid_client", status=401)

    def _end_session(self, request: Request) -> Answer:
        self.sign_outs += 1
        target = request.query.get("post_logout_redirect_uri")
        if request.query.get("client_id") != self.client_id or target not in self.return_uris:
            return Answer(b"signed out", headers={"Content-Type": "text/plain"})
        return Answer(status=302, headers={"Location": target})


def s256(verifier: str) -> str:
    """The challenge of a code verifier (RFC 7636 §4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _authorization_error(asked: Mapping[str, str]) -> str | None:
    """The error with which a request for a code is refused, if any."""
    if asked.get("response_type") != "code":
        return "unsupported_response_type"
    if "openid" not in asked.get("scope", "").split():
        return "invalid_scope"
    if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(
        asked.get("code_challenge", "")
    ):
        return "invalid_request"
    return None


def _basic_credentials(header: str) -> tuple[str, str]:
    """The client's id and secret, which are form-encoded before they are joined (RFC 6749 §2.3.1)."""
    kind, _, encoded = header.partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise _Refused("invalid_client", status=401) from None
    if kind.lower() != "basic" or not colon:
        raise _Refused("invalid_client", status=401)
    return unquote_plus(user), unquote_plus(password)


def _sign_in_page(asked: Mapping[str, str]) -> Answer:
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in asked.items()
        if name not in ("user", "decision")
    )
    page = _PAGE.format(action=AUTHORIZATION_PATH, hidden=hidden)
    return Answer(page.encode(), headers={"Content-Type": "text/html; charset=utf-8"})
