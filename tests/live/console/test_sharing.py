"""Sharing with a person and by a link, and what the others can do, in browsers of their own."""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_data import GrowingLog, upload
from tests.support.console_stack import Console
from tests.support.fault_proxy import fault_proxy
from tests.support.page_tools import axe, throttle
from tests.support.sample_disks import MIB, SampleDisks

NAME = "Debian 12 netinst"
# A headless browser has no dialog in which a person chooses a file: here it is one that only the page sees.
CHOOSE_A_FILE = """
window.showSaveFilePicker = async ({ suggestedName }) =>
  (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
"""
SHA256_OF_FILE = """
async (name) => {
  const folder = await navigator.storage.getDirectory();
  const file = await (await folder.getFileHandle(name)).getFile();
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
"""
STATUS_OF = """
async ([method, path, body]) => {
  const headers = { "Content-Type": "application/json" };
  return (await fetch(path, { method, headers, body: body && JSON.stringify(body) })).status;
}
"""
BYTES_PER_SECOND = 10 * MIB


def row_of(page: Page, text: str) -> Locator:
    """The row of the list of those who have access."""
    return page.get_by_role("table", name="Who has access").get_by_role("row").filter(has_text=text)


def make_link(console: ConsoleBrowser, image_id: str, uses: int | None = None) -> str:
    """Make a link on the page Share, and return what the button copies."""
    page = console.open(f"/images/{image_id}/share")
    if uses is not None:
        page.get_by_label("How often it may be used").fill(str(uses))
    page.get_by_role("button", name="Make a link").click()
    page.get_by_role("button", name="Copy the link").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    link: str = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{console.url}/link#")
    return link


def follow(browser: ConsoleBrowser, link: str) -> Page:
    """Open a link in a browser without an account, as far as the button that uses it."""
    page = browser.open(link)
    expect(page).to_have_url(f"{browser.url}/link")
    return page


@pytest.fixture
def receiver(stranger: ConsoleBrowser) -> ConsoleBrowser:
    """The browser of somebody who has no account."""
    stranger.context.add_init_script(CHOOSE_A_FILE)
    return stranger


def test_a_second_person_reads_what_is_shared_and_cannot_change_it(
    console: ConsoleBrowser, open_browser: OpenBrowser, disks: SampleDisks
) -> None:
    image_id = upload(console.client, disks.gpt, NAME)
    bob = open_browser(user=f"bob-{uuid.uuid4().hex[:8]}")
    assert bob.user is not None
    page = console.open(f"/images/{image_id}/share")
    page.get_by_label("Name of the person").fill(bob.user)
    page.get_by_role("button", name="Add").click()
    expect(row_of(page, bob.user)).to_contain_text("Read")
    assert axe(page) == []

    bob.problems.expect(r"status of 403 .*/v1/images/")
    theirs = bob.open("/")
    theirs.get_by_role("link", name="Shared with you").click()
    theirs.get_by_role("link", name=NAME).click()
    expect(theirs.get_by_role("heading", level=1)).to_have_text(NAME)
    # Read from the bytes of the image.
    expect(theirs.get_by_role("table", name="Partitions")).to_contain_text("EFI system")
    for name in ("Name and visibility", "Delete", "Chunks"):
        expect(theirs.get_by_role("heading", name=name)).to_have_count(0)
    expect(theirs.get_by_role("link", name="Share", exact=True)).to_have_count(0)
    for change in (
        ["PATCH", f"/v1/images/{image_id}", {"name": "mine"}],
        ["DELETE", f"/v1/images/{image_id}", None],
        ["POST", f"/v1/images/{image_id}/shares", {"user": "mallory"}],
        ["POST", f"/v1/images/{image_id}/share-links", None],
    ):
        assert theirs.evaluate(STATUS_OF, change) == 403
    expect(bob.open(f"/images/{image_id}/share").get_by_role("main")).to_contain_text("Only the owner")


def test_a_person_whose_share_is_taken_back_reads_no_more(
    console: ConsoleBrowser, open_browser: OpenBrowser, disks: SampleDisks
) -> None:
    image_id = upload(console.client, disks.iso, NAME)
    bob = open_browser(user=f"bob-{uuid.uuid4().hex[:8]}")
    assert bob.user is not None
    console.client.share(image_id, bob.user, "read")
    url = bob.client.stream_url(image_id)["url"]
    theirs = bob.open(f"/images/{image_id}")
    assert theirs.evaluate(STATUS_OF, ["GET", url, None]) == 200

    page = console.open(f"/images/{image_id}/share")
    page.get_by_role("button", name=f"Remove: {bob.user}").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row_of(page, bob.user)).to_have_count(0)

    bob.problems.expect(r"status of 403 .*/v1/images/")
    bob.problems.allow(r"status of 401 .*/v1/l/")
    theirs = bob.open(f"/images/{image_id}")
    expect(theirs.get_by_role("alert")).to_contain_text("this image belongs to someone else")
    assert NAME not in theirs.content()
    expect(bob.open("/?shared=true").get_by_role("main")).to_contain_text("Nothing is shared with you yet")
    # Each process of the gateway remembers for two seconds that a lease is valid.
    theirs.wait_for_function("async (url) => (await fetch(url)).status === 401", arg=url, polling=200)


