"""The page Open keeps what a guest writes in a delta: over reloads, lost networks and closed pages."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.page_tools import axe
from tests.support.sample_disks import SampleDisks
from tests.support.writing_disk import FLUSHED, WRITTEN

BOOT_MS = 60_000
COMMITS = "**/v1/deltas/*/commits"
# Lets no timer of a second fire: what is committed then is so for another reason.
NO_PERIOD = """
const set = window.setTimeout;
window.setTimeout = (call, time, ...more) => set(call, time > 700 && time <= 1000 ? 3.6e6 : time, ...more);
"""
ALL_SAVED = "All changes are saved."


@pytest.fixture
def image_id(console: ConsoleBrowser, disks: SampleDisks) -> str:
    return put_image(console.client, disks.writing, f"writing disk {uuid.uuid4().hex[:8]}")


def start(page: Page, *, keep_in: str, holds: str) -> None:
    """Start the machine on a delta, new or not, and wait for the text that its disk holds."""
    choice = page.get_by_label("What the machine writes")
    expect(choice).to_be_visible()
    known = choice.locator("option", has_text=f"keep in “{keep_in}”")
    if known.count() > 0:
        choice.select_option(known.get_attribute("value"))
    else:
        choice.select_option(label="keep in a new delta")
        page.get_by_label("Name of the new delta").fill(keep_in)
    page.get_by_role("button", name="Start").click()
    wait_for(page, f"holds {holds}\n")


def wait_for(page: Page, text: str) -> None:
    output = page.get_by_role("region", name="Output of the serial port")
    expect(output).to_contain_text(text, timeout=BOOT_MS, use_inner_text=True)


def send(page: Page, line: str, answer: str) -> None:
    page.get_by_label("Send a line").fill(line)
    page.get_by_role("button", name="Send", exact=True).click()
    wait_for(page, answer)


def test_a_guest_finds_what_it_has_written_after_a_reload(console: ConsoleBrowser, image_id: str) -> None:
    page = console.open(f"/open/{image_id}")
    expect(page.get_by_label("What the machine writes")).to_have_value("discard")
    assert axe(page) == []
    start(page, keep_in="mine", holds="as it was")
    send(page, "whello", WRITTEN)
    send(page, "f", FLUSHED)
    expect(page.get_by_text(ALL_SAVED)).to_be_visible()
    assert axe(page) == []
    console.keep_screenshots("open-kept")
    page.reload()
    start(page, keep_in="mine", holds="hello")
    send(page, "wnot flushed", WRITTEN)
    page.get_by_role("button", name="Stop").click()
    closed = console.context.new_page()
    closed.add_init_script(NO_PERIOD)
    closed.goto(f"/open/{image_id}")
    start(closed, keep_in="mine", holds="not flushed")
    send(closed, "wlast words", WRITTEN)
    expect(closed.get_by_text("4 KiB not saved")).to_be_visible()
    closed.close()
    page.reload()
    start(page, keep_in="mine", holds="last words")


def test_the_older_of_two_pages_is_told_and_writes_nothing_more(
    console: ConsoleBrowser, image_id: str
) -> None:
    older = console.open(f"/open/{image_id}")
    start(older, keep_in="mine", holds="as it was")
    newer = console.context.new_page()
    newer.goto(f"/open/{image_id}")
    start(newer, keep_in="mine", holds="as it was")
    send(newer, "wnewer", WRITTEN)
    send(newer, "f", FLUSHED)
    console.problems.expect("status of 409 .*/commits")
    older.get_by_label("Send a line").fill("wolder")
    older.get_by_role("button", name="Send", exact=True).click()
    alert = older.get_by_role("alert")
    expect(alert).to_contain_text("This delta was opened somewhere else", timeout=BOOT_MS)
    expect(older.get_by_text("4 KiB were not saved.")).to_be_visible()
    expect(older.get_by_text("The machine is stopped.")).to_be_visible()
    assert axe(older) == []
    newer.reload()
    start(newer, keep_in="mine", holds="newer")


def test_while_the_network_is_away_the_page_says_since_when_nothing_was_saved(
    console: ConsoleBrowser, image_id: str
) -> None:
    console.problems.expect("ERR_FAILED")
    page = console.open(f"/open/{image_id}")
    start(page, keep_in="mine", holds="as it was")
    page.route(COMMITS, lambda route: route.abort())
    send(page, "wlater", WRITTEN)
    expect(page.get_by_text("4 KiB not saved yet.")).to_be_visible()
    expect(page.get_by_text(re.compile("4 KiB not saved since .* It is tried again"))).to_be_visible()
    assert axe(page) == []
    # A flush waits, and the machine with it.
    page.get_by_label("Send a line").fill("f")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("The machine is paused until then.")).to_be_visible()
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.close(run_before_unload=True)
    page.wait_for_event("dialog") if not asked else None
    assert asked == ["beforeunload"]
    page.unroute(COMMITS)
    wait_for(page, FLUSHED)
    expect(page.get_by_text(ALL_SAVED)).to_be_visible()


def test_who_may_not_write_to_the_image_can_only_discard(
    console: ConsoleBrowser, open_browser: OpenBrowser, image_id: str
) -> None:
    console.client.change_image(image_id, visibility="public")
    page = open_browser(user=f"bob-{uuid.uuid4().hex[:8]}").open(f"/open/{image_id}")
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    expect(page.get_by_label("What the machine writes")).to_have_count(0)
    expect(page.get_by_role("main")).to_contain_text("discarded when you close or reload it")
