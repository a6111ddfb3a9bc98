"""nginx with EDGE_CACHE_MAX_BYTES=0: the same answers, and nothing from the store but what was asked for."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.live.edge.conftest import Pair, running_pair
from tests.live.edge.test_contract import RANGES
from tests.support.fault_proxy import fault_proxy

MB = 1_000_000
DATA = random.Random(11).randbytes(35 * MB)


@dataclass
class Asked:
    """Ranges that the store was asked for."""

    ranges: list[str] = field(default_factory=list)

    def note(self, head: bytes) -> None:
        if found := re.search(rb"\r\nRange: *(.+?)\r\n", head, re.IGNORECASE):
            self.ranges.append(found[1].decode())


@pytest.fixture(scope="module")
def asked() -> Asked:
    return Asked()


@pytest.fixture(scope="module")
def uncached(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory, asked: Asked
) -> Iterator[Pair]:
    """A pair without a cache; what it asks the store is noted."""
    store = urlsplit(environment["S3_ENDPOINT"])
    with fault_proxy((store.hostname or "", store.port or 80)) as proxy:
        proxy.plan = asked.note
        changes = {"EDGE_CACHE_MAX_BYTES": "0", "S3_ENDPOINT": proxy.url}
        with running_pair(environment, tmp_path_factory.mktemp("uncached"), **changes) as running:
            yield running


@pytest.fixture(scope="module")
def small(uncached: Pair, owner: str) -> str:
    return f"/v1/images/{uncached.make_image(owner)}/range"


@pytest.fixture(scope="module")
def large_id(uncached: Pair, owner: str) -> str:
    return uncached.make_image(owner, DATA)


@pytest.mark.parametrize("requested", RANGES)
def test_ranges(uncached: Pair, owner: str, small: str, requested: str | None) -> None:
    headers = {"X-User-Id": owner, **({} if requested is None else {"Range": requested})}
    direct, through = uncached.both("GET", small, headers)
    assert through == direct


def test_conditions(uncached: Pair, owner: str, small: str) -> None:
    etag = uncached.ask("GET", small, {"X-User-Id": owner}, direct=True).headers["etag"]
    for name in ("If-Match", "If-None-Match", "If-Range"):
        for value in (etag, f"W/{etag}", '"other"', "*"):
            for requested in ({}, {"Range": "bytes=2-5"}):
                direct, through = uncached.both("GET", small, {"X-User-Id": owner, name: value, **requested})
                assert through == direct, (name, value, requested)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (0, 0),
        (4096, 8191),
        (20 * MB, 30 * MB - 1),
        (10 * MB - 1, 10 * MB),
        (5 * MB, 15 * MB - 1),
        (20 * MB - 4096, 20 * MB + 4095),
    ],
)
def test_a_short_read_takes_no_more_from_the_store(
    uncached: Pair, owner: str, large_id: str, asked: Asked, first: int, last: int
) -> None:
    requested = f"bytes={first}-{last}"
    asked.ranges.clear()
    answer = uncached.ask("GET", f"/v1/images/{large_id}/range", {"X-User-Id": owner, "Range": requested})
    assert (answer.status, answer.body) == (206, DATA[first : last + 1])
    assert asked.ranges == [requested]


@pytest.mark.parametrize(
    ("first", "last"), [(4 * MB, 16 * MB), (8 * MB, 20 * MB), (0, 35 * MB - 1), (9 * MB, 21 * MB)]
)
def test_so_does_a_longer_one(
    uncached: Pair, owner: str, large_id: str, asked: Asked, first: int, last: int
) -> None:
    asked.ranges.clear()
    requested = f"bytes={first}-{last}"
    answer = uncached.ask("GET", f"/v1/images/{large_id}/range", {"X-User-Id": owner, "Range": requested})
    assert (answer.status, answer.body) == (206, DATA[first : last + 1])
    assert asked.ranges == [requested]
