"""The console opens: signed in or not, at its first page."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.support.console_browser import ConsoleBrowser
from tests.support.page_tools import axe


def test_the_first_page_lists_images(console: ConsoleBrowser) -> None:
    page = console.open("/")
    expect(page).to_have_title(re.compile("^Images"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Images")
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_text(
        ["Images", "Upload"]
    )
    assert axe(page) == []


def test_a_stranger_signs_in_by_name_and_comes_to_the_page_that_was_asked_for(
    stranger: ConsoleBrowser,
) -> None:
    page = stranger.open("/?shared=true")
    expect(page).to_have_url(f"{stranger.url}/sign-in?next=%2F%3Fshared%3Dtrue")
    assert axe(page) == []
    page.get_by_label("Name").fill("bob")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{stranger.url}/?shared=true")
    expect(page.get_by_role("banner")).to_contain_text("bob")
