"""Settings of the console and of sessions of browsers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from image_gateway.settings.fields import RateLimit, boolean, doc, matching, number

DAY = 86_400
_CLIENT_ID = re.compile(r"[!-~]{1,256}", re.ASCII)
_SECRET = re.compile(r"[ -~]{1,1024}", re.ASCII)
# Each word is a scope-token (RFC 6749 §3.3).
_SCOPES = re.compile(r"openid( [!#-\[\]-~]+)*", re.ASCII)


class SessionSchema(Schema):
    """The console, and sessions of browsers."""

    console = boolean(
        data_key="CONSOLE", load_default=True, metadata=doc("Serve the console, the pages for people, at /")
    )
    emulator_v86_path = fields.String(
        data_key="EMULATOR_V86_PATH",
        load_default=None,
        metadata=doc(
            "Directory with v86 (libv86.js, v86.wasm) and its BIOS files, for the console's page Open",
            "/usr/share/v86",
        ),
    )
    oidc_client_id = matching(
        _CLIENT_ID,
        "must have 1 to 256 printable characters without spaces",
        data_key="OIDC_CLIENT_ID",
        load_default=None,
        metadata=doc("Client id at the token issuer for signing in with a browser; no sign-in when empty"),
    )
    oidc_client_secret = matching(
        _SECRET,
        "must have 1 to 1024 printable ASCII characters",
        data_key="OIDC_CLIENT_SECRET",
        load_default=None,
        metadata=doc("Client secret at the token issuer; empty for a public client", secret=True),
    )
    oidc_scopes = matching(
        _SCOPES,
        "must be scopes separated by one space, the first of them openid",
        data_key="OIDC_SCOPES",
        load_default="openid profile",
        metadata=doc("Scopes that a browser's sign-in asks for, separated by spaces"),
    )
    session_idle_seconds = number(
        60,
        30 * DAY,
        data_key="SESSION_IDLE_SECONDS",
        load_default=43_200,
        metadata=doc("How long a browser stays signed in without using the gateway"),
    )
    session_max_seconds = number(
        60,
        365 * DAY,
        data_key="SESSION_MAX_SECONDS",
        load_default=7 * DAY,
        metadata=doc("How long a browser stays signed in at most"),
    )
    rate_limit_sign_in = RateLimit(
        data_key="RATE_LIMIT_SIGN_IN",
        load_default="60/minute",
        metadata=doc("Sign-ins that are begun or completed, per client address"),
    )

    @validates_schema
    def check_session_lifetimes(self, data: dict[str, Any], **_: Any) -> None:
        if data["session_idle_seconds"] > data["session_max_seconds"]:
            text = f"must be at most SESSION_MAX_SECONDS ({data['session_max_seconds']})"
            raise ValidationError({"SESSION_IDLE_SECONDS": [text]})

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_client(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        if "OIDC_CLIENT_ID" in given and given.get("AUTH_MODE") != "oidc":
            raise ValidationError({"OIDC_CLIENT_ID": ["needs AUTH_MODE=oidc"]})
        if "OIDC_CLIENT_SECRET" in given and "OIDC_CLIENT_ID" not in given:
            raise ValidationError({"OIDC_CLIENT_SECRET": ["needs OIDC_CLIENT_ID"]})
