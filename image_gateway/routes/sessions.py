"""Routes by which a browser signs in and out, and learns who is signed in."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from image_gateway.errors import Forbidden, GatewayError, IdentityUnavailable, NotFound, Unauthenticated
from image_gateway.identity.oidc_sign_in import PENDING_SECONDS, OidcSignIn, PendingSignIns
from image_gateway.protocol.addresses import is_loopback_address
from image_gateway.routes.http.authentication import current_caller, current_session, current_user
from image_gateway.routes.http.public_url import own_root
from image_gateway.routes.http.rate_limits import Limits
from image_gateway.routes.http.responses import NO_STORE, json_response, timestamp
from image_gateway.routes.http.schemas import SignIn, load_json
from image_gateway.routes.http.session_cookie import (
    HOST_ATTRIBUTES,
    comes_from_own_page,
    csrf_token,
    delete_session_cookie,
    session_cookie,
    set_session_cookie,
)
from image_gateway.services.sessions import Sessions, StartedSession

CALLBACK_PATH = "/oauth/callback"
SIGN_IN_PAGE = "/sign-in"
PENDING_COOKIE = "__Host-image-gateway-sign-in"
MAX_CODE = 4096
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-~]{0,1023}", re.ASCII)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OidcClient:
    """What signing in at an identity provider needs."""

    sign_in: OidcSignIn
    pending: PendingSignIns


@dataclass(frozen=True)
class SignInByName:
    """Browsers sign in by typing a name (AUTH_MODE=dev), on this machine or from `anywhere`."""

    anywhere: bool = False


def make_sessions_blueprint(
    sessions: Sessions, oidc: OidcClient | None, by_name: SignInByName | None, limits: Limits
) -> Blueprint:
    """Routes `/login`, `/oauth/callback`, `/logout` and `/v1/me`."""
    blueprint = Blueprint("sessions", __name__)

    @blueprint.get("/login")
    @limits.sign_in
    def begin_sign_in() -> Response:
        next_path = _next_path()
        if oidc is None:
            return _see_other(f"{SIGN_IN_PAGE}?{urlencode({'next': next_path})}")
        try:
            url, pending = oidc.sign_in.begin(own_root() + CALLBACK_PATH, next_path)
        except IdentityUnavailable as error:
            return _sign_in_failed("unavailable", error)
        response = _see_other(url)
        response.set_cookie(
            PENDING_COOKIE, oidc.pending.dump(pending), max_age=PENDING_SECONDS, **HOST_ATTRIBUTES
        )
        return response

    @blueprint.get(CALLBACK_PATH)
    @limits.sign_in
    def complete_sign_in() -> Response:
        if oidc is None:
            raise NotFound("this gateway does not sign in at an identity provider")
        response = _complete_oidc(oidc, sessions)
        response.delete_cookie(PENDING_COOKIE, **HOST_ATTRIBUTES)
        return response

    @blueprint.post("/login")
    @limits.sign_in
    def sign_in_by_name() -> Response:
        if by_name is None:
            raise NotFound("only AUTH_MODE=dev signs in by name: use GET /login")
        if not by_name.anywhere and not is_loopback_address(request.remote_addr):
            raise Forbidden(
                "AUTH_MODE=dev signs in by name only from this machine, unless ALLOW_INSECURE_DEV_AUTH=true"
            )
        if not comes_from_own_page():
            raise Forbidden("the sign-in must come from a page of this gateway")
        user = load_json(SignIn, request)["user"].strip()
        started = sessions.start(user, user, replaces=session_cookie())
        return _with_session(json_response({"ok": True}, secret=True), started)

    @blueprint.post("/logout")
    def sign_out() -> Response:
        current_caller()
        session_id = session_cookie()
        if current_session() is None or session_id is None:
            raise Unauthenticated("there is no browser session to end")
        sessions.end(session_id)
        url = oidc.sign_in.sign_out_url(own_root() + "/") if oidc is not None else None
        response = json_response({"ok": True, "redirect": url}, secret=True)
        delete_session_cookie(response)
        return response

    @blueprint.get("/v1/me")
    def show_me() -> Response:
        user, session, session_id = current_user(), current_session(), session_cookie()
        document: dict[str, Any] = {"user": user, "name": user, "admin": current_caller().admin}
        document |= {"session": None, "csrfToken": None}
        if session is not None and session_id is not None:
            document |= {
                "name": session.display_name,
                "session": {
                    "expiresAt": timestamp(sessions.end_of(session)),
                    "endsAt": timestamp(session.expires_at),
                },
                "csrfToken": csrf_token(session_id),
            }
        return json_response(document, secret=True)

    return blueprint


def _complete_oidc(oidc: OidcClient, sessions: Sessions) -> Response:
    pending = oidc.pending.load(request.cookies.get(PENDING_COOKIE, ""))
    if pending is None or request.args.get("state") != pending.state:
        return _sign_in_failed("expired")
    code = request.args.get("code", "")
    if "error" in request.args or not 0 < len(code) <= MAX_CODE:
        return _sign_in_failed("denied")
    try:
        user = oidc.sign_in.complete(own_root() + CALLBACK_PATH, code, pending)
    except IdentityUnavailable as error:
        return _sign_in_failed("unavailable", error)
    except Unauthenticated as error:
        return _sign_in_failed("refused", error)
    started = sessions.start(user.user, user.name, admin=user.admin, replaces=session_cookie())
    return _with_session(_see_other(pending.next_path), started)


def _sign_in_failed(problem: str, error: GatewayError | None = None) -> Response:
    """Send the browser to the sign-in page, which explains the problem and names the request."""
    _log.info("a sign-in failed: %s%s", problem, f" ({error.message})" if error else "")
    query = urlencode({"problem": problem, "request": g.get("request_id") or ""})
    return _see_other(f"{SIGN_IN_PAGE}?{query}")


def _with_session(response: Response, started: StartedSession) -> Response:
    set_session_cookie(response, started.session_id, started.session.expires_at)
    return response


def _see_other(url: str) -> Response:
    response = Response(status=303, headers={"Location": url, "Cache-Control": NO_STORE})
    response.autocorrect_location_header = False
    return response


def _next_path() -> str:
    """Return the path of this gateway to which the browser goes after signing in; `/` for any other text."""
    wanted = request.args.get("next", "/")
    return wanted if _LOCAL_PATH.fullmatch(wanted) else "/"
