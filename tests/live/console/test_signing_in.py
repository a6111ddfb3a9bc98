"""Signing in and out, at an identity provider and by name, and sessions that end while somebody works."""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from playwright.sync_api import Page, expect

from image_gateway.catalog.repository import Catalog
from tests.live.console.conftest import OpenBrowser
from tests.live.support import run_cli
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_stack import Console, OidcConsole
from tests.support.growing_log import GrowingLog
from tests.support.oidc_code_flow import TOKEN_PATH
from tests.support.oidc_provider import Answer
from tests.support.page_tools import axe

COOKIE = "__Host-image-gateway"
AT_ONCE, WAIT_SECONDS = 8, 60
REQUEST_ID = re.compile(r"Request ([\w-]+)")
ASK_OFTEN = """
async (count) => {
  const ask = () => fetch("/v1/me", { cache: "no-store" });
  const answers = await Promise.all(Array.from({ length: count }, ask));
  return answers.map(({ status }) => status);
}
"""


@pytest.fixture
def visitor(oidc: OidcConsole, open_browser: OpenBrowser) -> ConsoleBrowser:
    """A browser in which nobody has signed in, at the gateway with the identity provider."""
    browser = open_browser(url=oidc.url)
    browser.problems.allow(r"status of 401 .*/v1/(me|images|usage)\b")
    return browser


def approve(page: Page, user: str) -> None:
    """Sign in on the provider's page."""
    page.get_by_label("User").fill(user)
    page.get_by_role("button", name="Sign in").click()


def session_cookie(browser: ConsoleBrowser) -> dict[str, object]:
    (cookie,) = [cookie for cookie in browser.context.cookies() if cookie["name"] == COOKIE]
    return dict(cookie)


def sign_in_at_provider(browser: ConsoleBrowser, oidc: OidcConsole, user: str) -> Page:
    """Let the provider sign in `user` without a question, and show the page Images."""
    oidc.flow.user = user
    browser.page.goto("/login")
    expect(browser.page.get_by_role("banner")).to_contain_text(user)
    return browser.page


def test_a_person_signs_in_at_the_provider_and_comes_back_to_the_page_that_was_asked_for(
    visitor: ConsoleBrowser, oidc: OidcConsole
) -> None:
    oidc.flow.user, oidc.flow.claims = None, {"name": "Carol Jones"}
    page = visitor.open("/upload")
    expect(page).to_have_url(f"{oidc.url}/sign-in?next=%2Fupload")
    assert axe(page) == []
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("heading")).to_have_text("Issuer")
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert page.url.startswith(f"{oidc.provider.issuer}/authorize?")
    approve(page, "carol")
    expect(page).to_have_url(f"{oidc.url}/upload")
    name = page.get_by_role("banner").get_by_text("Carol Jones")
    expect(name).to_have_attribute("title", "carol")
    assert oidc.flow.refusals == []


def test_scripts_and_other_origins_cannot_get_at_the_cookie(
    visitor: ConsoleBrowser, oidc: OidcConsole
) -> None:
    page = sign_in_at_provider(visitor, oidc, "carol")
    cookie = session_cookie(visitor)
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    # A leading dot would mean that hosts below this one get the cookie, too.
    assert (cookie["domain"], cookie["path"]) == ("127.0.0.1", "/")
    assert 0 < float(str(cookie["expires"])) - time.time() < 31 * 86_400
    assert page.evaluate("document.cookie") == ""
    # The cookie of the sign-in itself is used up.
    assert len(visitor.context.cookies(oidc.url)) == 1


def test_signing_out_ends_the_session_here_and_at_the_provider(
    visitor: ConsoleBrowser, oidc: OidcConsole, open_browser: OpenBrowser
) -> None:
    page = sign_in_at_provider(visitor, oidc, "carol")
    kept = session_cookie(visitor)
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile(r"/sign-in"))
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert oidc.flow.sign_outs == 1
    assert visitor.context.cookies(oidc.url) == []
    thief = open_browser(url=oidc.url)
    thief.problems.expect(r"status of 401 .*/v1/me\)$")
    thief.context.add_cookies([kept])  # type: ignore[list-item]
    expect(thief.open("/")).to_have_url(f"{oidc.url}/sign-in?next=%2F")


@pytest.mark.parametrize("problem", ["denied", "server error", "refused", "unavailable"])
def test_a_failed_sign_in_is_explained_and_can_be_tried_again(
    visitor: ConsoleBrowser, oidc: OidcConsole, problem: str
) -> None:
    log = GrowingLog(oidc.log)
    page = visitor.page
    outcome, text = {
        "denied": ("denied", "it was cancelled there"),
        "server error": ("denied", "did not sign you in"),
        "refused": ("refused", "something that this gateway does not accept"),
        "unavailable": ("unavailable", "cannot be reached at the moment"),
    }[problem]
    if problem == "denied":
        oidc.flow.user = None
    elif problem == "server error":
        oidc.flow.authorization_error = "server_error"
    elif problem == "refused":
        oidc.flow.claims = {"nonce": "that of another sign-in"}
    else:
        oidc.provider.answers[TOKEN_PATH] = Answer(status=503)
    page.goto("/login")
    if problem == "denied":
        page.get_by_role("button", name="Deny").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(text)
    assert axe(page) == []
    found = REQUEST_ID.search(alert.inner_text())
    assert found is not None
    (line,) = log.lines("image_gateway.routes.sessions")
    assert line["event"].startswith(f"a sign-in failed: {outcome}")
    assert line["request_id"] == found[1]
    alert.get_by_role("button", name="Copy the message").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    assert found[1] in page.evaluate("navigator.clipboard.readText()")

    oidc.flow.user, oidc.flow.claims, oidc.flow.authorization_error = "carol", {}, None
    oidc.provider.answers.clear()
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("banner")).to_contain_text("carol")


