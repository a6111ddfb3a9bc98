"""`image-gateway check` through nginx: nothing is wrong with what the front door serves."""

from __future__ import annotations

import pytest

from image_gateway.url_check.check import check_url
from image_gateway.url_check.target import Target
from tests.live.edge.conftest import Pair

PAGE = "https://page.example.com"


@pytest.fixture(scope="module")
def stream(pair: Pair, owner: str, image_id: str) -> dict[str, str]:
    answer = pair.client(owner).stream_url(image_id)
    return {
        "disk": answer["url"],
        "chunks": answer["chunked"]["manifestUrl"],
        "v86": answer["views"]["v86"]["url"],
        "webvm bytes": answer["views"]["webvm"]["bytesUrl"],
    }


@pytest.mark.parametrize("layout", ["disk", "chunks", "v86", "webvm bytes"])
def test_nothing_is_wrong_through_nginx(stream: dict[str, str], layout: str) -> None:
    report = check_url(Target(stream[layout], origin=PAGE))
    assert [finding for check in report.checks for finding in check.findings] == []
    left_out = {check.skipped for check in report.checks if check.skipped}
    assert left_out <= {"content-encoding-identity is right by the standards and breaks webvm"}


def test_the_route_of_an_image_through_nginx(pair: Pair, owner: str, image_id: str) -> None:
    url = f"{pair.edge.url}/v1/images/{image_id}/range"
    report = check_url(Target(url, {"X-User-Id": owner}))
    assert [finding for check in report.checks for finding in check.findings] == []
