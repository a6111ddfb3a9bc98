"""A browser on the console: one context with one page, and everything that goes wrong in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, WebError

from image_gateway.client.api import GatewayClient

# What failed tests and screenshots leave behind; git ignores the default.
ARTIFACTS = Path(os.environ.get("CONSOLE_ARTIFACTS") or Path(__file__).parents[2] / "test-results")
TIMEOUT_SECONDS = 30
VIEWPORT = {"width": 1280, "height": 800}
_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  reportViolation(`${event.effectiveDirective} blocks ${event.blockedURI} ${event.sourceFile}`));
"""


@dataclass
class Problems:
    """Violations of the CSP, errors on the console and uncaught errors of all pages of a context.

    A failed request is an error, too: `error: Failed to load resource: ... status of 404 ... (URL)`.
    """

    found: list[str] = field(default_factory=list)
    _allowed: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """Let problems pass in which this regular expression is found, whether any come or not."""
        self._allowed.append(pattern)

    def expect(self, pattern: str) -> None:
        """Like `allow`, but at least one must come."""
        self._expected.append(pattern)

    def complaints(self) -> list[str]:
        """The problems that are not allowed, and those that were expected and did not come."""
        known = [*self._allowed, *self._expected]
        unexpected = [text for text in self.found if not any(re.search(rule, text) for rule in known)]
        absent = [rule for rule in self._expected if not any(re.search(rule, text) for text in self.found)]
        return unexpected + [f"expected, but it did not come: {rule}" for rule in absent]

    def add_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.found.append(f"error: {message.text} ({message.location['url']})")

    def add_error(self, error: WebError) -> None:
        self.found.append(f"uncaught: {error.error}")

    def add_violation(self, text: str) -> None:
        self.found.append(f"CSP: {text}")


class ConsoleBrowser:
    """A browser context of its own: cookies, storage and history are shared with no other.

    Attributes:
        page: The page. More pages of the same context: `context.new_page()`.
        url: The gateway's origin.
        user: Who signed in last; None for a stranger.
        problems: What went wrong so far; `problems.expect(PATTERN)` for what is meant to.
    """

    def __init__(self, browser: Browser, url: str, options: Mapping[str, Any]) -> None:
        self.url = url
        self.user: str | None = None
        self.problems = Problems()
        self._closed = False
        self.context = browser.new_context(
            **{
                "base_url": url,
                "viewport": VIEWPORT,
                "locale": "en-GB",
                "timezone_id": "UTC",
                "reduced_motion": "reduce",
                "permissions": ["clipboard-read", "clipboard-write"],
                **options,
            }
        )
        self.context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        self.context.on("console", self.problems.add_message)
        self.context.on("weberror", self.problems.add_error)
        self.context.expose_function("reportViolation", self.problems.add_violation)
        self.context.add_init_script(_REPORT_VIOLATIONS)
        self.context.tracing.start(snapshots=True, screenshots=False)
        self.page: Page = self.context.new_page()

    @property
    def client(self) -> GatewayClient:
        """The HTTP API as the same user, for what a test needs and does not test."""
        assert self.user is not None, "nobody has signed in"
        return GatewayClient(self.url, self.user)

    def sign_in(self, user: str) -> None:
        """Sign in by name (AUTH_MODE=dev) without a page: the cookie of the answer is the browser's."""
        answer = self.context.request.post("/login", headers={"Origin": self.url}, data={"user": user})
        assert answer.ok, answer.text()
        self.user = user

    def open(self, path: str) -> Page:
        """Load a page of the console and wait until it shows its heading."""
        self.page.goto(path)
        self.page.locator("main h1").wait_for()
        return self.page

    def keep_screenshots(self, name: str) -> None:
        """Keep a picture of the page in light and one in dark, in the folder `screenshots` of ARTIFACTS."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.page.screenshot(path=ARTIFACTS / "screenshots" / f"{name}-{scheme}.png", full_page=True)
        self.page.emulate_media(color_scheme="null")

    def close(self, artifacts: Path | None) -> None:
        """Close all pages, once; with a folder, keep there the trace and how each page looked."""
        if self._closed:
            return
        self._closed = True
        try:
            self._keep(artifacts)
        finally:
            self.context.close()

    def _keep(self, artifacts: Path | None) -> None:
        if artifacts is None:
            self.context.tracing.stop()
            return
        self.context.tracing.stop(path=artifacts / "trace.zip")
        for number, page in enumerate(self.context.pages):
            page.screenshot(path=artifacts / f"page-{number}.png", full_page=True)
