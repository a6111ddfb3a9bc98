"""A session that ends while a person is in the middle of something."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.console_stack import OidcConsole
from tests.support.page_tools import axe
from tests.support.sample_disks import SampleDisks

SIGNED_OUT = r"status of 401 "
TYPED = "typed before the session ended"


@pytest.fixture
def page(console: ConsoleBrowser, disks: SampleDisks) -> Page:
    """The page of an image, with a new name typed, and a session that has ended."""
    console.problems.expect(SIGNED_OUT)
    page = console.open(f"/images/{put_image(console.client, disks.mbr, 'disk')}")
    page.get_by_label("Name", exact=True).fill(TYPED)
    console.context.clear_cookies()
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Your session has ended")).to_be_visible()
    return page


def test_what_was_typed_is_kept_and_saved_after_signing_in(page: Page, console: ConsoleBrowser) -> None:
    assert axe(page) == []
    console.keep_screenshots("session-ended")
    expect(page.get_by_role("dialog").get_by_label("Name")).to_have_value(str(console.user))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_label("Name", exact=True)).to_have_value(TYPED)
    expect(page.get_by_role("button", name="Save")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(TYPED)


def test_the_dialog_can_be_put_off(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("alert")).to_contain_text("authentication required")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog", name="Your session has ended")).to_be_visible()


def test_signing_in_as_somebody_else_is_noticed(page: Page) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("mallory")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("You are signed in as mallory now")
    dialog.get_by_role("button", name="Go on as mallory").click()
    expect(page.get_by_role("banner")).to_contain_text("mallory")


def test_a_list_that_failed_is_loaded_by_itself_after_signing_in(page: Page) -> None:
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Images").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name="disk")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_signing_in_at_the_provider_happens_in_another_tab(
    open_browser: OpenBrowser, oidc: OidcConsole
) -> None:
    browser = open_browser(url=oidc.url)
    browser.problems.expect(SIGNED_OUT)
    page = browser.open("/?state=failed")
    expect(page).to_have_url(f"{oidc.url}/sign-in?next=%2F%3Fstate%3Dfailed")
    assert axe(page) == []
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Images")
    expect(page).to_have_url(f"{oidc.url}/?state=failed")
    browser.context.clear_cookies()
    page.get_by_label("State").select_option("All")
    dialog = page.get_by_role("dialog", name="Your session has ended")
    with browser.context.expect_page() as opened:
        dialog.get_by_role("link", name="Sign in").click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("You are signed in")
    assert axe(opened.value) == []
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("heading", name="You have no images yet")).to_be_visible()


@pytest.mark.parametrize("error", ["access_denied", "server_error"])
def test_a_refusal_of_the_provider_is_explained(
    open_browser: OpenBrowser, oidc: OidcConsole, error: str
) -> None:
    oidc.flow.authorization_error = error
    browser = open_browser(url=oidc.url)
    browser.problems.expect(SIGNED_OUT)
    page = browser.open("/")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The identity provider did not sign you in")
    expect(page.get_by_role("alert")).to_contain_text("Request ")
    assert axe(page) == []
