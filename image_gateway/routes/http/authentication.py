"""Authenticates the caller of a request: by the configured mode, by a lease, or by a browser's session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from flask import Flask, current_app, g, request

from image_gateway.domain.callers import NOBODY, Caller
from image_gateway.domain.sessions import BrowserSession
from image_gateway.errors import BadRequest, Forbidden, GatewayError, LeaseExpired, Unauthenticated
from image_gateway.identity.lease_tokens import looks_like_lease
from image_gateway.identity.oidc import Identity
from image_gateway.observability.request_log import note
from image_gateway.routes.http.session_cookie import (
    comes_from_own_page,
    require_no_simple_request,
    session_cookie,
)
from image_gateway.services.leases import Leases
from image_gateway.services.sessions import Sessions
from image_gateway.services.stream_urls import LEASE_COOKIE

PUBLIC = "public"
MAX_USER_ID = 256
_EXTENSION = "image_gateway.identity"


class Verifier(Protocol):
    """Checks a bearer JWT; raises Unauthenticated."""

    def verify(self, token: str) -> Identity: ...


@dataclass(frozen=True)
class Authenticator:
    """The authentication mode dev, oidc or none; only oidc has a verifier.

    Raises ValueError for another mode, or one that lacks what it needs: none falls back to another.
    `on_refused` hears of each credential that was refused, and may raise TooManyRequests.
    """

    mode: str
    leases: Leases
    verifier: Verifier | None = None
    on_refused: Callable[[], None] = lambda: None
    sessions: Sessions | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("dev", "oidc", "none"):
            raise ValueError(f"unknown authentication mode {self.mode!r}")
        if (self.mode == "oidc") != (self.verifier is not None):
            raise ValueError("mode oidc requires a verifier; other modes do not accept one")


def install_identity(app: Flask, authenticator: Authenticator) -> None:
    """Use this authenticator for all requests of the app."""
    app.extensions[_EXTENSION] = authenticator


def asks_for_permission() -> bool:
    """Return whether nginx asks for a permission on behalf of a reader."""
    return bool(g.get("asks_for_permission"))


def current_caller() -> Caller:
    """Return the authenticated caller; raises Unauthenticated without credentials."""
    caller = current_visitor()
    if caller.is_nobody:
        raise Unauthenticated(_how_to_sign_in())
    return caller


def current_user() -> str:
    """Return the id of the user; raises Forbidden for a lease, which is no identity."""
    caller = current_caller()
    if caller.user is None:
        raise Forbidden("a lease only permits reading: authenticate as a user")
    return caller.user


def current_visitor() -> Caller:
    """Return the caller by identity or by a lease in the Authorization header, or NOBODY.

    What is sent and wrong is Unauthenticated, also where nothing would be needed.
    """
    found = _visitor_or_refusal()
    if isinstance(found, GatewayError):
        refuse(found)
    return found


def lease_cookie() -> str | None:
    """Return the lease in the cookie, or None."""
    return request.cookies.get(LEASE_COOKIE)


def lease_in_query() -> str | None:
    """Return the lease in the query string; None without one, or if there is an Authorization header."""
    token = request.args.get("token") if request.query_string else None
    return None if token is None or _bearer() is not None else token


def leased_caller(token: str) -> Caller:
    """Return the caller of a lease in the path or cookie; raises when the lease is not valid."""
    lease = _authenticator().leases.admit(token)
    note(lease=lease.lease_id)
    return Caller(lease=lease)


def lease_holder() -> Caller:
    """Return who renews or revokes: an identity, or a lease as bearer token, expired or not."""
    token = _bearer()
    if token is None or not looks_like_lease(token):
        return current_caller()
    try:
        return Caller(lease=_authenticator().leases.identify(token))
    except Unauthenticated as refusal:
        refuse(refusal)


def peek_caller() -> Caller:
    """Return the caller for rate limits: NOBODY when the credentials were refused."""
    found = _visitor_or_refusal()
    return NOBODY if isinstance(found, GatewayError) else found


def refuse(error: GatewayError) -> NoReturn:
    """Raise the error and count a refused credential, once per request.

    A lease that has lapsed is no guess: its signature was right.
    """
    is_guess = isinstance(error, Unauthenticated) and not isinstance(error, LeaseExpired)
    # nginx asks first and then passes the request on, which is counted.
    if is_guess and "refusal_counted" not in g and not asks_for_permission():
        g.refusal_counted = True
        _authenticator().on_refused()
    raise error


def _visitor_or_refusal() -> Caller | GatewayError:
    found: Caller | GatewayError | None = g.get("visitor")
    if found is None:
        try:
            found = _identify()
        except GatewayError as refusal:
            found = refusal
        g.visitor = found
    return found


def _authenticator() -> Authenticator:
    authenticator: Authenticator = current_app.extensions[_EXTENSION]
    return authenticator


def _identify() -> Caller:
    authenticator = _authenticator()
    token = _bearer()
    if token is not None and looks_like_lease(token):
        return leased_caller(token)
    if authenticator.mode == "none":
        return _known(Caller(PUBLIC))
    header = request.environ.get("HTTP_X_USER_ID")
    if authenticator.mode == "dev" and header is not None:
        return _known(Caller(_read_user_id(header)))
    if authenticator.verifier is not None and token is not None:
        identity = authenticator.verifier.verify(token)
        return _known(Caller(identity.user, identity.admin))
    return _by_session(authenticator.sessions)


def _by_session(sessions: Sessions | None) -> Caller:
    """Return the user of the browser's session, or NOBODY; Forbidden if the request may be forged."""
    session_id = session_cookie()
    if sessions is None or session_id is None or not comes_from_own_page():
        return NOBODY
    session = sessions.find(session_id)
    if session is None:
        return NOBODY
    require_no_simple_request(session_id)
    g.browser_session = session
    return _known(Caller(session.user, session.admin))


def current_session() -> BrowserSession | None:
    """Return the session by which the caller was authenticated, or None."""
    current_visitor()
    session: BrowserSession | None = g.get("browser_session")
    return session


def _known(caller: Caller) -> Caller:
    note(user=caller.user)
    return caller


def _bearer() -> str | None:
    """Return the token of `Authorization: Bearer`, or None (RFC 6750 §2.1)."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _how_to_sign_in() -> str:
    if _authenticator().verifier is None:
        return "authentication required: sign in, or send your user ID in the X-User-Id header"
    return (
        "authentication required: sign in, or send a token of the identity provider as Authorization: Bearer"
    )


def _read_user_id(header: str) -> str:
    try:
        user_id = header.encode("latin-1").decode("utf-8").strip()
    except UnicodeError as error:
        raise BadRequest("X-User-Id must be UTF-8") from error
    if not user_id:
        raise Unauthenticated("X-User-Id is empty: send your user ID")
    if len(user_id) > MAX_USER_ID or not user_id.isprintable():
        raise BadRequest(f"X-User-Id must have 1 to {MAX_USER_ID} printable characters")
    return user_id
