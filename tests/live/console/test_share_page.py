"""The page Share: people, links, and what becomes of them when an image is private."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.page_tools import axe
from tests.support.sample_disks import SampleDisks

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def image_id(console: ConsoleBrowser, disks: SampleDisks) -> str:
    return put_image(console.client, disks.mbr, "disk")


def access(page: Page, who: str) -> Locator:
    return page.get_by_role("table", name="Who has access").get_by_role("row").filter(has_text=who)


def add_person(page: Page, user: str, permission: str) -> None:
    page.get_by_label("Name of the person").fill(user)
    page.get_by_label("Permission").select_option(permission)
    page.get_by_role("button", name="Add").click()


def test_people_get_access_and_lose_it(
    console: ConsoleBrowser, open_browser: OpenBrowser, image_id: str
) -> None:
    page = console.open(f"/images/{image_id}/share")
    add_person(page, MARKUP, "Read and write")
    expect(access(page, MARKUP)).to_contain_text("Read and write")
    add_person(page, MARKUP, "Read")
    expect(access(page, MARKUP).get_by_role("cell").first).to_have_text("Read")
    assert axe(page) == []
    console.keep_screenshots("share")
    reader = open_browser(user=MARKUP)
    reading = reader.open("/?shared=true")
    expect(reading.get_by_role("row", name="disk")).to_be_visible()
    expect(reading.get_by_role("banner")).to_contain_text(MARKUP)
    page.get_by_role("button", name=f"Remove: {MARKUP}").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(access(page, MARKUP)).to_have_count(0)
    reading.reload()
    expect(reading.get_by_role("heading", name="Nothing is shared with you yet")).to_be_visible()


def test_a_share_with_oneself_is_refused_in_the_gateways_words(
    console: ConsoleBrowser, image_id: str
) -> None:
    console.problems.expect(r"status of 400 .*/shares")
    page = console.open(f"/images/{image_id}/share")
    add_person(page, str(console.user), "Read")
    expect(page.get_by_role("alert")).to_contain_text("an image cannot be shared with its owner")


def test_a_link_is_shown_once(console: ConsoleBrowser, image_id: str) -> None:
    page = console.open(f"/images/{image_id}/share")
    page.get_by_label("Valid for").select_option("1 day")
    page.get_by_label("How often it may be used").fill("2")
    page.get_by_role("button", name="Make a link").click()
    shown = page.get_by_label("New link")
    expect(page.get_by_role("button", name="Copy the link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied")).to_be_visible()
    link = str(page.evaluate("navigator.clipboard.readText()"))
    assert link == shown.input_value()
    address, token = link.split("#")
    assert address == f"{console.url}/link"
    assert console.client.redeem(token).image_id == image_id
    page.get_by_role("button", name="Done").click()
    expect(shown).to_have_count(0)
    assert token not in page.content()
    page.reload()
    expect(access(page, "Link")).to_contain_text("used 1 of 2 times")
    assert token not in page.content()


def test_a_revoked_link_is_gone(console: ConsoleBrowser, image_id: str) -> None:
    console.client.make_share_link(image_id)
    page = console.open(f"/images/{image_id}/share")
    expect(access(page, "Link")).to_contain_text("No end, used 0 times")
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(access(page, "Link")).to_have_count(1)
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(access(page, "Link")).to_have_count(0)
    assert console.client.list_share_links(image_id)["shareLinks"] == []


def test_a_private_image_says_that_its_shares_are_suspended(console: ConsoleBrowser, image_id: str) -> None:
    console.client.share(image_id, "bob", "read")
    console.client.change_image(image_id, visibility="private")
    page = console.open(f"/images/{image_id}/share")
    expect(access(page, "bob")).to_contain_text("Read (suspended)")
    assert axe(page) == []
    page.get_by_role("button", name="Switch sharing on").click()
    expect(access(page, "bob").get_by_role("cell").first).to_have_text("Read")
    assert console.client.image(image_id)["visibility"] == "shared"
