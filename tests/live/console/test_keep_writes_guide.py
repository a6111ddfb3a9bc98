"""docs/how-to/keep-writes.md: its page works as written, from another origin and under a strict policy."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import image_gateway
from image_gateway.client.api import GatewayClient
from tests.live.console.conftest import OpenBrowser
from tests.support.console_images import put_image
from tests.support.console_stack import V86_FILES, running_gateway
from tests.support.documents import ROOT
from tests.support.guide_pages import page_of, serving_page
from tests.support.sample_disks import SampleDisks
from tests.support.writing_disk import FLUSHED, WRITTEN

GUIDE = ROOT / "docs/how-to/keep-writes.md"
CONSOLE = Path(image_gateway.__file__).parent / "console"
FOLDERS = ("deltas", "lib", "open", "upload")
POLICY = "script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; connect-src 'self'"
BOOT_MS = 60_000


@pytest.fixture
def connect() -> list[str]:
    """The origins that the page connects to; the gateway's is added when it runs."""
    return []


@pytest.fixture
def page_url(tmp_path: Path, connect: list[str]) -> Iterator[str]:
    def policy() -> str:
        return " ".join(["default-src 'none'; img-src data:;", POLICY, *connect])

    with serving_page(tmp_path / "page", policy) as url:
        yield url


@pytest.fixture
def gateway_url(
    console_environment: dict[str, str], page_url: str, connect: list[str], tmp_path: Path
) -> Iterator[str]:
    with running_gateway(console_environment, tmp_path, CORS_ALLOW_ORIGIN=page_url) as gateway:
        connect.append(gateway.url)
        yield gateway.url


def write_page(folder: Path, gateway_url: str) -> GatewayClient:
    """Write the guide's page, with this gateway and a new user; return that user's client."""
    assert f"`{POLICY}`" in " ".join(GUIDE.read_text().split())
    user = f"page-{uuid.uuid4()}"
    for name in FOLDERS:
        shutil.copytree(CONSOLE / name, folder / "console" / name)
    (folder / "v86").mkdir()
    for name, file in V86_FILES.items():
        (folder / "v86" / name).symlink_to(file)
    for name, text in page_of(GUIDE, gateway_url, user).items():
        (folder / name).write_text(text)
    return GatewayClient(gateway_url, user)


def send(page: Page, line: str, answer: str) -> None:
    page.get_by_label("Send a line").fill(line)
    page.keyboard.press("Enter")
    expect(page.locator("#serial")).to_contain_text(answer, timeout=BOOT_MS)


def test_the_page_of_the_guide_keeps_what_the_guest_writes(
    open_browser: OpenBrowser, page_url: str, gateway_url: str, disks: SampleDisks, tmp_path: Path
) -> None:
    client = write_page(tmp_path / "page", gateway_url)
    image_id = put_image(client, disks.writing, "writing disk")
    made = client.send_json("POST", "/v1/deltas", {"imageId": image_id}, expected=(201,))
    page = open_browser(url=page_url).page
    page.goto(f"/?delta={made['deltaId']}")
    expect(page.locator("#serial")).to_contain_text("holds as it was", timeout=BOOT_MS)
    send(page, "whello", WRITTEN)
    send(page, "f", FLUSHED)
    expect(page.locator("#saved")).to_have_text("saved, 0 bytes not saved.")
    page.reload()
    expect(page.locator("#serial")).to_contain_text("holds hello", timeout=BOOT_MS)
