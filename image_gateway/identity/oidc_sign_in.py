"""Signs a browser in by OpenID Connect: the authorization code flow with PKCE, by Authlib.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, https://www.rfc-editor.org/rfc/rfc7636
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from itsdangerous import BadData, URLSafeTimedSerializer

from image_gateway.errors import IdentityUnavailable
from image_gateway.identity.oidc import OidcVerifier
from image_gateway.identity.oidc_claims import KeysUnobtainable, OidcUnusable, refuse
from image_gateway.identity.oidc_keys import CONNECT_SECONDS, Discovery

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session

TOKEN_SECONDS = 10
# How long a person may take to sign in at the issuer.
PENDING_SECONDS = 900
_SHOWN_NAMES = ("name", "preferred_username", "email")
MAX_NAME_LENGTH = 256
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClientRules:
    """How the gateway is registered at the issuer."""

    client_id: str
    scopes: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PendingSignIn:
    """A sign-in that the browser has begun: what must come back, and where to go afterwards."""

    state: str
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)
    next_path: str


class PendingSignIns:
    """Turns a pending sign-in into a signed text for the browser to keep, and back.

    Of the keys the last one signs, and all of them verify.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._serializer = URLSafeTimedSerializer(list(keys), salt="image-gateway sign-in")

    def dump(self, pending: PendingSignIn) -> str:
        """Return the signed text."""
        text: str | bytes = self._serializer.dumps(asdict(pending))
        return text if isinstance(text, str) else text.decode()

    def load(self, text: str) -> PendingSignIn | None:
        """Return the pending sign-in; None if it is older than PENDING_SECONDS or was not signed here."""
        try:
            return PendingSignIn(**self._serializer.loads(text, max_age=PENDING_SECONDS))
        except (BadData, TypeError):
            return None


@dataclass(frozen=True)
class SignedInUser:
    """Who signed in; `name` is for people to read, and may not be unique."""

    user: str
    name: str
    admin: bool


class OidcSignIn:
    """Runs the code flow against one issuer. Thread-safe.

    `discover` returns the issuer's discovery document; `verifier` accepts ID tokens for this client.
    """

    def __init__(self, rules: ClientRules, verifier: OidcVerifier, discover: Callable[[], Discovery]) -> None:
        _import_authlib()
        self._rules = rules
        self._verifier = verifier
        self._discover = discover

    def begin(self, redirect_uri: str, next_path: str) -> tuple[str, PendingSignIn]:
        """Return the issuer's URL to which the browser goes, and what to remember until it comes back.

        Raises:
            IdentityUnavailable: The issuer's discovery document could not be fetched.
        """
        pending = PendingSignIn(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), next_path
        )
        endpoint = self._endpoint("authorization_endpoint")
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                endpoint, state=pending.state, nonce=pending.nonce, code_verifier=pending.code_verifier
            )
        return url, pending

    def complete(self, redirect_uri: str, code: str, pending: PendingSignIn) -> SignedInUser:
        """Exchange the code for an ID token and return whom it names.

        Raises:
            IdentityUnavailable: The issuer did not answer as it should.
            Unauthenticated: The issuer refused the code, or the ID token is not valid for this sign-in.
        """
        token = self._fetch_id_token(redirect_uri, code, pending.code_verifier)
        identity, claims = self._verifier.verify_claims(token)
        if not secrets.compare_digest(str(claims.get("nonce")).encode(), pending.nonce.encode()):
            raise refuse("the ID token has the wrong nonce")
        # OpenID Connect Core §3.1.3.7, steps 4 and 5.
        if claims.get("azp", self._rules.client_id) != self._rules.client_id:
            raise refuse("the ID token was issued to another client")
        return SignedInUser(identity.user, _name_of(claims, identity.user), identity.admin)

    def try_client(self, redirect_uri: str) -> str:
        """Send a made-up code to the token endpoint and return the error code of its answer.

        `invalid_grant` means that the issuer knows the client and its secret (RFC 6749 §5.2).

        Raises:
            IdentityUnavailable: The issuer did not answer as it should.
        """
        from authlib.integrations.base_client.errors import OAuthError

        try:
            self._exchange_code(redirect_uri, secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        except OAuthError as error:
            return _printable(error.error)
        return "no error"

    def sign_out_url(self, return_to: str) -> str | None:
        """Return the issuer's URL that ends the session there; None if it has none or cannot be asked.

        https://openid.net/specs/openid-connect-rpinitiated-1_0.html
        """
        try:
            endpoint = self._discover().get("end_session_endpoint")
        except KeysUnobtainable as error:
            _log.warning("fetching the identity provider's discovery document failed: %s", error)
            return None
        if not isinstance(endpoint, str) or not endpoint.startswith(("https://", "http://")):
            return None
        query = urlencode({"client_id": self._rules.client_id, "post_logout_redirect_uri": return_to})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    def _fetch_id_token(self, redirect_uri: str, code: str, code_verifier: str) -> str:
        from authlib.integrations.base_client.errors import OAuthError

        try:
            answer = self._exchange_code(redirect_uri, code, code_verifier)
        except OAuthError as error:
            # Only the standard error code: a description may repeat what was sent.
            _log.warning("the identity provider refused the authorization code: %s", _printable(error.error))
            raise refuse("the identity provider refused the authorization code") from None
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise refuse("the identity provider sent no ID token")
        return token

    def _exchange_code(self, redirect_uri: str, code: str, code_verifier: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers; raises Authlib's OAuthError, and IdentityUnavailable."""
        from requests import RequestException

        endpoint = self._endpoint("token_endpoint")
        with self._client(redirect_uri) as client:
            try:
                answer: Mapping[str, Any] = client.fetch_token(
                    endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=code_verifier,
                    timeout=(CONNECT_SECONDS, TOKEN_SECONDS),
                    allow_redirects=False,
                )
            except (RequestException, ValueError, AttributeError, TypeError) as error:
                _log.warning("fetching the ID token failed: %s", type(error).__name__)
                raise IdentityUnavailable(
                    "the identity provider did not answer as expected; try again"
                ) from None
        return answer

    def _endpoint(self, name: str) -> str:
        try:
            url = self._discover().get(name)
        except KeysUnobtainable as error:
            _log.warning("fetching the identity provider's discovery document failed: %s", error)
            raise IdentityUnavailable("the identity provider cannot be reached; try again") from None
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            _log.warning("the identity provider's discovery document has no usable %s", name)
            raise IdentityUnavailable(f"the identity provider has no usable {name}")
        return url

    def _client(self, redirect_uri: str) -> OAuth2Session:
        from authlib.integrations.requests_client import OAuth2Session

        client = OAuth2Session(
            self._rules.client_id,
            self._rules.client_secret,
            scope=self._rules.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )
        # As for the keys: the proxy settings and .netrc of the environment are not for the gateway.
        client.trust_env = False
        return client


def _name_of(claims: Mapping[str, object], user: str) -> str:
    """Return the name that a person knows, from the first claim that has a usable one."""
    names = [claims.get(name) for name in _SHOWN_NAMES]
    usable = (name.strip() for name in names if isinstance(name, str) and name.isprintable())
    return next((name for name in usable if 0 < len(name) <= MAX_NAME_LENGTH), user)


def _printable(text: object) -> str:
    return "".join(character for character in str(text)[:64] if character.isprintable())


def _import_authlib() -> None:
    try:
        import authlib.integrations.requests_client  # noqa: F401  # only whether it is installed
    except ModuleNotFoundError:
        raise OidcUnusable("with OIDC_CLIENT_ID needs image-gateway[oidc]") from None
