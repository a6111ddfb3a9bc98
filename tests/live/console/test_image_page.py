"""The page of one image: what is in it, how to read it elsewhere, chunks, changes and deletion."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.page_tools import axe
from tests.support.sample_disks import SampleDisks

LEASE = re.compile(r"igl~")
NOTHING = "\N{EN DASH}"
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def image_id(console: ConsoleBrowser, disks: SampleDisks) -> str:
    return put_image(console.client, disks.gpt, MARKUP)


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def partitions(page: Page) -> list[list[str]]:
    rows = page.get_by_role("table", name="Partitions").get_by_role("row").all()[1:]
    return [row.locator("th, td").all_inner_texts() for row in rows]


def test_partitions_are_read_from_the_image(
    console: ConsoleBrowser, image_id: str, disks: SampleDisks
) -> None:
    page = console.open(f"/images/{image_id}")
    expect(page).to_have_title(re.compile("^" + re.escape(MARKUP)))
    expect(page.get_by_text("GPT with 2 partitions, in sectors of 512 bytes.")).to_be_visible()
    assert partitions(page) == [
        ["1", "EFI System", "EFI system", NOTHING, "1 MiB", "2 MiB"],
        ["2", "Linux", "root", NOTHING, "4 MiB", "6 MiB"],
    ]
    expect(page.get_by_role("img", name="Map of the disk")).to_be_visible()
    assert axe(page) == []
    console.keep_screenshots("image")
    page = console.open(f"/images/{put_image(console.client, disks.mbr, 'mbr')}")
    expect(page.get_by_text("MBR with 2 partitions")).to_be_visible()
    assert [row[1] for row in partitions(page)] == ["FAT32, active", "Linux"]


def test_a_lease_is_shown_only_while_it_is_asked_for(console: ConsoleBrowser, image_id: str) -> None:
    page = console.open(f"/images/{image_id}")
    snippet, reader = page.get_by_role("region", name="Snippet"), page.get_by_label("Reader")
    expect(snippet).to_contain_text("/v1/l/••••••••/v86/")
    assert not LEASE.search(page.content())
    page.get_by_role("button", name="Show the secret").click()
    expect(snippet).to_contain_text(LEASE)
    reader.select_option("curl")
    expect(snippet).to_contain_text("curl --fail")
    assert not LEASE.search(page.content())
    page.get_by_role("button", name="Copy the URL").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert not LEASE.search(page.content())
    url = clipboard(page)
    assert LEASE.search(url)
    assert console.context.request.head(url).ok


def test_an_image_is_published_and_verified(console: ConsoleBrowser, image_id: str) -> None:
    page = console.open(f"/images/{image_id}")
    page.get_by_label("Chunk size").select_option("262144")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("The image is published as chunks.")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text=re.compile("^[0-9a-f]{64}"))).to_be_visible()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("48 of 48 chunks")).to_be_visible()
    page.get_by_role("link", name="Activity").click()
    jobs = page.get_by_role("table", name="Jobs")
    expect(jobs.get_by_role("rowheader")).to_have_text(["Verification", "Publishing"])
    expect(page.get_by_text(f"{console.user} asked to publish the image as chunks.")).to_be_visible()
    assert axe(page) == []


def test_a_change_meanwhile_is_not_overwritten(console: ConsoleBrowser, image_id: str) -> None:
    console.problems.expect(r"status of 412 .*/v1/images/")
    page = console.open(f"/images/{image_id}")
    name = page.get_by_label("Name", exact=True)
    name.fill("mine")
    console.client.change_image(image_id, name="theirs", visibility="public")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Now its name is “theirs”, and it may be read by: Everyone.")).to_be_visible()
    expect(name).to_have_value("mine")
    expect(page.get_by_role("button", name="Save")).to_be_focused()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("mine")
    record = console.client.image(image_id)
    assert (record["name"], record["visibility"]) == ("mine", "public")


def test_an_image_is_deleted_after_its_name_was_typed(console: ConsoleBrowser, image_id: str) -> None:
    page = console.open(f"/images/{image_id}")
    page.get_by_role("button", name="Delete …").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete for ever")).to_be_disabled()
    assert axe(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Delete …")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type(MARKUP)
    page.keyboard.press("Enter")
    expect(page).to_have_url(console.url + "/")
    expect(page.get_by_role("heading", name="You have no images yet")).to_be_visible()
    assert console.client.list_images()["images"] == []


@pytest.mark.parametrize(("permission", "may"), [("read", "Read"), ("write", "Read and write")])
def test_readers_are_offered_what_they_may_do(
    console: ConsoleBrowser, open_browser: OpenBrowser, image_id: str, permission: str, may: str
) -> None:
    reader = open_browser(user=f"bob-{image_id[:8]}")
    assert reader.user is not None
    console.client.share(image_id, reader.user, permission)
    page = reader.open("/?shared=true")
    expect(page.get_by_role("row", name=MARKUP)).to_contain_text(may)
    page.get_by_role("link", name=MARKUP).click()
    expect(page.get_by_role("region", name="Snippet")).to_be_visible()
    expect(page.get_by_role("heading", level=2)).to_have_text(["Facts", "Partitions", "Use it elsewhere"])
    expect(page.get_by_role("navigation", name="Pages of the image").get_by_role("link")).to_have_text(
        ["Overview"]
    )


def test_a_stranger_reads_the_gateways_refusal(open_browser: OpenBrowser, image_id: str) -> None:
    other = open_browser(user="mallory")
    other.problems.expect(r"status of 403 .*/v1/images/")
    page = other.open(f"/images/{image_id}")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("this image belongs to someone else")
    alert.get_by_role("button", name="Copy the message").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert re.fullmatch(r"this image belongs to someone else \(request [0-9a-f]+\)", clipboard(page))
