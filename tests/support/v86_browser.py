"""v86 in Debian's Chromium, driven by playwright, with a page on an origin of its own."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROWSER = Path(__file__).parents[1] / "browser"
_V86 = BROWSER / "node_modules/v86/build"
_PAGE = {
    "index.html": BROWSER / "index.html",
    "libv86.js": _V86 / "libv86.js",
    "v86.wasm": _V86 / "v86.wasm",
    # Of Debian's package seabios: v86's package on npm has none.
    "bios.bin": Path("/usr/share/seabios/bios.bin"),
}
WAIT_SECONDS = 60
CLOSE_SECONDS = 10


class NotInstalled(Exception):
    """Something that a browser test needs is missing; the message says what, and how to get it."""


@dataclass(frozen=True)
class Answer:
    """An answer of the gateway as the browser got it; headers by lower-case names."""

    file: str
    status: int
    headers: Mapping[str, str]


def require_browser() -> None:
    """Raise NotInstalled unless node, Chromium, the BIOS and the packages of npm are there."""
    missing = [command for command in ("node", "chromium") if shutil.which(command) is None]
    files = [*_PAGE.values(), BROWSER / "node_modules/playwright-core"]
    missing += [str(file) for file in files if not file.exists()]
    if missing:
        raise NotInstalled(f"missing: {', '.join(missing)}; to install it: make system browser")


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def serving_page(folder: Path) -> Iterator[str]:
    """Serve the page that boots v86, and give its origin."""
    for name, file in _PAGE.items():
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

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self.answers: list[Answer] = []
        self._child = child
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, text: str) -> None:
        """Send a line to the driver, which hands it to the guest's serial port."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{text}\n")
        self._child.stdin.flush()

    def wait_for_line(self, line: str) -> None:
        """Wait until the guest has written this line."""
        self._wait(lambda: line in self.lines, f"the line {line!r}")

    def wait_for_answer(self, file: str) -> Answer:
        """Wait until the gateway has answered a request for this file."""
        self._wait(lambda: any(answer.file == file for answer in self.answers), f"an answer to {file}")
        return next(answer for answer in self.answers if answer.file == file)

    def _wait(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not happened():
            try:
                event = self._events.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{what} did not come; {self._so_far()}") from None
            if event is None:
                raise AssertionError(f"the browser ended before {what}; {self._so_far()}")
            self._note(event)

    def _note(self, event: dict[str, Any]) -> None:
        if "error" in event:
            raise AssertionError(f"error in the page: {event['error']}; {self._so_far()}")
        if "line" in event:
            self.lines.append(event["line"])
        else:
            self.answers.append(Answer(**event))

    def _so_far(self) -> str:
        return f"so far {self.lines}, {[(answer.file, answer.status) for answer in self.answers]}"

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as events:
            for text in events:
                self._events.put(json.loads(text))
        self._events.put(None)

    def end(self) -> None:
        """Let the driver close the browser, or kill both."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.close()
            self._child.wait(CLOSE_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        self._reader.join(CLOSE_SECONDS)


@contextmanager
def booted(page: str, hda: Mapping[str, Any], gateway: str, log: Path) -> Iterator[Guest]:
    """Boot v86 from the disk `hda`, given as v86's options; the browser ends with the block.

    Args:
        page: The origin of the page.
        hda: The options, as the gateway gives them.
        gateway: The gateway's origin; answers of others are not noted.
        log: A file for what the driver and the browser complain of.
    """
    command = ["node", "boot.mjs", page, shutil.which("chromium") or "chromium", gateway]
    with log.open("w") as errors:
        child = subprocess.Popen(
            command,
            cwd=BROWSER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    guest = Guest(child)
    try:
        guest.send(json.dumps(hda))
        yield guest
    finally:
        guest.end()
