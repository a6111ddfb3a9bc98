"""Sessions of browsers: signing in by name, what the cookie opens, and how it ends."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from image_gateway.catalog.database import open_engine
from image_gateway.routes.http.session_cookie import SESSION_COOKIE
from tests.support.clock import Clock
from tests.support.log_lines import written_lines
from tests.support.world import OWNER, World

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
IDLE, LONGEST = 3600, 36_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(world: World, clock: Clock) -> World:
    return world.with_settings(clock=clock, session_idle_seconds=IDLE, session_max_seconds=LONGEST)


def sign_in(world: World, user: str = OWNER, *, cookie: str | None = None, **options: Any) -> str:
    """Sign in by name, and return the id of the session."""
    response = ask_to_sign_in(world, user, cookie=cookie, **options)
    assert response.status_code == 200, response.text
    return session_id_of(response)


def ask_to_sign_in(world: World, user: str, *, cookie: str | None = None, **options: Any) -> TestResponse:
    headers = {**OWN_PAGE, **options.pop("headers", {})} | (cookie_of(cookie) if cookie else {})
    return world.request("POST", "/login", user=None, json={"user": user}, headers=headers, **options)


def session_id_of(response: TestResponse) -> str:
    name, _, value = response.headers["Set-Cookie"].partition(";")[0].partition("=")
    assert name == SESSION_COOKIE
    return value


def cookie_of(session_id: str) -> dict[str, str]:
    return {"Cookie": f"{SESSION_COOKIE}={session_id}"}


def as_browser(world: World, session_id: str, method: str, path: str, **options: Any) -> TestResponse:
    """Request as a page of the gateway does, with the session's cookie."""
    headers = {**OWN_PAGE, **cookie_of(session_id), **options.pop("headers", {})}
    if method != "GET":
        headers.setdefault("Content-Type", "application/json")
    return world.request(method, path, user=None, headers=headers, **options)


def me(world: World, session_id: str) -> int:
    return as_browser(world, session_id, "GET", "/v1/me").status_code


def test_the_cookie_is_bound_to_the_host_and_hidden_from_scripts(gateway: World) -> None:
    attributes = ask_to_sign_in(gateway, OWNER).headers["Set-Cookie"].split("; ")[1:]
    assert [name for name in attributes if not name.startswith("Expires=")] == [
        "Secure",
        "HttpOnly",
        "Path=/",
        "SameSite=Lax",
    ]


def test_a_session_says_who_is_signed_in_and_until_when(gateway: World) -> None:
    document = as_browser(gateway, sign_in(gateway), "GET", "/v1/me").get_json()
    assert (document["user"], document["name"], document["admin"]) == (OWNER, OWNER, False)
    assert document["session"]["expiresAt"] < document["session"]["endsAt"]
    assert len(document["csrfToken"]) == 43


def test_other_callers_have_no_session(gateway: World) -> None:
    document = gateway.request("GET", "/v1/me").get_json()
    assert document == {"user": OWNER, "name": OWNER, "admin": False, "session": None, "csrfToken": None}
    assert gateway.request("GET", "/v1/me", user=None).status_code == 401


def test_a_session_manages_images_as_its_user(gateway: World) -> None:
    session_id = sign_in(gateway)
    image = gateway.make_image(b"data")
    path = f"/v1/images/{image.image_id}"
    listed = as_browser(gateway, session_id, "GET", "/v1/images").get_json()["images"]
    assert [found["imageId"] for found in listed] == [image.image_id]
    renamed = as_browser(gateway, session_id, "PATCH", path, json={"name": "new"})
    assert renamed.get_json()["name"] == "new"
    assert as_browser(gateway, session_id, "GET", image.path("range")).data == b"data"
    assert as_browser(gateway, session_id, "DELETE", path).status_code == 200
    assert as_browser(gateway, session_id, "GET", path).status_code == 404


