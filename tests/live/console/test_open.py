"""The page Open: v86 boots a disk by the gateway, over renewals of its lease, and shows what it reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from image_gateway.client.api import GatewayClient
from tests.live.console.conftest import OpenBrowser
from tests.support.boot_disk import GREETING, WAITING
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.console_stack import Console, running_gateway
from tests.support.page_tools import axe
from tests.support.sample_disks import SampleDisks

BOOT_MS = 60_000


@pytest.fixture(scope="module")
def short_leases(console_stack: Console, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway over the same store and catalog whose leases last five seconds."""
    settings = {"LEASE_TTL_SECONDS": "5", "ACCESS_CACHE_SECONDS": "0"}
    folder = tmp_path_factory.mktemp("short")
    with running_gateway(console_stack.environment, folder, **settings) as gateway:
        yield gateway.url


def start(page: Page, *, read_by: str) -> None:
    page.get_by_label("Read by").select_option(read_by)
    page.get_by_role("button", name="Start").click()
    region = page.get_by_role("region", name="Output of the serial port")
    expect(region).to_contain_text(GREETING, timeout=BOOT_MS)
    expect(region).to_contain_text(WAITING, timeout=BOOT_MS)


@pytest.mark.parametrize("read_by", ["ranges", "parts"])
def test_a_disk_boots_and_its_reads_are_shown(
    console: ConsoleBrowser, disks: SampleDisks, read_by: str
) -> None:
    image_id = put_image(console.client, disks.boot, "boot disk")
    page = console.open(f"/open/{image_id}")
    with page.expect_response(re.compile(r"/v1/l/.*")) as first:
        start(page, read_by=read_by)
    assert first.value.status in (200, 206)
    reads = page.get_by_role("region", name="Reads of the disk")
    expect(reads).to_contain_text(re.compile(r"\d+ of \d+"))
    assert axe(page) == []
    page.get_by_label("Send a line").fill("x")
    page.get_by_role("button", name="Send", exact=True).click()
    console.keep_screenshots(f"open-{read_by}")


def test_a_machine_runs_on_over_renewals_and_stops_when_its_lease_is_revoked(
    short_leases: str, open_browser: OpenBrowser, disks: SampleDisks
) -> None:
    console = open_browser(user="leaseholder", url=short_leases)
    image_id = put_image(console.client, disks.boot, "boot disk")
    page = console.open(f"/open/{image_id}")
    renewals: list[str] = []
    page.on("response", lambda answer: renewals.append(answer.url) if answer.url.endswith("/renew") else None)
    start(page, read_by="ranges")
    page.wait_for_event("response", lambda answer: answer.url.endswith("/renew"), timeout=BOOT_MS)
    page.wait_for_event("response", lambda answer: answer.url.endswith("/renew"), timeout=BOOT_MS)
    assert len(renewals) >= 2
    lease_id = renewals[0].split("/")[-2]
    GatewayClient(short_leases, "leaseholder").send_json("DELETE", f"/v1/leases/{lease_id}")
    console.problems.allow("status of 40[13]")
    expect(page.get_by_role("alert")).to_contain_text("revoked", timeout=BOOT_MS)


def test_a_link_opens_the_disk_without_an_account(
    console: ConsoleBrowser, stranger: ConsoleBrowser, disks: SampleDisks
) -> None:
    image_id = put_image(console.client, disks.boot, "boot disk")
    console.client.change_image(image_id, visibility="shared")
    token = console.client.make_share_link(image_id, maxUses=1)["token"]
    page = stranger.open(f"/open#{token}")
    expect(page).to_have_url(f"{stranger.url}/open")
    start(page, read_by="ranges")


def test_a_page_without_v86_says_how_to_install_it(console: ConsoleBrowser, disks: SampleDisks) -> None:
    image_id = put_image(console.client, disks.boot, "boot disk")

    def hide_v86(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('content="installed"', 'content="missing"'))

    console.page.route("**/open/*", hide_v86)
    page = console.open(f"/open/{image_id}")
    expect(page.get_by_role("main")).to_contain_text("EMULATOR_V86_PATH")
    assert axe(page) == []
