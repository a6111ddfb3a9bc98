"""Sharing with a person and by a link, and what the others can do, in browsers of their own."""

from __future__ import annotations

import uuid

from playwright.sync_api import Locator, Page, Request, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.console_stack import Console
from tests.support.growing_log import GrowingLog
from tests.support.sample_disks import SampleDisks

NAME = "Debian 12 netinst"
STATUS_OF = """
async ([method, path, body]) => {
  const headers = { "Content-Type": "application/json" };
  return (await fetch(path, { method, headers, body: body && JSON.stringify(body) })).status;
}
"""


def row_of(page: Page, text: str) -> Locator:
    """The row of the list of those who have access."""
    return page.get_by_role("table", name="Who has access").get_by_role("row").filter(has_text=text)


def test_a_second_person_reads_what_is_shared_and_cannot_change_it(
    console: ConsoleBrowser, open_browser: OpenBrowser, disks: SampleDisks
) -> None:
    image_id = put_image(console.client, disks.gpt, NAME)
    bob = open_browser(user=f"bob-{uuid.uuid4().hex[:8]}")
    assert bob.user is not None
    page = console.open(f"/images/{image_id}/share")
    page.get_by_label("Name of the person").fill(bob.user)
    page.get_by_role("button", name="Add").click()
    expect(row_of(page, bob.user)).to_contain_text("Read")

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
    image_id = put_image(console.client, disks.iso, NAME)
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
    bob.problems.allow(r"status of 40[13] .*/v1/l/")
    theirs = bob.open(f"/images/{image_id}")
    expect(theirs.get_by_role("alert")).to_contain_text("this image belongs to someone else")
    assert NAME not in theirs.content()
    expect(bob.open("/?shared=true").get_by_role("main")).to_contain_text("Nothing is shared with you yet")
    # Each process of the gateway remembers for two seconds that a lease is valid.
    theirs.wait_for_function(
        "async (url) => [401, 403].includes((await fetch(url)).status)", arg=url, polling=200
    )


def test_the_token_of_a_link_is_in_no_address_no_header_and_no_log(
    console: ConsoleBrowser, console_stack: Console, stranger: ConsoleBrowser, disks: SampleDisks
) -> None:
    log = GrowingLog(console_stack.gateway.process.log)
    requests: list[Request] = []
    for browser in (console, stranger):
        browser.context.on("request", lambda request: requests.append(request))
    image_id = put_image(console.client, disks.iso, NAME)
    page = console.open(f"/images/{image_id}/share")
    page.get_by_label("How often it may be used").fill("1")
    page.get_by_role("button", name="Make a link").click()
    page.get_by_role("button", name="Copy the link").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    token = link.partition("#")[2]

    theirs = stranger.open(link)
    theirs.get_by_role("button", name="Show the image").click()
    expect(theirs.get_by_role("heading", level=1)).to_have_text(NAME)
    theirs.get_by_role("link", name="Open in an emulator").click()
    expect(theirs).to_have_url(f"{stranger.url}/open")
    page.reload()
    expect(row_of(page, "Link ")).to_contain_text("Nothing: it is used up")

    assert len(requests) > 20
    for request in requests:
        assert token not in request.url + str(request.all_headers())
    with_token = [request.url for request in requests if token in (request.post_data or "")]
    assert with_token == [f"{console.url}/v1/share-links/redeem"]
    assert "/v1/share-links/redeem" in log.text()
    assert token not in log.text()
