"""Every page: accessible in both themes, no wider than a phone, usable by the keyboard alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.page_tools import axe, counting_traffic, emulate_4g
from tests.support.sample_disks import SampleDisks

PHONE = {"width": 360, "height": 740}
# What people may name things, and what must not be run or break a page.
HOSTILE = '<img src=x onerror="window.ran = true">\'`{{7*7}}\u05d0\u0301' + "W" * 60
HOSTILE_USER = "<img src=x onerror=window.ran=true>\u05d0 user"


@dataclass(frozen=True)
class Site:
    """A console with something to see on each page, and the addresses of the pages."""

    console: ConsoleBrowser
    paths: Mapping[str, str]


@pytest.fixture
def site(console: ConsoleBrowser, disks: SampleDisks) -> Site:
    client = console.client
    image_id = put_image(client, disks.gpt, HOSTILE)
    client.change_image(image_id, visibility="shared")
    client.share(image_id, HOSTILE_USER, "read")
    token = client.make_share_link(image_id, label=HOSTILE)["token"]
    client.send_json("POST", f"/v1/images/{image_id}/publish", {}, expected=(202,))
    paths = {
        "images": "/",
        "upload": "/upload",
        "image": f"/images/{image_id}",
        "share": f"/images/{image_id}/share",
        "activity": f"/images/{image_id}/activity",
        "link": f"/link#{token}",
        "open": f"/open/{image_id}",
        "sign-in": "/sign-in",
    }
    return Site(console, paths)


def settle(page: Page) -> None:
    """Wait until the page asks for nothing more and shows no sign of loading."""
    page.wait_for_load_state("networkidle")
    expect(page.get_by_text("Loading").filter(visible=True)).to_have_count(0)


def test_every_page_is_accessible_and_shows_names_as_text(site: Site) -> None:
    found: dict[str, list[str]] = {}
    for name, path in site.paths.items():
        page = site.console.open(path)
        settle(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found[f"{name} {scheme}"] = axe(page)
        assert page.evaluate("window.ran") is None
        site.console.keep_screenshots(name)
    assert {key: violations for key, violations in found.items() if violations} == {}


def test_no_page_is_wider_than_a_phone(site: Site, open_browser: OpenBrowser) -> None:
    phone = open_browser(user=site.console.user, viewport=PHONE)
    wide = {}
    for name, path in site.paths.items():
        page = phone.open(path)
        settle(page)
        width = page.evaluate("document.scrollingElement.scrollWidth")
        if width > PHONE["width"]:
            wide[name] = width
        assert axe(page) == [], name
    assert wide == {}


def test_a_user_with_a_hostile_name_is_text_too(open_browser: OpenBrowser, disks: SampleDisks) -> None:
    console = open_browser(user=HOSTILE_USER)
    page = console.open("/")
    expect(page.get_by_role("banner")).to_contain_text("<img src=x onerror=window.ran=true>")
    assert page.evaluate("window.ran") is None


def test_an_image_is_shared_by_the_keyboard_alone(site: Site) -> None:
    page = site.console.open(site.paths["share"])
    settle(page)
    tab_to(page, "Name of the person")
    page.keyboard.type("bob")
    tab_to(page, "Add")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text="bob")).to_be_visible()
    tab_to(page, "Make a link")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Copy the link")).to_be_visible()
    shares = site.console.client.list_shares(site.paths["image"].rpartition("/")[2])["shares"]
    assert sorted(share["user"] for share in shares) == sorted(["bob", HOSTILE_USER])


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on the element with this label or text."""
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        label = page.evaluate(
            "() => document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText ?? ''"
        )
        reached.append(label.strip())
        if reached[-1].startswith(name):
            return
    raise AssertionError(f"the keyboard does not reach {name!r}, only {reached}")


def test_the_first_page_is_usable_soon_on_4g(console: ConsoleBrowser) -> None:
    emulate_4g(console.page)
    with counting_traffic(console.page) as traffic:
        page = console.open("/")
        expect(page.get_by_role("link", name="Upload").first).to_be_visible()
        settle(page)
    assert len(traffic.requests) <= 10, traffic.requests
    assert traffic.bytes_received <= 150 * 1024