def test_a_link_is_shown_once_and_used_without_an_account(
    console: ConsoleBrowser, console_stack: Console, receiver: ConsoleBrowser, disks: SampleDisks
) -> None:
    log = GrowingLog(console_stack.gateway.process.log)
    requests: list[Request] = []
    for browser in (console, receiver):
        browser.context.on("request", lambda request: requests.append(request))
    image_id = upload(console.client, disks.iso, NAME)
    link = make_link(console, image_id, uses=2)
    token = link.partition("#")[2]
    expect(row_of(console.page, "Link ")).to_contain_text("used 0 of 2 times")
    console.page.get_by_role("button", name="Done").click()
    expect(console.page.get_by_label("New link")).to_have_count(0)

    page = follow(receiver, link)
    assert axe(page) == []
    # Programs that look at links use none up.
    expect(row_of(console.open(f"/images/{image_id}/share"), "Link ")).to_contain_text("used 0 of 2 times")
    assert token not in console.page.content()
    page.get_by_role("button", name="Show the image").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    expect(page.get_by_role("main")).to_contain_text(f"{disks.iso.stat().st_size:,} bytes")
    assert axe(page) == []
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    expect(row_of(console.open(f"/images/{image_id}/share"), "Link ")).to_contain_text("used 1 of 2 times")

    assert len(requests) > 20
    for request in requests:
        assert token not in request.url
        assert token not in str(request.all_headers())
    with_token = [request.url for request in requests if token in (request.post_data or "")]
    assert with_token == [f"{console.url}/v1/share-links/redeem"]
    assert "/v1/share-links/redeem" in log.text()
    assert token not in log.text()


def test_a_download_goes_on_where_the_network_broke(
    console: ConsoleBrowser, open_browser: OpenBrowser, disks: SampleDisks
) -> None:
    file = disks.of_size(30)
    image_id = upload(console.client, file, "disk.img")
    gateway = urlsplit(console.url)
    with fault_proxy((gateway.hostname or "", gateway.port or 0)) as network:
        receiver = open_browser(url=network.url)
        receiver.context.add_init_script(CHOOSE_A_FILE)
        receiver.problems.allow(r"status of 401 .*/v1/me\)$|net::ERR_")
        page = follow(receiver, make_link(console, image_id).replace(console.url, network.url))
        page.get_by_role("button", name="Show the image").click()
        throttle(page, BYTES_PER_SECOND)
        page.get_by_role("button", name="Download").click()
        progress = page.get_by_role("progressbar", name="Progress of the download")
        page.wait_for_function("() => document.querySelector('progress').value > 5e6")
        # The browser's own switch does not end what is on its way.
        receiver.context.set_offline(True)
        network.go_down()
        main = page.get_by_role("main")
        expect(main).to_contain_text("Waiting for the network")
        before = float(progress.get_attribute("value") or 0)
        assert 5e6 < before < file.stat().st_size

        ranges: list[str] = []
        page.on("request", lambda request: ranges.append(request.headers.get("range", "")))
        network.come_back()
        receiver.context.set_offline(False)
        expect(main).to_contain_text("Downloaded")
        assert [text for text in ranges if text] == [f"bytes={before:.0f}-"]
        assert page.evaluate(SHA256_OF_FILE, "disk.img") == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_browser_that_lets_pages_write_no_files_downloads_by_itself(
    console: ConsoleBrowser, stranger: ConsoleBrowser, disks: SampleDisks, tmp_path: Path
) -> None:
    stranger.context.add_init_script("delete window.showSaveFilePicker")
    image_id = upload(console.client, disks.iso, NAME)
    page = follow(stranger, make_link(console, image_id))
    page.get_by_role("button", name="Show the image").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{NAME}.img"
    download.value.save_as(tmp_path / "disk.img")
    assert (tmp_path / "disk.img").read_bytes() == disks.iso.read_bytes()


def test_a_revoked_link_opens_nothing(
    console: ConsoleBrowser, receiver: ConsoleBrowser, open_browser: OpenBrowser, disks: SampleDisks
) -> None:
    image_id = upload(console.client, disks.iso, NAME)
    link = make_link(console, image_id)
    page = follow(receiver, link)
    page.get_by_role("button", name="Show the image").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    owners = console.page
    owners.get_by_role("button", name=re.compile("^Revoke: Link")).click()
    owners.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row_of(owners, "Link ")).to_have_count(0)

    receiver.problems.expect(r"status of 40\d .*/v1/leases/")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("The access by this link has ended")
    latecomer = open_browser()
    latecomer.problems.expect(r"status of 40\d .*/v1/(me|share-links/redeem)")
    late = follow(latecomer, link)
    late.get_by_role("button", name="Show the image").click()
    expect(late.get_by_role("alert")).to_be_visible()
    assert NAME not in late.content()


def test_a_link_is_used_no_more_often_than_it_may_be(
    console: ConsoleBrowser, receiver: ConsoleBrowser, disks: SampleDisks
) -> None:
    image_id = upload(console.client, disks.iso, NAME)
    link = make_link(console, image_id, uses=1)
    console.client.redeem(link.partition("#")[2])
    receiver.problems.expect(r"status of 4\d\d .*/v1/share-links/redeem")
    page = follow(receiver, link)
    page.get_by_role("button", name="Show the image").click()
    expect(page.get_by_role("alert")).to_be_visible()
    row = row_of(console.open(f"/images/{image_id}/share"), "Link ")
    expect(row).to_contain_text("Nothing: it is used up")
