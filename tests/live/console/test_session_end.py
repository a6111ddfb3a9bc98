"""A session that ends while a person is in the middle of something."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
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
