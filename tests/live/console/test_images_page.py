"""The page Images: what it costs, and how people find an image there."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from image_gateway.catalog.repository import Catalog
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import add_failed_images, put_image
from tests.support.page_tools import axe, counting_traffic
from tests.support.sample_disks import SampleDisks

MOST_REQUESTS, MOST_BYTES = 10, 150 * 1024
NARROW = {"width": 360, "height": 740}
MARKUP = "<img src=x onerror=alert(1)>"


def names(page: Page) -> list[str]:
    return page.get_by_role("table", name="Images").get_by_role("rowheader").all_inner_texts()


def sort_by(page: Page, column: str, direction: str) -> None:
    head = page.get_by_role("columnheader", name=column)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", direction)


def test_the_first_page_costs_little(console: ConsoleBrowser, console_catalog: Catalog) -> None:
    add_failed_images(console_catalog, str(console.user), 60)
    with counting_traffic(console.page) as traffic:
        page = console.open("/")
        expect(page.get_by_role("row")).to_have_count(51)
        expect(page.get_by_text("used, 0 images")).to_be_visible()
    assert len(traffic.requests) <= MOST_REQUESTS, traffic.requests
    assert traffic.bytes_received <= MOST_BYTES


def test_sorting_loads_all_images_first(console: ConsoleBrowser, console_catalog: Catalog) -> None:
    add_failed_images(console_catalog, str(console.user), 60)
    page = console.open("/")
    expect(page.get_by_role("status")).to_contain_text(["The newest 50 images; there are more", ""])
    sort_by(page, "Name", "ascending")
    assert names(page) == [f"disk {number}.img" for number in range(1, 61)]
    sort_by(page, "Size", "descending")
    assert names(page) == [f"disk {number}.img" for number in range(60, 0, -1)]
    sort_by(page, "Size", "ascending")
    assert names(page)[:2] == ["disk 1.img", "disk 2.img"]
    expect(page.get_by_role("button", name="Load more")).to_be_hidden()


def test_more_images_are_loaded_when_asked_for(console: ConsoleBrowser, console_catalog: Catalog) -> None:
    add_failed_images(console_catalog, str(console.user), 60)
    page = console.open("/")
    more = page.get_by_role("button", name="Load more")
    more.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(61)
    expect(more).to_be_hidden()


def test_filters_are_in_the_address(
    console: ConsoleBrowser, console_catalog: Catalog, disks: SampleDisks
) -> None:
    put_image(console.client, disks.mbr, MARKUP)
    add_failed_images(console_catalog, str(console.user), 3)
    page = console.open("/")
    expect(page.get_by_role("row")).to_have_count(5)
    page.get_by_label("Search by name").fill("img src")
    expect(page.get_by_role("row")).to_have_count(2)
    assert names(page) == [MARKUP]
    page.reload()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("State").select_option("Failed")
    expect(page.get_by_role("heading", name="No image matches")).to_be_visible()
    page.get_by_role("button", name="Show all images").click()
    expect(page.get_by_role("row")).to_have_count(5)
    expect(page).to_have_url(console.url + "/")
    expect(page.get_by_label("Search by name")).to_be_focused()


def test_an_image_that_is_processed_becomes_ready_by_itself(console: ConsoleBrowser) -> None:
    empty = {"sizeBytes": 64 * 1024 * 1024, "name": "empty"}
    console.client.send_json("POST", "/v1/images/empty", empty, expected=(202,))
    page = console.open("/")
    expect(page.get_by_role("row", name="empty")).to_contain_text("Ready")


def test_an_empty_list_says_what_to_do_first(console: ConsoleBrowser) -> None:
    page = console.open("/")
    expect(page.get_by_role("heading", name="You have no images yet")).to_be_visible()
    page.get_by_role("link", name="Upload your first image").click()
    expect(page).to_have_url(console.url + "/upload")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.go_back()
    page.get_by_role("link", name="Shared with you").click()
    expect(page.get_by_role("heading", name="Nothing is shared with you yet")).to_be_visible()


def test_rows_are_cards_on_a_narrow_screen(console: ConsoleBrowser, disks: SampleDisks) -> None:
    put_image(console.client, disks.mbr, f"{MARKUP} with a long name that has to be wrapped somewhere")
    console.page.set_viewport_size(NARROW)
    page = console.open("/")
    expect(page.get_by_role("row")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert axe(page) == []
    console.keep_screenshots("images-narrow")
