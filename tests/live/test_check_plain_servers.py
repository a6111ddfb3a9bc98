"""`image-gateway check` of a file in a folder that nginx, Caddy or Python's http.server serves."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from image_gateway.local.edge import require_nginx
from image_gateway.local.processes import StartFailed
from image_gateway.url_check.check import check_url
from image_gateway.url_check.report import UrlReport
from image_gateway.url_check.target import Target
from tests.support.documents import ROOT, blocks_of
from tests.support.plain_servers import caddy_folder, nginx_folder, python_folder

SIZE = 300_000
PAGE = "https://page.example"
PAGES = {"v86", "webvm", "sqljs", "browser"}
NO_PAGES = {"cors-origin-missing", "preflight-refused", "corp-missing"}
Folder = Callable[[Path, Path], AbstractContextManager[str]]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a disk, and one for the files of a server."""
    served, own = tmp_path / "served", tmp_path / "own"
    served.mkdir()
    own.mkdir()
    (served / "disk.img").write_bytes(random.Random(1).randbytes(SIZE))
    return served, own


def require_nginx_here() -> None:
    """Leave the test out, visibly, where nginx is not installed; CI may not."""
    try:
        require_nginx()
    except StartFailed as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def codes(report: UrlReport) -> set[str]:
    return {finding.code for check in report.checks for finding in check.findings}


def readers(report: UrlReport, verdict: str) -> set[str]:
    return {each.client for each in report.verdicts if each.verdict == verdict}


def check_both(folder: Folder, folders: tuple[Path, Path]) -> tuple[UrlReport, UrlReport]:
    """Check the disk for all clients, and for pages of another origin."""
    with folder(*folders) as url:
        return check_url(Target(f"{url}/disk.img")), check_url(Target(f"{url}/disk.img", origin=PAGE))


@pytest.mark.parametrize("folder", [nginx_folder, caddy_folder])
def test_nginx_and_caddy_serve_programs_but_no_pages(folder: Folder, folders: tuple[Path, Path]) -> None:
    if folder is nginx_folder:
        require_nginx_here()
    plain, of_page = check_both(folder, folders)
    assert codes(plain) == {"cache-control-missing"}
    assert readers(plain, "works") == {"qemu", "aria2"}
    assert readers(plain, "works on pages of the same origin only") == PAGES
    assert codes(of_page) == {"cache-control-missing", *NO_PAGES}
    assert readers(of_page, "breaks") == PAGES
    assert readers(of_page, "works") == {"qemu", "aria2"}


def test_nginx_serves_pages_with_the_headers_of_the_guide(folders: tuple[Path, Path]) -> None:
    require_nginx_here()
    blocks = blocks_of(ROOT / "docs/how-to/checking-urls.md")
    (directives,) = [block.text for block in blocks if block.language == "nginx"]
    with nginx_folder(*folders, *directives.splitlines()) as url:
        report = check_url(Target(f"{url}/disk.img", origin=PAGE))
    # It adds them twice to a 416, of which browsers read neither.
    assert codes(report) == {"cors-missing-on-errors"}
    assert readers(report, "works") == {*PAGES, "qemu", "aria2"}


def test_http_server_serves_nobody_who_needs_ranges(folders: tuple[Path, Path]) -> None:
    plain, of_page = check_both(python_folder, folders)
    assert codes(plain) == {"no-ranges", "etag-missing", "cache-control-missing"}
    assert codes(of_page) == codes(plain) | NO_PAGES
    assert readers(plain, "breaks") == {*PAGES, "qemu", "aria2"}
