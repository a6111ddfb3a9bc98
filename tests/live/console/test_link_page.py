"""What the receiver of a link sees and downloads, without an account."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.fault_proxy import fault_proxy
from tests.support.page_tools import axe
from tests.support.sample_disks import MIB, SampleDisks

MARKUP = "<img src=x onerror=alert(1)>"
FILE_NAME = "_img src=x onerror=alert(1)_.img"
# A file that a page may write without the browser's dialog, in place of one that a person chooses.
PICK_OWN_FILE = """
globalThis.showSaveFilePicker = async ({ suggestedName }) => {
  globalThis.suggestedName = suggestedName;
  const folder = await navigator.storage.getDirectory();
  return folder.getFileHandle("download", { create: true });
};
"""
SHA256_OF_OWN_FILE = """async () => {
  const handle = await (await navigator.storage.getDirectory()).getFileHandle("download");
  const hash = await crypto.subtle.digest("SHA-256", await (await handle.getFile()).arrayBuffer());
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""
NO_PICKER = "Object.defineProperty(globalThis, 'showSaveFilePicker', { value: undefined });"


@pytest.fixture
def image_id(console: ConsoleBrowser, disks: SampleDisks) -> str:
    return put_image(console.client, disks.of_size(20), MARKUP)


def uses_of(console: ConsoleBrowser, image_id: str) -> list[int]:
    return [link["uses"] for link in console.client.list_share_links(image_id)["shareLinks"]]


def open_link(stranger: ConsoleBrowser, token: str) -> Page:
    page = stranger.open(f"/link#{token}")
    page.get_by_role("button", name="Show the image").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    return page


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Network:
    """The network of a page: `change(offline=True)`, or `downloadThroughput` in bytes per second."""

    def __init__(self, page: Page) -> None:
        # Conditions that another session has set hold, too.
        self._session = page.context.new_cdp_session(page)
        self._session.send("Network.enable")

    def change(self, **conditions: Any) -> None:
        unlimited = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._session.send("Network.emulateNetworkConditions", unlimited | conditions)


def test_a_link_counts_one_use_for_a_visit_and_its_token_goes_nowhere_else(
    console: ConsoleBrowser, stranger: ConsoleBrowser, image_id: str
) -> None:
    token = console.client.make_share_link(image_id, maxUses=1)["token"]
    requests: list[Request] = []
    stranger.context.on("request", lambda request: requests.append(request))
    page = stranger.open(f"/link#{token}")
    expect(page).to_have_url(stranger.url + "/link")
    assert axe(page) == []
    page.reload()
    expect(page.get_by_role("button", name="Show the image")).to_be_visible()
    assert uses_of(console, image_id) == [0]
    page.get_by_role("button", name="Show the image").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_text("20 MiB (20,971,520 bytes)")).to_be_visible()
    assert axe(page) == []
    stranger.keep_screenshots("link")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    page.get_by_role("link", name="Open in an emulator").click()
    expect(page).to_have_url(stranger.url + "/open")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    assert uses_of(console, image_id) == [1]
    with_token = [
        request for request in requests if token in f"{request.url.split('#')[0]} {request.post_data}"
    ]
    assert [(request.method, request.url) for request in with_token] == [
        ("POST", stranger.url + "/v1/share-links/redeem")
    ]
    assert token not in page.content()


def test_a_download_is_paused_and_waits_for_the_network(
    console: ConsoleBrowser, stranger: ConsoleBrowser, image_id: str, disks: SampleDisks
) -> None:
    stranger.context.add_init_script(PICK_OWN_FILE)
    page = open_link(stranger, console.client.make_share_link(image_id)["token"])
    network = Network(page)
    network.change(downloadThroughput=4_000_000)
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_text(" left")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    stranger.problems.expect("ERR_INTERNET_DISCONNECTED")
    network.change(offline=True)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Waiting for the network", exact=True)).to_be_visible()
    network.change()
    expect(page.get_by_text("Downloaded", exact=True)).to_be_visible()
    assert page.evaluate(SHA256_OF_OWN_FILE) == sha256(disks.of_size(20))
    assert page.evaluate("suggestedName") == FILE_NAME
    assert axe(page) == []


def test_a_download_goes_on_where_the_network_broke(
    console: ConsoleBrowser, open_browser: OpenBrowser, image_id: str, disks: SampleDisks
) -> None:
    gateway = urlsplit(console.url)
    with fault_proxy((gateway.hostname or "", gateway.port or 0)) as between:
        receiver = open_browser(url=between.url)
        receiver.problems.allow(r"status of 401 .*/v1/me\)$|net::ERR_")
        receiver.context.add_init_script(PICK_OWN_FILE)
        page = open_link(receiver, console.client.make_share_link(image_id)["token"])
        Network(page).change(downloadThroughput=8_000_000)
        page.get_by_role("button", name="Download").click()
        page.wait_for_function("() => document.querySelector('progress').value > 5e6")
        # The browser's own switch does not end what is on its way.
        receiver.context.set_offline(True)
        between.go_down()
        expect(page.get_by_text("Waiting for the network", exact=True)).to_be_visible()
        before = page.locator("progress").evaluate("(bar) => bar.value")
        assert 5e6 < before < 20 * MIB

        ranges: list[str | None] = []
        page.on("request", lambda request: ranges.append(request.headers.get("range")))
        between.come_back()
        receiver.context.set_offline(False)
        expect(page.get_by_text("Downloaded", exact=True)).to_be_visible()
        assert [asked for asked in ranges if asked] == [f"bytes={before}-"]
        assert page.evaluate(SHA256_OF_OWN_FILE) == sha256(disks.of_size(20))


def test_browsers_that_write_no_files_download_themselves(
    console: ConsoleBrowser, stranger: ConsoleBrowser, image_id: str, disks: SampleDisks
) -> None:
    stranger.context.add_init_script(NO_PICKER)
    page = open_link(stranger, console.client.make_share_link(image_id)["token"])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == FILE_NAME
    assert sha256(download.value.path()) == sha256(disks.of_size(20))


def test_a_link_that_does_not_hold_says_why(
    console: ConsoleBrowser, stranger: ConsoleBrowser, image_id: str
) -> None:
    stranger.problems.expect(r"status of 403 .*/v1/(share-links/redeem|leases/.*/renew)")
    link = console.client.make_share_link(image_id)
    page = open_link(stranger, link["token"])
    console.client.revoke_share_link(image_id, link["linkId"])
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("The access by this link has ended")
    assert axe(page) == []
    page.goto("/")
    page.goto(f"/link#{link['token']}")
    page.get_by_role("button", name="Show the image").click()
    expect(page.get_by_role("alert")).to_contain_text("the share link is no longer valid")
    expect(page.get_by_text("It has expired, was revoked, or was used as often")).to_be_visible()
    assert axe(page) == []


def test_an_address_without_a_link_says_so(open_browser: OpenBrowser) -> None:
    browser = open_browser(user="bob")
    page = browser.open("/link")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no link here")
