"""Debian's Chromium, driven by Playwright in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

PACKAGES = Path(__file__).parents[1] / "browser/node_modules"
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    # Nothing outside of this machine is reached, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--no-proxy-server",
)


class NotInstalled(Exception):
    """Something that a browser test needs is missing; the message says what, and how to get it."""


def require_installed(*, commands: Sequence[str] = (), files: Sequence[Path] = ()) -> None:
    """Raise NotInstalled unless these commands and files are there."""
    missing = [command for command in commands if shutil.which(command) is None]
    missing += [str(file) for file in files if not file.exists()]
    if missing:
        raise NotInstalled(f"missing: {', '.join(missing)}; to install it: make system browser")


def skip_unless(require: Callable[[], None]) -> None:
    """Skip the test where `require` raises NotInstalled; in CI that is a failure."""
    try:
        require()
    except NotInstalled as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def require_chromium() -> None:
    """Raise NotInstalled unless Chromium is there."""
    require_installed(commands=["chromium"])


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run a headless Chromium; only the thread that started it may use it, and only one at a time."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # Chromium's sandbox refuses to run as root.
            chromium_sandbox=os.getuid() != 0,
            args=list(ARGUMENTS),
        )
        try:
            yield browser
        finally:
            browser.close()
