"""Reader clients in Chromium: v86, sql.js-httpvfs and fetch; what they made of a URL."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error

from tests.support.boot_disk import FAILED, GREETING, SECTOR, WAITING, Read, make_boot_disk
from tests.support.chromium import PACKAGES
from tests.support.installed import require_installed
from tests.support.reader_clients import Reading
from tests.support.static_image import StaticImage
from tests.support.v86_browser import require_v86, serving_page

_HTTPVFS = PACKAGES / "sql.js-httpvfs/dist"
_PAGE = {
    "readers.html": PACKAGES.parent / "readers.html",
    "httpvfs.js": _HTTPVFS / "index.js",
    "httpvfs.worker.js": _HTTPVFS / "sqlite.worker.js",
    "httpvfs.wasm": _HTTPVFS / "sql-wasm.wasm",
}
_SECONDS = 20
_RANGE = 4096
PART = 65_536
# Where v86 finds the parts, and the check the disk beside them.
_LEASE = "v1/l/igl~token"
PARTS_URL = f"{_LEASE}/v86/{PART}/disk.img"
STATEMENT = "select count(*), max(text), min(text), sum(length(text)) from words"
_SECTORS = 1024
_READS = (Read(509, 8), Read(_SECTORS - 5, 5), Read(301, 8))
DISK = make_boot_disk(random.Random(86).randbytes(_SECTORS * SECTOR), _READS, [])
_LINES = [GREETING, *(read.line(DISK) for read in _READS), WAITING]
# v86 reports what stops it by console.error or throws it, and then waits for ever.
_NOTE_FAILURES = """
window.failures = [];
console.error = (text) => failures.push(String(text));
window.addEventListener("error", (event) => failures.push(event.message));
window.addEventListener("unhandledrejection", (event) => failures.push(String(event.reason)));
"""


def require_browser_readers() -> None:
    """Leave the test out, visibly, where a package is missing; in CI it fails."""
    require_v86()
    require_installed(*_PAGE.values())


def make_files(folder: Path) -> tuple[StaticImage, str]:
    """A disk that boots and a database, neither to be cached; and what the statement gives as JSON."""
    file = folder / "words.sqlite3"
    source = random.Random(3)
    with closing(sqlite3.connect(file)) as database:
        database.execute("pragma page_size = 4096")
        database.execute("create table words (id integer primary key, text text)")
        words = [(source.randbytes(60).hex(),) for _ in range(1500)]
        database.executemany("insert into words (text) values (?)", words)
        database.commit()
        cursor = database.execute(STATEMENT)
        names = [column[0] for column in cursor.description]
        answer = json.dumps([dict(zip(names, cursor.fetchone(), strict=True))])
    files = {"disk.img": DISK, "words.sqlite3": file.read_bytes(), **_make_parts()}
    # A browser that has the whole file in its cache takes ranges from there.
    uncached = {name: {"Cache-Control": "no-store, no-transform"} for name in files}
    return StaticImage(files, uncached), answer


def _make_parts() -> dict[str, bytes]:
    padded = DISK + bytes(-len(DISK) % PART)
    parts = {
        f"{_LEASE}/v86/{PART}/disk-{start}-{start + PART}.img": padded[start : start + PART]
        for start in range(0, len(padded), PART)
    }
    return {f"{_LEASE}/disk.img": DISK, **parts}


class BrowserReaders:
    """Reads URLs by clients in a browser, from a page of another origin."""

    def __init__(self, context: BrowserContext, origin: str, answer: str) -> None:
        self.origin = origin
        self._context = context
        self._answer = answer
        self._page = context.new_page()
        self._page.goto(f"{origin}/readers.html")

    def boot_v86(self, base: str) -> Reading:
        """Boot a disk that v86 reads by ranges, without being told its size."""
        return self._boot({"url": f"{base}/disk.img", "async": True})

    def boot_v86_of_known_size(self, base: str) -> Reading:
        """Boot a disk that v86 reads by ranges, with its size."""
        return self._boot({"url": f"{base}/disk.img", "async": True, "size": len(DISK)})

    def boot_v86_by_parts(self, base: str) -> Reading:
        """Boot a disk that v86 reads by parts."""
        parts = {"use_parts": True, "fixed_chunk_size": PART}
        return self._boot({"url": f"{base}/{PARTS_URL}", "async": True, "size": len(DISK), **parts})

    def query(self, base: str) -> Reading:
        """Read all rows of a database by sql.js-httpvfs."""
        arguments = [f"{base}/words.sqlite3", STATEMENT]
        try:
            found = self._page.evaluate("([url, statement]) => inTime(query(url, statement))", arguments)
        except Error:
            return Reading.FAILED
        return Reading.RIGHT if json.loads(found) == json.loads(self._answer) else Reading.WRONG

    def fetch(self, base: str) -> Reading:
        """Read two ranges by fetch, with If-Range."""
        arguments = [f"{base}/disk.img", _RANGE]
        try:
            found = self._page.evaluate("([url, length]) => inTime(readRanges(url, length))", arguments)
        except Error:
            return Reading.FAILED
        wanted = DISK[_RANGE : 2 * _RANGE] + DISK[:_RANGE]
        return Reading.RIGHT if bytes(found) == wanted else Reading.WRONG

    def _boot(self, hda: Mapping[str, Any]) -> Reading:
        page = self._context.new_page()
        try:
            page.add_init_script(_NOTE_FAILURES)
            page.goto(self.origin)
            page.evaluate("options => boot(options)", hda)
            ended = "ends => failures.length > 0 || ends.some((line) => lines.includes(line))"
            page.wait_for_function(ended, arg=[WAITING, FAILED])
            if page.evaluate("failures"):
                return Reading.FAILED
            return Reading.RIGHT if page.evaluate("lines") == _LINES else Reading.WRONG
        finally:
            page.close()


@contextmanager
def browser_readers(browser: Browser, folder: Path, answer: str) -> Iterator[BrowserReaders]:
    """Open a page for the readers; `answer` is what the statement gives."""
    with serving_page(folder, _PAGE) as origin:
        context = browser.new_context()
        context.set_default_timeout(_SECONDS * 1000)
        try:
            yield BrowserReaders(context, origin, answer)
        finally:
            context.close()
