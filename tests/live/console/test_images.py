"""From the list of images to their bytes: many images, a quota, a snippet that is run, failures."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState
from image_gateway.local.gateway import LocalGateway
from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.console_stack import Console, running_gateway, stopped_worker
from tests.support.page_tools import axe
from tests.support.records import DISK, FREE, NOW, make_record
from tests.support.sample_disks import MIB, SampleDisks

# More than two answers of the gateway have: the first one 50 images, the others 200.
MANY = 251
QUOTA = {"QUOTA_IMAGES": "3", "QUOTA_BYTES": str(20 * MIB)}


@pytest.fixture
def many_images(console: ConsoleBrowser, console_catalog: Catalog) -> None:
    """Records of images, without bytes: the first has the name `disk 1`, and each is newer and larger."""
    for number in range(1, MANY + 1):
        record = make_record(
            str(uuid.uuid4()),
            owner=str(console.user),
            name=f"disk {number}",
            state=ImageState.COMPLETE,
            disk=replace(DISK, size=MIB * number),
            created_at=NOW + timedelta(seconds=number),
        )
        console_catalog.add(record, FREE)


@pytest.fixture(scope="module")
def gateway_with_quota(
    console_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGateway]:
    with running_gateway(console_environment, tmp_path_factory.mktemp("quota"), **QUOTA) as gateway:
        yield gateway


@pytest.mark.usefixtures("many_images")
def test_hundreds_of_images_are_loaded_in_turn_searched_and_sorted(console: ConsoleBrowser) -> None:
    page = console.open("/")
    rows = page.get_by_role("table", name="Images").get_by_role("rowheader")
    expect(rows).to_have_count(50)
    expect(rows.first).to_have_text(f"disk {MANY}")
    more = page.get_by_role("button", name="Load more")
    more.click()
    expect(rows).to_have_count(250)
    more.click()
    expect(rows).to_have_count(MANY)
    expect(more).to_be_hidden()

    page.get_by_label("Search by name").fill("DISK 25")
    expect(rows).to_have_text(["disk 251", "disk 250", "disk 25"])
    page.get_by_label("Search by name").fill("")
    expect(rows).to_have_count(50)
    page.get_by_role("columnheader", name="Name").get_by_role("button").click()
    expect(rows).to_have_count(MANY)
    assert rows.all_inner_texts() == [f"disk {number}" for number in range(1, MANY + 1)]
    page.get_by_role("columnheader", name="Created").get_by_role("button").click()
    expect(rows.first).to_have_text(f"disk {MANY}")


def test_the_quota_is_shown_and_grows_until_it_is_full(
    open_browser: OpenBrowser, gateway_with_quota: LocalGateway, disks: SampleDisks
) -> None:
    console = open_browser(user=f"ann-{uuid.uuid4().hex[:8]}", url=gateway_with_quota.url)
    page = console.open("/")
    expect(page.get_by_text("0 B of 20 MiB used, 0 of 3 images")).to_be_visible()
    put_image(console.client, disks.mbr, "first")
    page.reload()
    expect(page.get_by_text("12 MiB of 20 MiB used, 1 of 3 images")).to_be_visible()
    bar = page.get_by_role("progressbar", name="Storage used")
    assert bar.evaluate("(bar) => bar.value / bar.max") == 0.6
    assert axe(page) == []

    console.problems.expect("status of 403 .*/v1/images")
    page.get_by_role("link", name="Upload").first.click()
    page.locator("#upload-files").set_input_files(disks.mbr)
    files = page.get_by_role("region", name="Files", exact=True)
    expect(files).to_contain_text("at most 20971520 bytes are allowed")
    expect(files).to_contain_text("Request ")


def test_the_snippet_for_curl_downloads_the_image(
    console: ConsoleBrowser, disks: SampleDisks, tmp_path: Path
) -> None:
    image_id = put_image(console.client, disks.mbr, "it's a 'disk'; touch broken")
    page = console.open(f"/images/{image_id}")
    page.get_by_label("Reader").select_option("curl")
    page.get_by_role("button", name="Copy the snippet").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    snippet = page.evaluate("navigator.clipboard.readText()")
    subprocess.run(["sh", "-c", snippet], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (file,) = tmp_path.iterdir()
    assert file.name == "it's a 'disk'; touch broken.img"
    assert file.read_bytes() == disks.mbr.read_bytes()


def test_who_may_read_is_changed_and_noted(
    console: ConsoleBrowser, stranger: ConsoleBrowser, disks: SampleDisks
) -> None:
    image_id = put_image(console.client, disks.iso, "netinst")
    address = f"{console.url}/v1/images/{image_id}/range"
    assert stranger.context.request.get(address).status == 401
    page = console.open(f"/images/{image_id}")
    page.get_by_label("Everyone").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("definition").filter(has_text="Everyone")).to_be_visible()
    assert stranger.context.request.get(address).body() == disks.iso.read_bytes()
    page.get_by_label("Name", exact=True).fill("netinst 12")
    page.get_by_label("Only you").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("definition").filter(has_text="Only you")).to_be_visible()
    page.get_by_role("link", name="Activity").click()
    happened = page.get_by_role("list").filter(has_text="completed the upload").get_by_role("listitem")
    expect(happened.filter(has_text=f"{console.user} renamed “netinst” to “netinst 12”.")).to_have_count(1)
    expect(happened.filter(has_text="from only the owner to everyone.")).to_have_count(1)
    expect(happened.filter(has_text="from everyone to only the owner.")).to_have_count(1)
    expect(page.get_by_role("heading", name="Jobs").locator("..")).to_contain_text("There are none.")


def test_a_conversion_that_failed_shows_its_reason(console: ConsoleBrowser, tmp_path: Path) -> None:
    file = tmp_path / "broken.qcow2"
    file.write_bytes(b"QFI\xfb" + bytes(100_000))
    image_id = put_image(console.client, file, "broken", "qcow2")
    page = console.open(f"/images/{image_id}")
    failed = page.get_by_role("heading", name="Failed").locator("..")
    expect(failed).to_contain_text("(UNSUPPORTED_IMAGE)")
    (job,) = console.client.send_json("GET", f"/v1/images/{image_id}/jobs")["jobs"]
    expect(failed).to_contain_text(job["error"]["message"])
    assert axe(page) == []
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("table", name="Jobs")).to_contain_text(job["error"]["message"])
    expect(page.get_by_text("The conversion failed (UNSUPPORTED_IMAGE).")).to_be_visible()
    expect(console.open("/").get_by_role("row", name="broken")).to_contain_text("Failed")


def test_a_publication_is_followed_also_after_a_reload(
    console: ConsoleBrowser, console_stack: Console, disks: SampleDisks
) -> None:
    image_id = put_image(console.client, disks.gpt, "gpt")
    page = console.open(f"/images/{image_id}")
    with stopped_worker(console_stack):
        page.get_by_role("button", name="Publish").click()
        expect(page.get_by_text("A worker takes it soon")).to_be_visible()
        expect(page.get_by_role("progressbar", name="Progress of: Publishing")).to_be_visible()
        assert axe(page) == []
        page.reload()
        expect(page.get_by_text("A worker takes it soon")).to_be_visible()
        activity = console.context.new_page()
        activity.goto(f"/images/{image_id}/activity")
        expect(activity.get_by_role("row", name="Publishing")).to_contain_text("Waiting")
    expect(page.get_by_text("The image is published as chunks.")).to_be_visible()
    expect(activity.get_by_role("row", name="Publishing")).to_contain_text("Done")
    expect(activity.get_by_text("The publishing is done.")).to_be_visible()
