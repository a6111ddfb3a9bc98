"""Debian's Chromium, driven by Playwright in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.support.installed import require_installed

PACKAGES = Path(__file__).parents[1] / "browser/node_modules"
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    # `performance.measureUserAgentSpecificMemory` collects garbage at once, and not within a minute.
    "--enable-blink-features=ForceEagerMeasureMemory",
    # Nothing outside of this machine is reached, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--no-proxy-server",
)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run a headless Chromium; only the thread that started it may use it, and only one at a time.

    Where it is not installed the test is skipped, or fails in CI.
    """
    require_installed("chromium")
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
