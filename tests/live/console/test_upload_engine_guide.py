"""docs/how-to/upload-engine.md: its page works as written, from another origin and under a strict policy."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

import image_gateway
from image_gateway.client.api import GatewayClient
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_stack import running_gateway
from tests.support.documents import ROOT
from tests.support.guide_pages import page_of, serving_page
from tests.support.sample_disks import MIB, SampleDisks

GUIDE = ROOT / "docs/how-to/upload-engine.md"
ENGINE = Path(image_gateway.__file__).parent / "console/upload"


@pytest.fixture
def connect(console_environment: dict[str, str]) -> list[str]:
    """The origins that the page connects to; the gateway's is added when it runs."""
    return [console_environment["S3_ENDPOINT"]]


@pytest.fixture
def page_url(tmp_path: Path, connect: list[str]) -> Iterator[str]:
    """The address of a folder that is served from an origin of its own."""
    # `data:` is for the icon that write_page adds: browsers ask for one.
    policy = "default-src 'none'; script-src 'self'; worker-src 'self'; img-src data:; connect-src "
    with serving_page(tmp_path / "page", lambda: policy + " ".join(connect)) as url:
        yield url


@pytest.fixture
def gateway_url(
    console_environment: dict[str, str], page_url: str, connect: list[str], tmp_path: Path
) -> Iterator[str]:
    with running_gateway(console_environment, tmp_path, CORS_ALLOW_ORIGIN=page_url) as gateway:
        connect.append(gateway.url)
        yield gateway.url


def write_page(folder: Path, gateway_url: str) -> GatewayClient:
    """Write the guide's page, with this gateway and a user of AUTH_MODE=dev; return that user's client."""
    user = f"page-{uuid.uuid4()}"
    shutil.copytree(ENGINE, folder / "upload")
    for name, text in page_of(GUIDE, gateway_url, user).items():
        (folder / name).write_text(text)
    return GatewayClient(gateway_url, user)


def test_the_page_of_the_guide_uploads_files(
    open_browser: Callable[..., ConsoleBrowser],
    page_url: str,
    gateway_url: str,
    disks: SampleDisks,
    tmp_path: Path,
) -> None:
    client = write_page(tmp_path / "page", gateway_url)
    page = open_browser(url=page_url).page
    page.goto("/")
    page.locator("#files").set_input_files([disks.of_size(60), disks.of_size(6)])
    done = page.locator("li").filter(has_text=": done, ")
    expect(done).to_have_count(2)
    expect(done.first).to_contain_text(f"60-mib.img: done, {60 * MIB} of {60 * MIB} bytes")
    images = client.list_images()["images"]
    assert {image["size"] for image in images} == {6 * MIB, 60 * MIB}
    assert all(image["sha256"] for image in images)


def test_the_page_tells_what_to_do_with_a_file_that_the_gateway_does_not_take(
    open_browser: Callable[..., ConsoleBrowser], page_url: str, gateway_url: str, tmp_path: Path
) -> None:
    client = write_page(tmp_path / "page", gateway_url)
    packed = tmp_path / "disk.img.gz"
    packed.write_bytes(b"\x1f\x8b\x08\x00" + bytes(100))
    page = open_browser(url=page_url).page
    page.goto("/")
    page.locator("#files").set_input_files(packed)
    expect(page.locator("li")).to_contain_text("gunzip disk.img.gz")
    assert client.list_images()["images"] == []