def test_an_answer_that_nobody_asked_for_signs_nobody_in(visitor: ConsoleBrowser) -> None:
    page = visitor.open("/oauth/callback?code=stolen&state=guessed")
    expect(page.get_by_role("alert")).to_contain_text("was begun in another browser")
    assert visitor.context.cookies() == []


def test_a_session_that_an_operator_ended_is_renewed_at_the_provider_in_another_tab(
    visitor: ConsoleBrowser, oidc: OidcConsole, console_environment: dict[str, str]
) -> None:
    user = f"carol-{uuid.uuid4().hex[:8]}"
    page = sign_in_at_provider(visitor, oidc, user)
    search = page.get_by_label("Search by name")
    ended = run_cli(console_environment, "sessions", "end", user)
    assert ended.stdout == f"ended 1 sessions of {user}\n"
    search.fill("debian")
    dialog = page.get_by_role("dialog", name="Your session has ended")
    with visitor.context.expect_page() as opened:
        dialog.get_by_role("link", name="Sign in").click()
    tab = opened.value
    expect(tab.get_by_role("heading", level=1)).to_have_text("You are signed in")
    assert axe(tab) == []
    tab.close()
    expect(dialog).to_have_count(0)
    expect(search).to_have_value("debian")
    # What failed is loaded anew without another click.
    expect(page.get_by_role("heading", name="No image matches")).to_be_visible()


def test_a_tab_notices_that_another_one_signed_out(console: ConsoleBrowser) -> None:
    console.problems.allow(r"status of 401 .*/v1/(me|images)")
    first = console.open("/")
    second = console.context.new_page()
    second.goto("/")
    second.get_by_role("heading", level=1).wait_for()
    first.get_by_role("button", name="Sign out").click()
    expect(first).to_have_url(f"{console.url}/sign-in")
    second.get_by_label("Search by name").fill("debian")
    expect(second.get_by_role("dialog", name="Your session has ended")).to_be_visible()


def test_a_tab_does_not_go_on_as_somebody_else(console: ConsoleBrowser) -> None:
    console.problems.allow(r"status of 401 .*/v1/me")
    bob = f"bob-{uuid.uuid4().hex[:8]}"
    first = console.open("/")
    second = console.context.new_page()
    second.goto("/upload")
    second.get_by_role("heading", level=1).wait_for()
    first.get_by_role("button", name="Sign out").click()
    expect(first).to_have_url(f"{console.url}/sign-in")
    first.get_by_label("Name", exact=True).fill(bob)
    first.get_by_role("button", name="Sign in").click()
    expect(first.get_by_role("banner")).to_contain_text(bob)
    dialog = second.get_by_role("dialog")
    expect(dialog).to_contain_text(f"You are signed in as {bob} now, not as {console.user}.")
    dialog.get_by_role("button", name=f"Go on as {bob}").click()
    expect(second.get_by_role("banner")).to_contain_text(bob)


def test_a_session_holds_at_all_processes_of_the_gateway_and_ends_at_all(
    console: ConsoleBrowser, console_stack: Console, console_catalog: Catalog
) -> None:
    console.problems.expect("status of 401 .*/v1/me")
    page = console.open("/")
    log = GrowingLog(console_stack.gateway.process.log)
    assert page.evaluate(ASK_OFTEN, 60) == [200] * 60
    ask_until_all_processes_answer(console, log, 200)
    console_catalog.sessions.end_of_user(console.user or "")
    assert page.evaluate(ASK_OFTEN, 60) == [401] * 60
    ask_until_all_processes_answer(console, log, 401)


def ask_until_all_processes_answer(console: ConsoleBrowser, log: GrowingLog, status: int) -> None:
    """Send the browser's cookie by new connections: the browser keeps its own, perhaps all to one process."""
    cookie = f"{COOKIE}={session_cookie(console)['value']}"

    def ask(_: int) -> int:
        with urllib3.PoolManager(retries=False, timeout=20) as http:
            return http.request("GET", f"{console.url}/v1/me", headers={"Cookie": cookie}).status

    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert set(pool.map(ask, range(4 * AT_ONCE))) == {status}
        answered = [line for line in log.lines("image_gateway.request") if line["route"] == "/v1/me"]
        if len({line["pid"] for line in answered if line["status"] == status}) == 2:
            return
        assert time.monotonic() < deadline, "one process answers all requests"
