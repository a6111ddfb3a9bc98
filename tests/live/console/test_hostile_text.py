"""Names that people choose, as long and as strange as the gateway takes them: they are text on every page.

What a text does in a page is a violation of the CSP, or sets `window.ran`: either fails the test.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.jobs import Job, JobKind, JobState
from tests.live.console.conftest import OpenBrowser
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.console_stack import OidcConsole
from tests.support.page_tools import axe, wait_until
from tests.support.records import NOW
from tests.support.sample_disks import SampleDisks

PHONE = {"width": 360, "height": 740}
MARKUP = "<img src=x onerror='window.ran=1'><script>window.ran=1</script>"
FILE_NAME = "<img src=x onerror='window.ran=1'>.img"
# What turns text around, is not seen, or ends a line.
REFUSED = ("a\u202egnp.img", "a\u2066b", "a\u200bb", "a\x07b", "a\u2028b")
REPORT_A_RUN = """
Object.defineProperty(window, "ran", { set: (by) => reportViolation(`a script ran: ${by}`) });
"""


@pytest.fixture
def watched(console: ConsoleBrowser) -> ConsoleBrowser:
    console.context.add_init_script(REPORT_A_RUN)
    return console


def width_of(page: Page) -> int:
    width: int = page.evaluate("document.scrollingElement.scrollWidth")
    return width


def test_the_longest_names_fit_on_a_phone(open_browser: OpenBrowser, disks: SampleDisks) -> None:
    user = uuid.uuid4().hex + "W" * 224
    phone = open_browser(user=user, viewport=PHONE)
    image_id = put_image(phone.client, disks.mbr, "W" * 255)
    phone.client.share(image_id, "M" * 256, "read")
    phone.client.make_share_link(image_id)
    for path in ("/", f"/images/{image_id}", f"/images/{image_id}/activity", "/upload"):
        page = phone.open(path)
        page.wait_for_load_state("networkidle")
        assert width_of(page) <= PHONE["width"], path
    page = phone.open(f"/images/{image_id}")
    page.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("W" * 255)
    assert dialog.evaluate("(dialog) => dialog.scrollWidth - dialog.clientWidth") == 0
    page = phone.open(f"/images/{image_id}/share")
    page.get_by_role("button", name="Remove: MMM").click()
    expect(dialog).to_contain_text("M" * 256)
    assert dialog.evaluate("(dialog) => dialog.scrollWidth - dialog.clientWidth") == 0
    assert width_of(page) <= PHONE["width"]


def test_markup_is_shown_as_it_was_typed(watched: ConsoleBrowser, disks: SampleDisks) -> None:
    image_id = put_image(watched.client, disks.iso, "plain")
    page = watched.open(f"/images/{image_id}")
    page.get_by_label("Name", exact=True).fill(MARKUP)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    expect(page).to_have_title(re.compile("^" + re.escape(MARKUP)))
    page.get_by_role("link", name="Share").click()
    page.get_by_label("Name of the person").fill(MARKUP)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text(f"Shared with {MARKUP}")).to_be_visible()
    page.get_by_role("button", name=f"Remove: {MARKUP}").click()
    expect(page.get_by_role("heading", name=f"Remove {MARKUP}?")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_text(f"{watched.user} renamed “plain” to “{MARKUP}”.")).to_be_visible()
    expect(page.get_by_text(f"{watched.user} took the access of {MARKUP} back.")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_label("Type the name to confirm").fill(MARKUP)
    page.get_by_role("button", name="Delete for ever").click()
    expect(page.get_by_text(f"“{MARKUP}” was deleted")).to_be_visible()
    # A script would have been noticed.
    watched.problems.expect("a script ran: of this test")
    page.evaluate("window.ran = 'of this test'")
    wait_until(page, lambda: bool(watched.problems.found), "the notice")


def test_characters_that_nobody_sees_are_refused_in_names(
    watched: ConsoleBrowser, disks: SampleDisks
) -> None:
    image_id = put_image(watched.client, disks.iso, "plain")
    watched.problems.expect(r"status of 400 .*/v1/images/")
    page = watched.open(f"/images/{image_id}")
    for name in REFUSED:
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("name: must not contain control characters")
        expect(page.get_by_role("alert")).to_contain_text("Request ")
        page.reload()
    assert watched.client.image(image_id)["name"] == "plain"


def test_a_file_is_uploaded_whatever_its_name_is(
    watched: ConsoleBrowser, disks: SampleDisks, tmp_path: Path
) -> None:
    names = (FILE_NAME, "a\u202egnp\u202f.img", "W" * 251 + ".img")
    page = watched.open("/upload")
    for name in names:
        (tmp_path / name).write_bytes(disks.iso.read_bytes())
    page.locator("#upload-files").set_input_files([tmp_path / name for name in names])
    files = page.get_by_role("region", name="Files", exact=True).get_by_role("listitem")
    expect(files.filter(has_text="Uploaded")).to_have_count(3)
    assert width_of(page) <= 1280
    # What is not printed would hide what a file is.
    expect(files.filter(has_text="a_gnp .img")).to_have_count(1)
    page.get_by_role("link", name=f"Open the image: {FILE_NAME}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(FILE_NAME)


def test_what_a_failed_job_says_is_text(
    watched: ConsoleBrowser, console_catalog: Catalog, disks: SampleDisks
) -> None:
    image_id = put_image(watched.client, disks.mbr, "plain")
    failed = Job(
        str(uuid.uuid4()),
        image_id,
        JobKind.PUBLISH,
        created_at=NOW,
        run_after=NOW,
        state=JobState.FAILED,
        error_code="INTERNAL",
        error_message=MARKUP + "W" * 250,
        result={"problems": [MARKUP]},
        finished_at=NOW,
    )
    console_catalog.jobs.add(failed)
    watched.page.set_viewport_size(PHONE)
    page = watched.open(f"/images/{image_id}")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(MARKUP)
    expect(alert.get_by_role("listitem")).to_have_text(MARKUP)
    assert width_of(page) <= PHONE["width"]
    page = watched.open(f"/images/{image_id}/activity")
    expect(page.get_by_role("table", name="Jobs")).to_contain_text(MARKUP)
    assert width_of(page) <= PHONE["width"]
    assert axe(page) == []


def test_the_name_that_the_provider_tells_is_text(oidc: OidcConsole, open_browser: OpenBrowser) -> None:
    browser = open_browser(url=oidc.url)
    browser.context.add_init_script(REPORT_A_RUN)
    oidc.flow.user, oidc.flow.claims = f"carol-{uuid.uuid4().hex[:8]}", {"name": MARKUP}
    page = browser.open("/login")
    expect(page.get_by_role("banner")).to_contain_text(MARKUP)
    browser.page.goto("/sign-in?done=1")
    expect(page.get_by_role("main")).to_contain_text(f"You are signed in as {MARKUP}.")
