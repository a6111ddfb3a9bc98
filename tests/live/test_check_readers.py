"""`image-gateway check` agrees with real clients: curl, aria2, QEMU, and clients in Chromium."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from image_gateway.domain.findings import Severity
from image_gateway.url_check.check import check_url
from image_gateway.url_check.clients import UrlKind
from image_gateway.url_check.report import UrlReport, Verdict
from image_gateway.url_check.target import Target
from tests.support.browser_readers import (
    PARTS_URL,
    BrowserReaders,
    browser_readers,
    make_files,
    require_browser_readers,
)
from tests.support.faulty_file_server import FAULTS
from tests.support.range_server import RangeServer, serving_ranges
from tests.support.reader_clients import READERS, Reading, require_readers
from tests.support.seen_readings import (
    MORE_SEEN_BY_PAGES,
    MORE_SEEN_BY_PROGRAMS,
    PAGES,
    PROGRAMS,
    SEEN_BY_PAGES,
    SEEN_BY_PROGRAMS,
    SEEN_BY_V86_PARTS,
    R,
    W,
)
from tests.support.static_image import StaticImage

DATA = random.Random(7).randbytes(5 * 512 * 1024 + 3 * 512)


@contextmanager
def faulty(image: StaticImage, fault: str | None) -> Iterator[RangeServer]:
    with serving_ranges(image) as server:
        if fault is not None:
            server.change = FAULTS[fault]
        yield server


def breaks(report: UrlReport) -> set[str]:
    return {each.client for each in report.verdicts if each.verdict is Verdict.BREAKS}


def is_broken(report: UrlReport) -> bool:
    return any(finding.severity is Severity.BROKEN for check in report.checks for finding in check.findings)


def check_programs(fault: str | None, expected: tuple[Reading, ...], folder: Path) -> None:
    """Read by each program, and compare with what the check says of it."""
    require_readers()
    with faulty(StaticImage({"disk.img": DATA}), fault) as server:
        report = check_url(Target(server.url()))
        for name, reading in zip(PROGRAMS, expected, strict=True):
            client, read = READERS[name]
            own = folder / name.replace(" ", "")
            own.mkdir()
            assert read(server.url(), DATA, own) is reading, name
            if client is not None:
                assert (client in breaks(report)) == (reading is not R), name
            elif reading is not R:
                # The check knows no client `curl`; it must not call a URL right that curl cannot read.
                assert is_broken(report)


@pytest.mark.parametrize(("fault", "expected"), SEEN_BY_PROGRAMS.items())
def test_programs(fault: str | None, expected: tuple[Reading, ...], tmp_path: Path) -> None:
    check_programs(fault, expected, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize(("fault", "expected"), MORE_SEEN_BY_PROGRAMS.items())
def test_programs_and_other_faults(fault: str, expected: tuple[Reading, ...], tmp_path: Path) -> None:
    check_programs(fault, expected, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "expected"), [(None, R), ("no-ranges", R), ("range-wrong-bytes", W), ("size-unknown", R)]
)
def test_aria2_by_several_connections(fault: str | None, expected: Reading, tmp_path: Path) -> None:
    """It reads all over the first connection where the others get no range."""
    require_readers()
    with faulty(StaticImage({"disk.img": DATA}), fault) as server:
        assert READERS["aria2c -s4"][1](server.url(), DATA, tmp_path) is expected
        asked = [request.headers.get("range") for request in server.asked]
    assert (len(asked) > 1) == (fault != "size-unknown")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[StaticImage, str]:
    return make_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def installed() -> None:
    require_browser_readers()


@pytest.fixture(scope="module")
def pages(
    installed: None,
    chromium: Browser,
    files: tuple[StaticImage, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[BrowserReaders]:
    with browser_readers(chromium, tmp_path_factory.mktemp("page"), files[1]) as readers:
        yield readers


def check_pages(
    pages: BrowserReaders, image: StaticImage, fault: str | None, expected: tuple[Reading | None, ...]
) -> None:
    """Read by clients in the browser, and compare with what the check says of them."""
    read = {"v86": pages.boot_v86, "sqljs": pages.query, "browser": pages.fetch}
    awaited = {client: reading for client, reading in zip(PAGES, expected, strict=True) if reading}
    with faulty(image, fault) as server:
        broken = breaks(check_url(Target(server.url(), origin=pages.origin)))
        assert {client: read[client](server.base) for client in awaited} == awaited
    assert broken & awaited.keys() == {client for client, reading in awaited.items() if reading is not R}


@pytest.mark.parametrize(("fault", "expected"), SEEN_BY_PAGES.items())
def test_pages(
    pages: BrowserReaders,
    files: tuple[StaticImage, str],
    fault: str | None,
    expected: tuple[Reading, ...],
) -> None:
    check_pages(pages, files[0], fault, expected)


@pytest.mark.thorough
@pytest.mark.parametrize(("fault", "expected"), MORE_SEEN_BY_PAGES.items())
def test_pages_and_other_faults(
    pages: BrowserReaders,
    files: tuple[StaticImage, str],
    fault: str,
    expected: tuple[Reading | None, ...],
) -> None:
    check_pages(pages, files[0], fault, expected)


@pytest.mark.thorough
@pytest.mark.parametrize("fault", ["content-range-missing", "cors-not-exposed", "size-unknown"])
def test_v86_needs_no_content_range_if_it_is_told_the_size(
    pages: BrowserReaders, files: tuple[StaticImage, str], fault: str
) -> None:
    with faulty(files[0], fault) as server:
        assert pages.boot_v86_of_known_size(server.base) is R


@pytest.mark.thorough
@pytest.mark.parametrize(("fault", "expected"), SEEN_BY_V86_PARTS.items())
def test_v86_by_parts(
    pages: BrowserReaders, files: tuple[StaticImage, str], fault: str | None, expected: Reading
) -> None:
    with faulty(files[0], fault) as server:
        report = check_url(Target(f"{server.base}/{PARTS_URL}", origin=pages.origin))
        assert pages.boot_v86_by_parts(server.base) is expected
    assert report.kind is UrlKind.V86
    assert ("v86" in breaks(report)) == is_broken(report) == (expected is not R)
