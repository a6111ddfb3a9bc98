"""A new version replaces the old one as deploy/kubernetes does it, and no read notices."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from tests.live.conftest import StartGateway
from tests.live.test_shutdown import begin_reading, is_refused, until
from tests.support.balancer import SERVED_BY, Balancer, running_balancer
from tests.support.manifests import find, pod_of
from tests.support.nginx import require_nginx_or_skip

pytestmark = pytest.mark.thorough
OWNER = "me"
# More than the buffers on the way hold: an answer that is not read is not sent.
DATA = os.urandom(24 * 1024 * 1024)
BOUND = 30
# What a second of the manifest lasts here.
SCALE = 0.1
# The proxies hear of a pod's end in the middle of its preStop pause.
LAG = 0.5
POD = {"WEB_WORKERS": "2", "GRACEFUL_TIMEOUT_SECONDS": "20", "LEASE_KEYS": f"k1:{'1' * 40}"}
POD |= {"TRUSTED_PROXY_HOPS": "1", "RATE_LIMITS": "false"}


@dataclass
class Readers:
    """Threads that read without pause and without trying again, until they are stopped."""

    url: str
    image_id: str
    # By the kind of read, and by the gateway that answered.
    served: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for read in (self.read_range, self.read_range, self.read_by_stream_url, self.read_whole):
            thread = threading.Thread(target=self._repeat, args=(read,))
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(BOUND)
        if any(thread.is_alive() for thread in self._threads):
            self.problems.append(f"a read goes on after {BOUND} s")

    def served_by(self, url: str) -> int:
        """How often this gateway answered the kind of read that it answered least."""
        kinds = (self.read_range, self.read_by_stream_url, self.read_whole)
        return min(self.served[kind.__name__, urlsplit(url).netloc] for kind in kinds)

    def _repeat(self, read: Callable[[urllib3.PoolManager], str]) -> None:
        # A proxy that is reloaded closes idle connections.
        headers = {"X-User-Id": OWNER, "Connection": "close"}
        with urllib3.PoolManager(retries=False, timeout=BOUND, headers=headers) as http:
            # The pause leaves the processor to what starts meanwhile.
            while not self._stop.wait(0.01):
                try:
                    self.served[read.__name__, read(http)] += 1
                except (HTTPError, AssertionError, LookupError, ValueError) as error:
                    self.problems.append(f"{read.__name__}: {error!r}")

    def read_range(self, http: urllib3.PoolManager) -> str:
        headers = {**http.headers, "Range": "bytes=1000000-1099999"}
        answer = http.request("GET", f"{self.url}/v1/images/{self.image_id}/range", headers=headers)
        assert (answer.status, answer.data == DATA[1000000:1100000]) == (206, True)
        return answer.headers[SERVED_BY]

    def read_by_stream_url(self, http: urllib3.PoolManager) -> str:
        asked = http.request("GET", f"{self.url}/v1/images/{self.image_id}/stream-url")
        assert asked.status == 200
        headers = {"Connection": "close", "Range": "bytes=-5000"}
        answer = http.request("GET", asked.json()["url"], headers=headers)
        assert (answer.status, answer.data == DATA[-5000:]) == (206, True)
        return answer.headers[SERVED_BY]

    def read_whole(self, http: urllib3.PoolManager) -> str:
        answer = http.request("GET", f"{self.url}/v1/images/{self.image_id}/range")
        assert (answer.status, answer.data == DATA) == (200, True)
        return answer.headers[SERVED_BY]


@dataclass(frozen=True)
class Update:
    """The old pod behind the proxy, and its readers."""

    old: LocalGateway
    proxy: Balancer
    readers: Readers
    image_id: str


@pytest.fixture
def update(start: StartGateway, tmp_path: Path) -> Iterator[Update]:
    require_nginx_or_skip()
    old = start(**POD)
    file = tmp_path / "disk.img"
    file.write_bytes(DATA)
    client = GatewayClient(old.url, OWNER)
    image_id = upload_file(client, file, parallel=2, on_bytes=lambda _: None).image_id
    with ExitStack() as stack:
        proxy = stack.enter_context(running_balancer(tmp_path / "proxy", old.url))
        readers = Readers(proxy.url, image_id)
        stack.callback(readers.stop)
        yield Update(old, proxy, readers, image_id)


def test_no_read_fails_while_a_new_version_takes_over(update: Update, start: StartGateway) -> None:
    old, proxy, readers = update.old, update.proxy, update.readers
    path = f"/v1/images/{update.image_id}/range"
    slow, received = begin_reading(LocalGateway(old.process, proxy.url), path)
    readers.start()
    until(lambda: readers.served_by(old.url) > 2)

    new = start(**POD)
    proxy.forward_to(old.url, new.url)
    until(lambda: readers.served_by(new.url) > 2)

    # The pod is deleted: its preStop hook and the news to the proxies run at the same time.
    [gateway] = [item for item in pod_of(find("Deployment"))["containers"] if item["name"] == "gateway"]
    pause = gateway["lifecycle"]["preStop"]["sleep"]["seconds"] * SCALE
    time.sleep(pause * LAG)
    proxy.forward_to(new.url)
    # Not less on a machine on which the proxy took long: it still has requests that it accepted before.
    time.sleep(pause * (1 - LAG))
    os.kill(old.process.pid, signal.SIGTERM)
    until(lambda: is_refused(old))
    assert old.process.is_alive()

    # A reader that took nothing since before the update gets the rest.
    body = bytearray(received)
    with slow:
        while len(body) < len(DATA):
            block = slow.recv(1_000_000)
            assert block, f"cut after {len(body)} bytes"
            body += block
    assert body == DATA
    assert old.process.wait(15) == 0
    seen = readers.served_by(new.url)
    until(lambda: readers.served_by(new.url) > seen + 2)
    readers.stop()
    assert readers.problems == []
    assert {address for _, address in readers.served} == {urlsplit(each.url).netloc for each in (old, new)}
