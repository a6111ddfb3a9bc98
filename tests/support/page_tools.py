"""What tests ask of a page in Chromium: accessibility, a slow network, traffic."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import CDPSession, Page

from tests.support.chromium import PACKAGES
from tests.support.installed import require_installed

AXE = PACKAGES / "axe-core/axe.min.js"
# 4G as WebPageTest has it: 9 Mbit/s both ways; seconds until an answer begins.
BYTES_PER_SECOND_4G, LATENCY_4G = 9_000_000 / 8, 0.17
WAIT_SECONDS = 60


@cache
def _axe_source() -> str:
    require_installed(AXE)
    return AXE.read_text()


def axe(page: Page) -> list[str]:
    """Check the accessibility of what the page shows; a line for each violation, with its elements."""
    if not page.evaluate("'axe' in window"):
        # By the debugger: the page's CSP forbids a script element.
        page.evaluate(_axe_source())
    violations = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{violation['id']}: {violation['help']}: {[node['target'] for node in violation['nodes']]}"
        for violation in violations
    ]


def wait_until(page: Page, happened: Callable[[], bool], what: str) -> None:
    """Wait for something outside the page, while the page goes on."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen"
        page.wait_for_timeout(50)


def emulate_4g(page: Page) -> None:
    """Give the page's requests, but not those of its workers, the speed of a 4G connection from now on."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {
        "offline": False,
        "latency": LATENCY_4G * 1000,
        "downloadThroughput": BYTES_PER_SECOND_4G,
        "uploadThroughput": BYTES_PER_SECOND_4G,
    }
    session.send("Network.emulateNetworkConditions", conditions)


def throttle(page: Page, bytes_per_second: float) -> CDPSession:
    """Limit what the page sends and receives, -1 for no limit; detaching the session ends it."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"downloadThroughput": bytes_per_second, "uploadThroughput": bytes_per_second}
    session.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, **limits})
    return session


@dataclass
class Traffic:
    """The requests of a page without its workers.

    Attributes:
        requests: `METHOD URL` of each, without queries, in the order in which they were sent.
        bytes_sent: Bytes of the bodies that were to be sent.
        bytes_received: Bytes of the responses that ended, as they were on the network, headers included.
    """

    requests: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    bytes_received: int = 0

    def count(self, pattern: str) -> int:
        """How many requests this regular expression is found in."""
        return sum(re.search(pattern, request) is not None for request in self.requests)


@contextmanager
def counting_traffic(page: Page) -> Iterator[Traffic]:
    """Count the page's requests and bytes until the block ends."""
    traffic = Traffic()

    def note_request(event: dict[str, Any]) -> None:
        url = urlsplit(event["request"]["url"])
        traffic.requests.append(f"{event['request']['method']} {url.scheme}://{url.netloc}{url.path}")

    def note_headers(event: dict[str, Any]) -> None:
        lengths = [value for name, value in event["headers"].items() if name.lower() == "content-length"]
        traffic.bytes_sent += sum(map(int, lengths))

    def note_end(event: dict[str, Any]) -> None:
        traffic.bytes_received += int(event["encodedDataLength"])

    session = page.context.new_cdp_session(page)
    session.on("Network.requestWillBeSent", note_request)
    session.on("Network.requestWillBeSentExtraInfo", note_headers)
    session.on("Network.loadingFinished", note_end)
    session.send("Network.enable")
    try:
        yield traffic
    finally:
        # Events come in order: this answer follows all that there were.
        session.send("Network.disable")
        session.detach()
