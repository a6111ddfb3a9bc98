"""v86 in Chromium, with a page on an origin of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error, Page, Response
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.support.chromium import PACKAGES
from tests.support.installed import require_installed

_V86 = PACKAGES / "v86/build"
_PAGE = {
    "index.html": PACKAGES.parent / "index.html",
    "libv86.js": _V86 / "libv86.js",
    "v86.wasm": _V86 / "v86.wasm",
    # Of Debian's package seabios: v86's package on npm has none.
    "bios.bin": Path("/usr/share/seabios/bios.bin"),
}
WAIT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """An answer of the gateway as the browser got it; headers by lower-case names."""

    file: str
    status: int
    headers: Mapping[str, str]


def require_v86() -> None:
    """Leave the test out, visibly, where Chromium, the BIOS or v86 is missing; in CI it fails."""
    require_installed("chromium", *_PAGE.values())


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def serving_page(folder: Path, more: Mapping[str, Path] | None = None) -> Iterator[str]:
    """Serve the page that boots v86, and give its origin.

    Args:
        folder: An empty folder.
        more: Further files by their names.
    """
    for name, file in {**_PAGE, **(more or {})}.items():
        (folder / name).symlink_to(file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Guest:
    """A machine in the browser: what it wrote to its serial port, and what the gateway answered to v86."""

    def __init__(self, page: Page, gateway: str) -> None:
        self.lines: list[str] = []
        self.answers: list[Answer] = []
        self._page, self._gateway = page, gateway
        self._errors: list[Error] = []
        page.on("pageerror", lambda error: self._errors.append(error))
        page.on("response", self._note)

    def boot(self, hda: Mapping[str, Any]) -> None:
        """Start the machine with this disk."""
        self._page.evaluate("options => boot(options)", hda)

    def send(self, text: str) -> None:
        """Send text to the guest's serial port."""
        self._page.evaluate("text => emulator.serial0_send(text)", text)

    def wait_for_line(self, line: str) -> None:
        """Wait until the guest has written this line."""
        with self._waiting(f"the line {line!r}"):
            self._page.wait_for_function("line => lines.includes(line)", arg=line)

    def wait_for_answer(self, file: str) -> Answer:
        """Wait until the gateway has answered a request for this file."""
        if self._answer(file) is None:
            with self._waiting(f"an answer to {file}"):
                self._page.wait_for_event("response", lambda _: self._answer(file) is not None)
        answer = self._answer(file)
        assert answer is not None
        return answer

    def end(self) -> None:
        """Take what the guest wrote last, and fail if the page had an error."""
        self.lines = self._page.evaluate("lines")
        assert self._errors == [], self._so_far()

    def _answer(self, file: str) -> Answer | None:
        return next((answer for answer in self.answers if answer.file == file), None)

    @contextmanager
    def _waiting(self, what: str) -> Iterator[None]:
        try:
            yield
        except PlaywrightTimeout:
            self.lines = self._page.evaluate("lines")
            raise AssertionError(f"{what} did not come; {self._so_far()}") from None
        self.end()

    def _note(self, response: Response) -> None:
        url = urlsplit(response.url)
        if f"{url.scheme}://{url.netloc}" == self._gateway:
            self.answers.append(Answer(url.path.rpartition("/")[2], response.status, response.headers))

    def _so_far(self) -> str:
        answers = [(answer.file, answer.status) for answer in self.answers]
        return f"so far {self.lines}, {answers}, errors in the page: {self._errors}"


@contextmanager
def booted(browser: Browser, page: str, hda: Mapping[str, Any], gateway: str) -> Iterator[Guest]:
    """Boot v86 from the disk `hda`, given as v86's options; the page is closed with the block.

    Args:
        browser: The browser that gets the page.
        page: The origin of the page.
        hda: The options, as the gateway gives them.
        gateway: The gateway's origin; answers of others are not noted.
    """
    context = browser.new_context()
    context.set_default_timeout(WAIT_SECONDS * 1000)
    try:
        opened = context.new_page()
        guest = Guest(opened, gateway)
        opened.goto(page)
        guest.boot(hda)
        yield guest
        guest.end()
    finally:
        context.close()
