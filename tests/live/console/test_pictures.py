"""The pictures of README and documentation, made of a console with plausible images in it.

`make pictures` writes them to docs/pictures/; otherwise they go where all screenshots go.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from image_gateway.catalog.repository import Catalog
from image_gateway.client.api import GatewayClient
from image_gateway.domain.images import ImageFormat, Kind, Visibility
from image_gateway.local.gateway import LocalGateway
from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ARTIFACTS, ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.console_stack import running_gateway
from tests.support.page_tools import throttle
from tests.support.picture_disk import make_picture_disk
from tests.support.records import DISK, FREE, make_record
from tests.support.sample_disks import MIB, SampleDisks

pytestmark = pytest.mark.thorough
FOLDER = Path(os.environ.get("CONSOLE_PICTURES") or ARTIFACTS / "pictures")
MOST_BYTES = 150 * 1024
# Of Debian's package grub-rescue-pc: a CD that boots.
RESCUE_CD = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
SMALL = {"width": 1100, "height": 720}
BOOT_MS = 60_000
OWNER = "ada"
QUOTA = {"QUOTA_BYTES": str(64 * 1024 * MIB), "QUOTA_IMAGES": "25"}
RAW, ISO, QCOW2, VMDK = ImageFormat.RAW, ImageFormat.ISO, ImageFormat.QCOW2, ImageFormat.VMDK
# Name, format, size in MiB, who may read it, and how many hours ago it was made.
IMAGES = (
    ("Debian 12 netinst", ISO, 631, Visibility.PUBLIC, 1.2),
    ("Windows 2000 Professional", VMDK, 4096, Visibility.SHARED, 20.4),
    ("Haiku R1 beta 5", RAW, 5120, Visibility.PRIVATE, 49.7),
    ("NetBSD 10 workstation", QCOW2, 16_384, Visibility.PRIVATE, 75.1),
    ("FreeDOS 1.3", RAW, 500, Visibility.PUBLIC, 99.9),
    ("Windows 95", RAW, 1024, Visibility.SHARED, 121.3),
    ("Plan 9 terminal", QCOW2, 2048, Visibility.PRIVATE, 170.6),
)
NEWEST = "Alpine Linux 3.20"


@pytest.fixture(scope="module")
def gateway_with_quota(
    console_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGateway]:
    with running_gateway(console_environment, tmp_path_factory.mktemp("quota"), **QUOTA) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def image_ids(
    gateway_with_quota: LocalGateway, console_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Images by their names: records without bytes, and NEWEST, which is shared and can be read."""
    now, ids = datetime.now(UTC), {}
    for name, image_format, size, visibility, hours in IMAGES:
        created = now - timedelta(hours=hours)
        record = make_record(
            str(uuid.uuid4()),
            owner=OWNER,
            name=name,
            kind=Kind.ISO if image_format is ISO else Kind.DISK,
            format=image_format,
            visibility=visibility,
            created_at=created,
            updated_at=created,
        )
        console_catalog.add(record, FREE)
        disk = replace(DISK, size=size * MIB)
        assert console_catalog.complete(record.image_id, record.plan.upload_id, disk, created)
        ids[name] = record.image_id
    client = GatewayClient(gateway_with_quota.url, OWNER)
    file = make_picture_disk(tmp_path_factory.mktemp("picture") / "alpine.img")
    ids[NEWEST] = newest = put_image(client, file, NEWEST)
    client.change_image(newest, visibility="shared")
    client.share(newest, "grace", "read")
    client.share(newest, "linus", "write")
    client.make_share_link(newest)
    token = client.make_share_link(newest, ttlSeconds=604_800, maxUses=10)["token"]
    for _ in range(3):
        client.redeem(token)
    return ids


@pytest.fixture
def ada(open_browser: OpenBrowser, gateway_with_quota: LocalGateway) -> ConsoleBrowser:
    return open_browser(user=OWNER, url=gateway_with_quota.url)


def keep(page: Page, name: str) -> None:
    """Keep a picture in light and one in dark."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        path = FOLDER / f"console-{name}-{scheme}.png"
        page.screenshot(path=path)
        assert path.stat().st_size < MOST_BYTES


def test_pictures_of_images_and_sharing(ada: ConsoleBrowser, image_ids: dict[str, str]) -> None:
    page = ada.open("/")
    expect(page.get_by_role("row")).to_have_count(len(image_ids) + 1)
    expect(page.get_by_role("progressbar", name="Storage used")).to_be_visible()
    keep(page, "images")
    page = ada.open(f"/images/{image_ids[NEWEST]}")
    expect(page.get_by_role("main")).to_contain_text("GPT with 2 partitions")
    page.get_by_label("Reader").select_option("QEMU")
    page.get_by_role("heading", name="Partitions").evaluate("(heading) => heading.scrollIntoView()")
    page.evaluate("scrollBy(0, -40)")
    keep(page, "image")
    page = ada.open(f"/images/{image_ids[NEWEST]}/share")
    expect(page.get_by_role("row").filter(has_text="grace")).to_be_visible()
    keep(page, "share")


def test_pictures_of_an_upload(
    open_browser: OpenBrowser, gateway_with_quota: LocalGateway, disks: SampleDisks, tmp_path: Path
) -> None:
    files = {"iPXE 1.21.iso": disks.iso, "Windows 95.img": disks.of_size(60)}
    for name, file in files.items():
        (tmp_path / name).hardlink_to(file)
    # Somebody else, whose upload stays open.
    console = open_browser(user="grace", url=gateway_with_quota.url)
    page = console.open("/upload")
    throttle(page, 12 * MIB)
    page.locator("#upload-files").set_input_files([tmp_path / name for name in files])
    expect(page.get_by_role("listitem").filter(has_text="iPXE")).to_contain_text("Uploaded")
    progress = "document.querySelector('progress[aria-label=\"Windows 95.img\"]')"
    page.wait_for_function(f"() => {progress}.value > 0.4")
    keep(page, "upload")


def test_pictures_of_a_boot_with_its_read_map(open_browser: OpenBrowser, disks: SampleDisks) -> None:
    console = open_browser(user=OWNER, viewport=SMALL)
    disk = RESCUE_CD if RESCUE_CD.exists() else disks.boot
    image_id = put_image(console.client, disk, "GRUB rescue" if disk is RESCUE_CD else "Boot disk")
    page = console.open(f"/open/{image_id}")
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