def test_a_lease_can_be_polled_without_a_body(gateway: World) -> None:
    session_id, image = sign_in(gateway), gateway.make_image(b"data")
    lease = as_browser(gateway, session_id, "GET", image.path("lease")).get_json()
    assert gateway.request("GET", lease["url"], user=None).data == b"data"
    again = as_browser(gateway, session_id, "GET", image.path("lease")).get_json()
    assert again["leaseId"] != lease["leaseId"]
    stranger = sign_in(gateway, "mallory")
    assert as_browser(gateway, stranger, "GET", image.path("lease")).status_code == 403


def test_an_explicit_credential_wins_over_the_session(gateway: World) -> None:
    session_id = sign_in(gateway)
    both = as_browser(gateway, session_id, "GET", "/v1/me", headers={"X-User-Id": "bob"})
    assert (both.get_json()["user"], both.get_json()["session"]) == ("bob", None)
    lease = gateway.make_lease(gateway.make_image(b"data"))
    bearer = {"Authorization": f"Bearer {lease['token']}"}
    assert as_browser(gateway, session_id, "GET", "/v1/me", headers=bearer).status_code == 403


@pytest.mark.parametrize("method", ["dev", "none"])
def test_a_bearer_token_of_the_provider_wins_too(gateway: World, method: str) -> None:
    signed_in = gateway.with_provider()
    session_id = sign_in(gateway)
    headers = {"Authorization": "Bearer user:bob"} if method == "dev" else {}
    shown = as_browser(signed_in, session_id, "GET", "/v1/me", headers=headers).get_json()
    assert shown["user"] == ("bob" if method == "dev" else OWNER)


def test_signing_in_never_adopts_an_id_that_the_browser_has(gateway: World) -> None:
    planted = "A" * 43
    session_id = sign_in(gateway, cookie=planted)
    assert session_id != planted
    assert me(gateway, planted) == 401
    assert me(gateway, session_id) == 200


def test_signing_in_again_ends_the_session_before(gateway: World) -> None:
    first = sign_in(gateway)
    second = sign_in(gateway, "bob", cookie=first)
    assert me(gateway, first) == 401
    assert as_browser(gateway, second, "GET", "/v1/me").get_json()["user"] == "bob"


def test_two_browsers_of_one_user_have_sessions_of_their_own(gateway: World) -> None:
    first, second = sign_in(gateway), sign_in(gateway)
    assert as_browser(gateway, first, "POST", "/logout").status_code == 200
    assert me(gateway, second) == 200


def test_signing_out_holds_at_once_on_another_worker(gateway: World, clock: Clock) -> None:
    other_worker = gateway.with_settings(clock=clock)
    session_id = sign_in(gateway)
    assert me(other_worker, session_id) == 200
    response = as_browser(gateway, session_id, "POST", "/logout")
    assert response.get_json() == {"ok": True, "redirect": None}
    assert response.headers["Set-Cookie"].startswith(f"{SESSION_COOKIE}=;")
    assert me(other_worker, session_id) == 401
    assert me(gateway, session_id) == 401
    assert as_browser(gateway, session_id, "POST", "/logout").status_code == 401


def test_an_unused_session_ends(gateway: World, clock: Clock) -> None:
    session_id = sign_in(gateway)
    clock.now += IDLE - 1
    assert me(gateway, session_id) == 200
    clock.now += IDLE - 1
    assert me(gateway, session_id) == 200
    clock.now += IDLE
    assert me(gateway, session_id) == 401


