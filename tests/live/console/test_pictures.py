"""The pictures of README and documentation, made of a console with plausible images in it.

`make pictures` writes them to docs/pictures/; otherwise they go where all screenshots go.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ARTIFACTS, ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.sample_disks import SampleDisks

FOLDER = Path(os.environ.get("CONSOLE_PICTURES") or ARTIFACTS / "pictures")
# Of Debian's package grub-rescue-pc: a CD that boots.
RESCUE_CD = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
SMALL = {"width": 1100, "height": 720}
BOOT_MS = 60_000
NAMES = ["Windows 95", "Debian 12 netinst", "FreeDOS 1.3", "Haiku R1 beta 5", "Plan 9", "KolibriOS"]


@pytest.fixture
def ann(open_browser: OpenBrowser, disks: SampleDisks) -> ConsoleBrowser:
    console = open_browser(user=f"ann-{uuid.uuid4().hex[:4]}", viewport=SMALL)
    for name in NAMES:
        put_image(console.client, disks.mbr, name)
    first, second = console.client.list_images()["images"][:2]
    console.client.change_image(first["imageId"], visibility="shared")
    console.client.share(first["imageId"], "bob", "read")
    console.client.make_share_link(first["imageId"], ttlSeconds=604_800)
    console.client.change_image(second["imageId"], visibility="public")
    return console


def keep(page: Page, name: str) -> None:
    """Keep a picture in light and one in dark."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=FOLDER / f"console-{name}-{scheme}.png")


def test_pictures_of_images_and_sharing(ann: ConsoleBrowser, disks: SampleDisks) -> None:
    page = ann.open("/")
    expect(page.get_by_role("row")).to_have_count(len(NAMES) + 1)
    keep(page, "images")
    first = ann.client.list_images()["images"][0]["imageId"]
    page = ann.open(f"/images/{first}")
    expect(page.get_by_role("main")).to_contain_text("MBR with 2 partitions")
    keep(page, "image")
    page = ann.open(f"/images/{first}/share")
    expect(page.get_by_role("row").filter(has_text="bob")).to_be_visible()
    keep(page, "share")


def test_pictures_of_an_upload(ann: ConsoleBrowser, disks: SampleDisks) -> None:
    page = ann.open("/upload")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 8 * 1024 * 1024}
    session.send("Network.emulateNetworkConditions", limits)
    page.locator("#upload-files").set_input_files([disks.of_size(60), disks.iso])
    row = page.get_by_role("listitem").filter(has_text="60-mib.img")
    expect(row).to_contain_text("left")
    keep(page, "upload")


def test_pictures_of_a_boot_with_its_read_map(ann: ConsoleBrowser, disks: SampleDisks) -> None:
    disk = RESCUE_CD if RESCUE_CD.exists() else disks.boot
    upload = put_image(ann.client, disk, "GRUB rescue" if disk is RESCUE_CD else "Boot disk")
    page = ann.open(f"/open/{upload}")
    if disk is RESCUE_CD:
        page.get_by_label("Boot from").select_option("cd")
    page.get_by_role("button", name="Start").click()
    reads = page.get_by_role("region", name="Reads of the disk")
    expect(reads).to_contain_text("read", timeout=BOOT_MS)
    if disk is RESCUE_CD:
        expect(page.get_by_role("main")).to_contain_text("GNU GRUB", timeout=BOOT_MS)
    keep(page, "open")
    reads.scroll_into_view_if_needed()
    keep(page, "read-map")
