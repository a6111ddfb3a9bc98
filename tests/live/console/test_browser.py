"""What the tests of the console rely on: browsers notice what goes wrong in pages, and keep traces of it."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Page

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_stack import OidcConsole
from tests.support.page_tools import (
    BYTES_PER_SECOND_4G,
    LATENCY_4G,
    axe,
    counting_traffic,
    emulate_4g,
)

# Large, and public.
FETCHED = "/openapi.yaml"
FETCH = "async (path) => (await (await fetch(path, { cache: 'reload' })).arrayBuffer()).byteLength"
SEND = (
    "async ([path, length]) => (await fetch(path, { method: 'POST', body: new Uint8Array(length) })).status"
)
WHO = "async () => (await (await fetch('/v1/me')).json()).user"
ADD_SCRIPT = (
    "document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' }))"
)
ADD_IMAGE = "document.querySelector('main').append(document.createElement('img'))"
THROW_LATER = "setTimeout(() => { throw new Error('thrown later'); }, 0)"
PROBLEMS = (
    "^CSP: script-src-elem",
    "^error: .*inline script",
    "^error: written",
    "^uncaught: .*thrown later",
)


def blank(browser: ConsoleBrowser) -> Page:
    """A page under the console's policy, without the console's scripts."""
    browser.page.route(
        "**/console/*.js", lambda route: route.fulfill(body="", content_type="text/javascript")
    )
    browser.page.goto("/")
    return browser.page


def test_a_page_without_problems_has_none(console: ConsoleBrowser) -> None:
    blank(console)
    assert console.problems.found == []


def test_violations_of_the_policy_and_errors_are_noticed(stranger: ConsoleBrowser) -> None:
    page = blank(stranger)
    page.evaluate(ADD_SCRIPT)
    page.evaluate("console.error('written')")
    with page.expect_event("pageerror"):
        page.evaluate(THROW_LATER)
    assert page.evaluate("window.ran") is None
    assert len(stranger.problems.complaints()) == len(PROBLEMS)
    for pattern in PROBLEMS:
        stranger.problems.expect(pattern)
    assert stranger.problems.complaints() == []


def test_an_expected_problem_must_come(open_browser: OpenBrowser) -> None:
    browser = open_browser()
    browser.problems.expect("status of 404")
    assert len(browser.problems.complaints()) == 1
    page = blank(browser)
    with page.expect_event("console"):
        page.evaluate(FETCH, "/console/nothing.css")
    assert browser.problems.complaints() == []


def test_browsers_share_nothing(console: ConsoleBrowser, open_browser: OpenBrowser) -> None:
    another = open_browser(user="another")
    assert blank(console).evaluate(WHO) == console.user
    assert blank(another).evaluate(WHO) == "another"
    assert console.client.list_images() == {"images": []}


def test_an_image_without_a_text_is_a_violation_for_axe(console: ConsoleBrowser) -> None:
    page = blank(console)
    before = axe(page)
    page.evaluate(ADD_IMAGE)
    assert [line.partition(":")[0] for line in axe(page) if line not in before] == ["image-alt"]


def test_requests_and_bytes_are_counted(console: ConsoleBrowser) -> None:
    page = blank(console)
    console.problems.expect("status of 405")
    with counting_traffic(page) as traffic:
        length = page.evaluate(FETCH, FETCHED)
        assert page.evaluate(SEND, [FETCHED, 50_000]) == 405
    assert traffic.requests == [f"GET {console.url}{FETCHED}", f"POST {console.url}{FETCHED}"]
    assert traffic.count(rf"^GET .*{FETCHED}$") == 1
    assert length < traffic.bytes_received < length + 4000
    assert traffic.bytes_sent == 50_000
    page.evaluate(FETCH, FETCHED)
    assert len(traffic.requests) == 2


def test_4g_has_a_latency_and_a_throughput(console: ConsoleBrowser) -> None:
    page = blank(console)
    emulate_4g(page)
    started = time.monotonic()
    length = page.evaluate(FETCH, FETCHED)
    # A busy machine only takes longer.
    assert time.monotonic() - started > LATENCY_4G + length / BYTES_PER_SECOND_4G


def test_a_closed_browser_leaves_a_trace_and_pictures(console: ConsoleBrowser, tmp_path: Path) -> None:
    blank(console)
    console.context.new_page()
    console.close(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"trace.zip", "page-0.png", "page-1.png"}


def test_a_browser_signs_in_at_the_issuer(oidc: OidcConsole, open_browser: OpenBrowser) -> None:
    page = blank(open_browser(url=oidc.url))
    oidc.flow.user = None
    page.goto("/login?next=/upload")
    page.get_by_label("User").fill("carol")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{oidc.url}/upload")
    assert page.evaluate(WHO) == "carol"