def test_a_session_ends_however_much_it_is_used(gateway: World, clock: Clock) -> None:
    session_id = sign_in(gateway)
    for _ in range(LONGEST // 1800 - 1):
        clock.now += 1800
        assert me(gateway, session_id) == 200
    clock.now += 1800
    assert me(gateway, session_id) == 401


def test_few_uses_are_written_to_the_catalog(gateway: World, clock: Clock) -> None:
    session_id = sign_in(gateway)
    begun = gateway.catalog.sessions.of_user(OWNER)[0].last_used_at
    clock.now += 60
    assert me(gateway, session_id) == 200
    assert gateway.catalog.sessions.of_user(OWNER)[0].last_used_at == begun
    clock.now += 180
    assert me(gateway, session_id) == 200
    assert gateway.catalog.sessions.of_user(OWNER)[0].last_used_at > begun


@pytest.mark.parametrize("session_id", ["", "x", "A" * 43, "A" * 5000, "ä" * 43])
def test_an_id_that_nobody_has_is_no_session(gateway: World, session_id: str) -> None:
    assert me(gateway, session_id) == 401


def test_neither_log_nor_catalog_has_the_id(gateway: World) -> None:
    with written_lines(logging.DEBUG) as lines:
        session_id = sign_in(gateway)
        csrf = as_browser(gateway, session_id, "GET", "/v1/me").get_json()["csrfToken"]
        as_browser(gateway, session_id, "POST", "/logout", headers={"X-CSRF-Token": csrf})
    assert lines.text()
    assert session_id not in lines.text()
    assert csrf not in lines.text()
    again = sign_in(gateway)
    engine = open_engine(gateway.settings.database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM browser_sessions")).all()
    engine.dispose()
    assert len(rows) == 1
    assert again not in str(rows)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
    ids=str,
)
def test_pages_of_others_cannot_sign_a_browser_in(gateway: World, headers: dict[str, str]) -> None:
    response = ask_to_sign_in(gateway, "mallory", headers=headers)
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


def test_an_old_browser_proves_its_page_by_the_origin(gateway: World) -> None:
    def ask(origin: str) -> int:
        headers = {"Origin": origin}
        return gateway.request("POST", "/login", user=None, json={"user": "x"}, headers=headers).status_code

    assert [ask("http://localhost"), ask("http://localhost.evil.example"), ask("null")] == [200, 403, 403]


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "2001:db8::1", ""])
def test_signing_in_by_name_needs_this_machine(gateway: World, address: str) -> None:
    response = ask_to_sign_in(gateway, OWNER, environ_overrides={"REMOTE_ADDR": address})
    assert response.status_code == 403
    assert "only from this machine" in response.get_json()["error"]["message"]


def test_an_operator_may_let_everybody_sign_in_by_name(gateway: World) -> None:
    """In a container every client has the address of the container's network."""
    insecure = gateway.with_settings(allow_insecure_dev_auth=True)
    assert sign_in(insecure, environ_overrides={"REMOTE_ADDR": "172.18.0.1"})


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_has_several_addresses(gateway: World, address: str) -> None:
    assert sign_in(gateway, environ_overrides={"REMOTE_ADDR": address})


@pytest.mark.parametrize("mode", ["oidc", "none"])
def test_only_dev_signs_in_by_name(gateway: World, mode: str) -> None:
    changed = gateway.with_settings(
        auth_mode=mode,
        oidc_issuer="https://id.example.com",
        oidc_audience=("x",),
        lease_keys=(("k", "s" * 32),),
    )
    assert ask_to_sign_in(changed, OWNER).status_code == 404


@pytest.mark.parametrize("user", ["", "  ", "a\nb", "x" * 257, 5, None])
def test_a_name_that_cannot_be_one_is_refused(gateway: World, user: Any) -> None:
    assert ask_to_sign_in(gateway, user).status_code == 400


def test_sign_ins_are_limited(world: World) -> None:
    limited = world.with_settings(rate_limits=True, rate_limit_sign_in="2/minute")
    statuses = [ask_to_sign_in(limited, OWNER).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_signing_in_without_a_provider_is_a_page(gateway: World) -> None:
    response = gateway.request("GET", "/login?next=/images/1%3Fa", user=None)
    assert (response.status_code, response.headers["Location"]) == (303, "/sign-in?next=%2Fimages%2F1%3Fa")


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/a\nb", "", "/é"],
)
def test_nobody_is_sent_to_another_site_after_signing_in(gateway: World, elsewhere: str) -> None:
    response = gateway.request("GET", "/login", query_string={"next": elsewhere}, user=None)
    assert response.headers["Location"] == "/sign-in?next=%2F"
