"""The page Upload with real files, a real store, and what interrupts people."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.client.download import hash_by_ranges
from image_gateway.components import store_address
from image_gateway.domain.images import ListQuery
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreClients
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_stack import Console
from tests.support.page_tools import axe, counting_traffic, throttle, wait_until
from tests.support.sample_disks import MIB, SampleDisks

PART = 5 * MIB
PUT_OF_A_PART = r"^PUT .*/(disk\.img|source)$"
LARGE = 200
WAIT_SECONDS = 60
SLOW = 20 * MIB


def pick(page: Page, *files: Path) -> None:
    page.locator("#upload-files").set_input_files(list(files))


def upload_row(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name="Files", exact=True).get_by_role("listitem").filter(has_text=name)


class StoredParts:
    """What the store has of the only upload of a user."""

    def __init__(self, stack: Console, user: str) -> None:
        settings = load_settings({**stack.environment})
        key_id, secret = (stack.environment[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
        self._clients = StoreClients(replace(store_address(settings), credentials=(key_id, secret)))
        self._bucket = settings.s3_bucket
        self._catalog = Catalog(open_engine(settings.database_url))
        self._user = user

    def times(self) -> Mapping[int, datetime]:
        """When each part was stored, by number; none before the upload has begun."""
        found = self._catalog.list(ListQuery(self._user, 1))
        if not found:
            return {}
        record = found[0]
        listed = self._clients.requests.list_parts(
            Bucket=self._bucket, Key=record.upload_key, UploadId=record.plan.upload_id
        )
        return {part["PartNumber"]: part["LastModified"] for part in listed.get("Parts", [])}


def only_image(console: ConsoleBrowser) -> dict[str, str]:
    (image,) = console.client.list_images()["images"]
    return image


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_after_a_reload_only_the_missing_parts_are_sent(
    console: ConsoleBrowser, console_stack: Console, disks: SampleDisks
) -> None:
    file, name = disks.of_size(LARGE), f"{LARGE}-mib.img"
    stored = StoredParts(console_stack, console.user or "")
    page = console.open("/upload")
    throttle(page, SLOW)
    pick(page, file)
    wait_until(page, lambda: len(stored.times()) >= 8, "the storing of eight parts")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.get_by_role("region", name="Unfinished uploads").wait_for()
    before = stored.times()
    assert 8 <= len(before) < LARGE * MIB / PART

    with counting_traffic(page) as traffic:
        throttle(page, SLOW)
        page.get_by_label(f"Pick {name} again").set_input_files(file)
        wait_until(page, lambda: len(stored.times()) >= len(before) + 8, "the storing of eight more parts")
        kept = {number: stored.times()[number] for number in before}
        throttle(page, -1)
        expect(upload_row(page, name)).to_contain_text("Uploaded", timeout=WAIT_SECONDS * 1000)
    assert kept == before
    assert traffic.count(PUT_OF_A_PART) == LARGE * MIB // PART - len(before)
    image = only_image(console)
    assert (image["state"], image["size"]) == ("complete", LARGE * MIB)
    assert image["sha256"] == sha256_of(file)
    whole = hash_by_ranges(
        console.client, image["imageId"], LARGE * MIB, step=32 * MIB, parallel=2, on_bytes=lambda _: None
    )
    assert whole == image["sha256"]


def test_pausing_sends_nothing_until_it_is_resumed(console: ConsoleBrowser, disks: SampleDisks) -> None:
    file, name = disks.of_size(60), "60-mib.img"
    page = console.open("/upload")
    throttle(page, SLOW)
    pick(page, file)
    row = upload_row(page, name)
    expect(row).to_contain_text("Uploading")
    row.get_by_role("button", name=f"Pause: {name}").click()
    expect(row).to_contain_text("Paused")
    with counting_traffic(page) as traffic:
        # That nothing happens can only be watched for a while: several parts would be sent in this one.
        page.wait_for_timeout(1500)
    assert traffic.count(PUT_OF_A_PART) == 0
    throttle(page, -1)
    row.get_by_role("button", name=f"Resume: {name}").click()
    expect(row).to_contain_text("Uploaded")
    assert only_image(console)["state"] == "complete"


def test_a_lost_network_is_waited_for(console: ConsoleBrowser, disks: SampleDisks) -> None:
    file, name = disks.of_size(60), "60-mib.img"
    console.problems.allow("net::ERR_INTERNET_DISCONNECTED")
    page = console.open("/upload")
    throttled = throttle(page, SLOW)
    pick(page, file)
    row = upload_row(page, name)
    expect(row).to_contain_text("Uploading")
    throttled.detach()
    console.context.set_offline(True)
    expect(row).to_contain_text("There is no network")
    console.context.set_offline(False)
    expect(row).to_contain_text("Uploaded", timeout=WAIT_SECONDS * 1000)
    assert only_image(console)["sha256"] == sha256_of(file)


def test_a_cancelled_upload_leaves_nothing(
    console: ConsoleBrowser, console_stack: Console, disks: SampleDisks
) -> None:
    page = console.open("/upload")
    throttle(page, SLOW)
    pick(page, disks.of_size(60))
    row = upload_row(page, "60-mib.img")
    wait_until(page, lambda: bool(console.client.list_images()["images"]), "the beginning of the upload")
    row.get_by_role("button", name="Cancel: 60-mib.img").click()
    dialog = page.get_by_role("dialog")
    if dialog.is_visible():
        dialog.get_by_role("button", name="Discard it").click()
    expect(row).to_contain_text("Cancelled")
    assert console.client.list_images(state="uploading")["images"] == []


def test_ten_files_at_once_keep_the_memory_of_the_page_flat(
    console: ConsoleBrowser, disks: SampleDisks, tmp_path: Path
) -> None:
    source = disks.of_size(16)
    files = [tmp_path / f"disk-{number}.img" for number in range(10)]
    for file in files:
        file.hardlink_to(source)
    page = console.open("/upload")
    before = memory_of(page)
    pick(page, *files)
    most = before
    region = page.get_by_role("region", name="Files", exact=True)
    deadline = time.monotonic() + 2 * WAIT_SECONDS
    while region.get_by_text("Uploaded", exact=True).count() < len(files):
        assert time.monotonic() < deadline, region.inner_text()
        most = max(most, memory_of(page))
    # 160 MiB went through it; two parts may be in memory.
    assert most - before < 2 * PART + 8 * MIB
    assert len(console.client.list_images()["images"]) == 10


def memory_of(page: Page) -> int:
    """Bytes that the page and its workers hold, buffers included."""
    measured: int = page.evaluate("async () => (await performance.measureUserAgentSpecificMemory()).bytes")
    return measured


@pytest.mark.parametrize("kind", ["qcow2", "iso"])
def test_the_format_is_found_by_looking_at_the_file(
    console: ConsoleBrowser, disks: SampleDisks, kind: str
) -> None:
    file: Path = getattr(disks, kind)
    page = console.open("/upload")
    pick(page, file)
    row = upload_row(page, file.name)
    expect(row).to_contain_text("Uploaded")
    expect(row).to_contain_text(kind, ignore_case=True)
    row.get_by_role("link", name=f"Open the image: {file.name}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(file.name)
    assert only_image(console)["format"] == kind


def test_the_page_can_be_used_with_the_keyboard_and_a_screen_reader(
    console: ConsoleBrowser, disks: SampleDisks
) -> None:
    page = console.open("/upload")
    assert axe(page) == []
    page.keyboard.press("Tab")
    reached = []
    for _ in range(12):
        reached.append(page.evaluate("document.activeElement.id"))
        if reached[-1] == "upload-files":
            break
        page.keyboard.press("Tab")
    assert reached[-1] == "upload-files"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(disks.of_size(6))
    row = upload_row(page, "6-mib.img")
    expect(row).to_contain_text("Uploaded")
    assert axe(page) == []
    console.keep_screenshots("upload")
